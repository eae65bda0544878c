"""Which modules become blocks, automatically and by pattern: a wrong cut is another rule under the same name."""

import cProfile
import pstats

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

import lightning_fa as fa
from tests.cases import attach, every_case, every_rule
from tests.oracles import ORACLES
from tests.problems import PROBLEMS, Residual, Unit, mlp

direct = ["dfa", "lafs"]


def blocks(attached: fa.Attached) -> list[str]:
    return attached.config()["blocks"]


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()
        self.accuracy = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class TwoParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh())
        self.classifier = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.encoder(x))


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


NESTED = [
    (lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 6), nn.Tanh()), nn.Sequential(nn.Linear(6, 3))), ["0.0", "1.0"]),
    (lambda: nn.Sequential(nn.Flatten(), nn.Sequential(mlp())), ["1.0.0", "1.0.2", "1.0.4"]),
    (Module, ["net.0", "net.2", "net.4"]),
    (TwoParts, ["encoder.0", "encoder.2", "classifier"]),
    (Listed, ["layers.0", "layers.1", "layers.2"]),
    (lambda: nn.Linear(4, 3), [""]),
]  # fmt: skip
MAPS = [
    (Residual, (3, 6, 6), ["stem", "units.0", "units.1", "head"]),
    (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), Unit(2), nn.Flatten(), nn.Linear(8, 3)), (1, 4, 4), ["0", "1", "3"]),
]


@every_rule
@pytest.mark.parametrize(("build", "expected"), NESTED)
def test_the_usual_shapes_need_no_blocks_argument(rule, build, expected):
    """One block too few or too many changes how far the true gradient reaches, and with it every comparison."""
    assert blocks(fa.attach(build(), rule)) == expected


@every_rule
@pytest.mark.parametrize(("build", "shape", "expected"), MAPS)
def test_residual_units_are_blocks(rule, build, shape, expected):
    """As above, where blocks return feature maps."""
    if ORACLES[rule].passes_every_block:
        with pytest.raises(ValueError, match=rf"these are not: .*{expected[1]} \(Unit\)"):
            fa.attach(build(), rule)
        return
    example = torch.randn(2, *shape) if ORACLES[rule].sized_by_output else None
    assert blocks(fa.attach(build(), rule, example=example)) == expected


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_the_problems_of_the_suite_are_cut_as_written_down(problem):
    """The contract would test less than it says if its networks were one block each."""
    assert blocks(fa.attach(problem.model(), "dfa")) == list(problem.blocks)


def test_a_torchvision_resnet_is_cut_at_its_residual_units():
    """A cut inside a unit would leave its skip path, which carries the true gradient to the layers below."""
    models = pytest.importorskip("torchvision.models")
    model = models.resnet18(num_classes=5)
    attached = fa.attach(model, "dfa")
    units = [f"layer{stage}.{unit}" for stage in range(1, 5) for unit in range(2)]
    assert blocks(attached) == ["conv1", *units, "fc"]
    nn.functional.cross_entropy(model(torch.randn(2, 3, 32, 32)), torch.tensor([0, 1])).backward()
    assert attached.feedback["layer1.0"].shape == (64 * 8 * 8, 5)
    assert all(p.grad.norm() > 0 for p in model.parameters())


