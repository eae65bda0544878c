"""A network whose input is a sparse matrix, as of words per document, learns as with the same numbers in a dense one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from tests.problems import distance

F64 = torch.float64
Y = torch.arange(9) % 4
LAYOUTS = {"coo": torch.Tensor.to_sparse_coo, "csr": torch.Tensor.to_sparse_csr}


def gradients(rule: str, x: torch.Tensor) -> dict[str, torch.Tensor | None]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    attached = fa.attach(net, rule, example=x)
    with torch.no_grad():
        for b in attached.feedback.values():
            if not b.any():  # synthetic gradients begin at zero
                b.copy_(torch.randn(b.shape, dtype=b.dtype))
    attached.targets = Y
    out = net(x)
    loss = F.mse_loss(out, F.one_hot(Y, 4).to(F64)) if rule == "kickback" else F.cross_entropy(out, Y)
    attached.loss(loss).backward()
    return {name: p.grad for name, p in net.named_parameters()}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", fa.RULES)
def test_a_sparse_input_gives_the_gradients_of_a_dense_one(rule, layout):
    """PyTorch's Linear takes it. Transport rules and rules with local losses ended in an error from within PyTorch."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 12, dtype=F64, generator=generator) * (torch.rand(9, 12, generator=generator) < 0.3)
    expected, found = gradients(rule, x), gradients(rule, LAYOUTS[layout](x))
    assert found.keys() == expected.keys()
    for name, g in expected.items():
        if g is None:
            assert found[name] is None
        else:
            assert distance(found[name], g) < 1e-12, name