class Words(nn.Module):
    """Words and their places, looked up in tables, and two layers."""

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.tables = nn.ModuleDict({"word": nn.Embedding(20, 6), "place": nn.Embedding(5, 6)})
        self.layers = nn.Sequential(*[nn.Linear(6, 6) for _ in range(layers)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h = self.tables["word"](ids) + self.tables["place"](torch.arange(ids.shape[1]))
        return self.layers(h)


@pytest.mark.parametrize("example", [False, True])
def test_tables_in_front_belong_to_the_block_that_their_output_enters(example):
    """No error passes below them, so that they are no depth; with tables for blocks, networks of one depth would differ."""
    torch.manual_seed(1)
    model, ids = Words().double(), torch.randint(20, (4, 5))
    attached = fa.attach(model, "dfa", example=ids if example else None)
    assert blocks(attached) == ["layers.0", "layers.1"]
    out = model(ids)
    out.retain_grad()
    out.square().sum().backward()
    delta = out.grad @ attached.feedback["layers.0"].T @ model.layers[0].weight
    wanted = torch.zeros(20, 6).double().index_add(0, ids.flatten(), delta.flatten(0, 1))
    assert torch.allclose(model.tables["word"].weight.grad, wanted, rtol=1e-12)
    assert torch.allclose(model.tables["place"].weight.grad, delta.sum(0), rtol=1e-12)


def test_tables_are_blocks_where_they_are_named_or_nothing_else_is_below_the_head():
    """Without them a rule would govern nothing, and the network would learn by backpropagation alone."""
    named = fa.attach(Words(), "dfa", blocks=["tables.word", "layers.0", "layers.1"])
    assert blocks(named) == ["tables.word", "layers.0", "layers.1"]
    assert blocks(fa.attach(Words(1), "dfa")) == ["tables.word", "layers.0"]


@every_rule
def test_patterns_and_modules_choose_the_same_blocks(rule):
    """Large networks are cut by stage; both ways to say so must mean the same."""
    model, problem = Residual(), PROBLEMS["residual"]
    stages = ["stem", "units", "head"]
    if ORACLES[rule].passes_every_block:
        for chosen in (stages, [model.stem, model.units, model.head]):
            with pytest.raises(ValueError, match=r"these are not: units \(Sequential\)"):
                fa.attach(model, rule, blocks=chosen)
        return
    by_name = attach(model, rule, problem, blocks=stages)
    assert blocks(by_name) == stages
    by_name.detach()
    by_module = attach(model, rule, problem, blocks=[model.stem, model.units, model.head])
    assert blocks(by_module) == stages
    by_module.detach()
    assert blocks(attach(model, rule, problem, blocks=["stem", "units.*", "head"])) == list(problem.blocks)


def test_coarser_blocks_pass_the_true_gradient_inside_them():
    """Inside a block autograd works as ever: blocks that leak or lose it are not what the user asked for."""
    problem = PROBLEMS["mlp"]
    model, plain, (x, y) = problem.model(), problem.model(), problem.batch()
    coarse = nn.Sequential(model[:3], model[3:])
    attached = fa.attach(coarse, "dfa", blocks=["0", "1"])
    nn.functional.cross_entropy(coarse(x), y).backward()
    B = attached.feedback["0"]
    out = plain(x)
    e = torch.autograd.grad(nn.functional.cross_entropy(out, y), out, retain_graph=True)[0]
    plain[:3](x).backward(e @ B.T)
    for ours, theirs in zip(model[:3].parameters(), plain[:3].parameters()):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rule", direct)
def test_pooling_and_activations_between_blocks_belong_to_the_lower_block(rule):
    """Errors enter after the activation and pooling: before them, B would have another shape."""
    problem = PROBLEMS["cnn"]
    model, (x, y) = problem.model(), problem.batch()
    attached = fa.attach(model, rule)
    attached.targets = y
    model(x)
    assert {name: tuple(b.shape) for name, b in attached.feedback.items()} == {"0": (8 * 4 * 4, 5), "4": (32, 5)}


@pytest.mark.parametrize("rule", direct)
def test_feedback_per_position_has_the_width_of_a_position(rule):
    """A language model's error is per token; dense feedback over the whole sequence would mix the tokens."""
    problem = PROBLEMS["positions"]
    attached = fa.attach(problem.model(), rule)
    assert {name: tuple(b.shape) for name, b in attached.feedback.items()} == {"0": (16, 4), "3": (12, 4)}
    model, (x, y) = attached.model, problem.batch()
    attached.targets = y
    model(x)
    assert attached.feedback["0"].shape == (16, 4)


@every_case
def test_print_names_every_governed_weight(rule, problem):
    """The table is how a user finds out that a layer is trained otherwise than believed."""
    text = repr(attach(problem.model(), rule, problem))
    assert text.startswith(fa.RULES[rule].__name__)
    for block in problem.blocks:
        assert any(line.startswith(block) for line in text.splitlines()), block


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
def test_attaching_takes_work_in_proportion_to_the_number_of_blocks(rule):
    """At a thousand layers every pair of blocks is a million. Calls of functions are counted, which no other process disturbs."""

    def calls(depth: int) -> int:
        layers = [module for _ in range(depth) for module in (nn.Linear(4, 4), nn.Tanh())]
        profile = cProfile.Profile()
        with profile:
            fa.attach(nn.Sequential(*layers, nn.Linear(4, 3)), rule, example=torch.zeros(2, 4))
        return pstats.Stats(profile).total_calls

    calls(2)  # what is imported or cached at first
    assert calls(80) < 2.2 * calls(40)
