"""What a rule cannot govern is an error that names it. Every case below trains by backprop, or not at all, if it passes."""

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import lightning_fa as fa
from tests.problems import PROBLEMS, assert_same, gradients, mlp

direct = pytest.mark.parametrize("rule", ["dfa", "lafs"])
every_rule = pytest.mark.parametrize("rule", fa.RULES)


class Net(nn.Module):
    """Three layers, called as ``how`` says."""

    def __init__(self, how) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(self, x)


def run(how, rule: str, blocks=None) -> None:
    net, y = Net(how), torch.tensor([0, 1])
    attached = fa.attach(net, rule, blocks=blocks)
    for _ in range(2):  # what only leaves something behind is found by the pass after it
        attached.targets = y
        attached.loss(nn.functional.cross_entropy(net(torch.randn(2, 4)), y)).backward()


def in_order(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.c(torch.tanh(net.b(torch.tanh(net.a(x)))))


@direct
def test_a_well_behaved_network_raises_nothing(rule):
    """The other tests of this file would pass if everything raised."""
    run(in_order, rule)


ORDERS = {
    "the first block twice": (lambda n, x: n.c(n.b(n.a(n.a(x)))), "'a' was called again"),
    "an inner block twice": (lambda n, x: n.c(n.b(n.b(n.a(x)))), "'b' was called where 'c' was expected"),
    "out of order": (lambda n, x: n.c(n.a(n.b(x))), "'b' was called where 'a' was expected"),
    "a block left out": (lambda n, x: n.c(n.a(x)), "'c' was called where 'b' was expected"),
    "the head never": (lambda n, x: n.b(n.a(x)), "The head 'c' was not called before the loss"),
    "the head twice": (lambda n, x: n.c(n.c(n.b(n.a(x)))), "'c' was called where"),
}


@direct
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_called_otherwise_than_in_order_are_named(rule, order):
    """Each error would be delivered to the block of another layer."""
    how, message = ORDERS[order]
    with pytest.raises(RuntimeError, match=message):
        run(how, rule)


LEAKS = {
    "a skip connection": lambda n, x: (lambda h: n.c(torch.tanh(n.b(h)) + h))(torch.tanh(n.a(x))),
    "a skip connection to the output": lambda n, x: (lambda h: n.c(torch.tanh(n.b(h))) + h)(torch.tanh(n.a(x))),
    "a concatenation": lambda n, x: (lambda h: n.c(torch.stack([n.b(h), h]).sum(0)))(n.a(x)),
}


@direct
@pytest.mark.parametrize("leak", ["a skip connection", "a concatenation"])
def test_a_skip_connection_between_blocks_is_caught(rule, leak):
    """The known DFA resnets train on the true gradient through their skip paths, and report how well DFA does."""
    with pytest.raises(RuntimeError, match="leaks from block 'b' into block 'a'"):
        run(LEAKS[leak], rule)


@direct
def test_outputs_of_several_tensors_are_refused(rule):
    """Only the first tensor would be cut, or the head's error be one of several."""
    net = nn.Sequential(nn.Linear(4, 4), nn.GRU(4, 4))
    fa.attach(net, rule).targets = torch.tensor([0, 1])
    with pytest.raises(TypeError, match="head '1' returned a tuple"):
        net(torch.randn(2, 4))


@every_rule
def test_a_pattern_that_matches_nothing_is_named(rule):
    """A typo would leave the layers it meant to backprop."""
    with pytest.raises(ValueError, match=r"'layr\*' in `blocks` matches no module"):
        fa.attach(mlp(), rule, blocks=["0", "layr*"])
    with pytest.raises(ValueError, match="'hed' in `ungoverned` matches no module"):
        fa.attach(mlp(), rule, ungoverned="hed")
    with pytest.raises(ValueError, match="Linear given in `blocks` is not a module of the model"):
        fa.attach(mlp(), rule, blocks=[nn.Linear(2, 2)])


@every_rule
def test_a_weight_in_no_block_is_named(rule):
    """Layers skipped silently train by backprop through the blocks above them."""
    with pytest.raises(ValueError, match=r"No block contains 2\.weight"):
        fa.attach(mlp(), rule, blocks=["0", "4"])


@every_rule
def test_a_block_inside_a_block_is_named(rule):
    """The inner one would be cut twice."""
    model = PROBLEMS["residual"].model()
    with pytest.raises(ValueError, match=r"'units\.0' lies inside block 'units'"):
        fa.attach(model, rule, blocks=["stem", "units", "units.0", "head"])


@every_rule
def test_a_network_without_weights_is_refused(rule):
    """There would be nothing to train, and nothing to say so."""
    with pytest.raises(ValueError, match="no weight matrix"):
        fa.attach(nn.Sequential(nn.Tanh()), rule)


@pytest.mark.parametrize("rule", ["fa", "dfa"])
def test_a_lazy_layer_is_named_with_what_to_do(rule):
    """Beside a layer that has its weights it was skipped, and later trained by backprop."""
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"lazy modules 2 have no weights yet.*forward pass"):
        fa.attach(net, rule)
    net(torch.randn(2, 4))
    assert len(fa.attach(net, rule).feedback) == (2 if rule == "fa" else 1)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "lafs"])
def test_torchscript_is_named_and_can_be_left_out(rule):
    """The error was an AttributeError from within PyTorch."""
    torch.manual_seed(0)
    scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), scripted, nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    x = torch.randn(6, 4)
    with pytest.raises(ValueError, match=r"cannot enter the TorchScript modules 2\..*script them after.*ungoverned"):
        fa.attach(net, rule, example=x)
    attached = fa.attach(net, rule, example=x, ungoverned="2")
    assert [module.training for module in net.modules()] == [True] * 9
    assert torch.equal(scripted[1].running_mean, torch.zeros(4))
    attached.targets = torch.arange(6) % 3
    attached.loss(nn.functional.cross_entropy(net(x), attached.targets)).backward()
    assert all(p.grad is not None and p.grad.any() for n, p in net.named_parameters() if n != "2.0.bias")


def test_quantised_layers_are_said_to_hold_nothing_that_trains():
    """ "No weight matrix" about a network of three Linear sends the user on a search."""

    class Linear(nn.Module):
        pass

    Linear.__module__ = "torch.ao.nn.quantized.dynamic.modules.linear"
    with pytest.raises(ValueError, match="quantised layers hold no parameters"):
        fa.attach(nn.Sequential(Linear(), nn.ReLU(), Linear()), "fa")


def test_a_layer_that_transport_rules_cannot_govern_is_named():
    """Feedback alignment with one layer under backprop is neither of the two; the control has nothing to refuse."""

    class Linear(nn.LSTM):
        def forward(self, x):
            return super().forward(x)[0]

    net = nn.Sequential(nn.Linear(4, 4), Linear(4, 4), nn.Linear(4, 4))
    with pytest.raises(
        ValueError,
        match=r"Cannot govern 1 \(tests.networks.test_errors\..*Linear: .*\): a LSTM with a forward.*ungoverned",
    ):
        fa.attach(net, "fa")
    fa.attach(net, "bp").detach()
    fa.attach(net, "fa", ungoverned="1")


def test_what_is_left_to_backprop_on_purpose_stays_as_it_is():
    """``ungoverned`` is the one way to mix a rule with backprop, and must touch those layers only."""
    problem = PROBLEMS["mlp"]
    model, partly = problem.model(), problem.model()
    B = fa.attach(model, "fa").feedback
    attached = fa.attach(partly, "fa", ungoverned="2")
    assert list(attached.feedback) == ["0", "4"]
    B["2"].copy_(model[2].weight.detach())
    ours, expected = gradients(partly, problem.batch()), gradients(model, problem.batch())
    for name in expected:
        assert torch.allclose(ours[name], expected[name], rtol=1e-5, atol=1e-7)


@every_rule
def test_a_second_rule_in_one_model_is_refused(rule):
    """Two rules at once would be neither, and detaching one would not restore the model."""
    model = mlp()
    attached = fa.attach(model, rule)
    with pytest.raises(RuntimeError, match=r"attached to 0, 2, 4 already"):
        fa.attach(model, "bp")
    attached.detach()
    fa.attach(model, "bp")


@every_rule
def test_a_refused_attachment_leaves_the_model_plain(rule):
    """A user who corrects the call in a notebook would go on with half a rule in the model."""
    problem = PROBLEMS["mlp"]
    model = problem.model()
    with pytest.raises(ValueError, match="No block contains"):
        fa.attach(model, rule, blocks=["0", "4"])
    with pytest.raises(ValueError, match="in `ungoverned`"):
        fa.attach(model, rule, ungoverned="hed")
    assert not list(model.named_buffers())
    assert_same(gradients(model, problem.batch()), gradients(problem.model(), problem.batch()))


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
def test_a_feedback_tensor_of_the_wrong_shape_is_named(rule):
    """B and its transpose have the same number of elements: a reshape would hide the mistake."""
    cls = fa.RULES[rule]
    right = fa.attach(mlp(), rule).feedback
    for name in right:
        wrong = dict(right) | {name: right[name].T.contiguous()}
        expected = rf"given for '{name}' has shape \({wrong[name].shape[0]}, {wrong[name].shape[1]}\)"
        model = mlp()
        with pytest.raises(ValueError, match=expected):
            fa.attach(model, cls(init=wrong))
        assert not list(model.named_buffers())
    with pytest.raises(KeyError, match="no feedback for '0'"):
        fa.attach(mlp(), cls(init={"layer": right["0"]}))


def test_unknown_names_are_answered_with_the_known_ones():
    """A fallback to a default would run another experiment than the one in the configuration."""
    with pytest.raises(ValueError, match=r"one of .*'dfa'.*, but got 'dfaa'"):
        fa.attach(mlp(), "dfaa")
    with pytest.raises(TypeError, match="a rule or its name"):
        fa.attach(mlp(), fa.DirectFeedbackAlignment)
    for cls in (fa.FeedbackAlignment, fa.DirectFeedbackAlignment, fa.LinearAlignedFeedback):
        with pytest.raises(ValueError, match=r"one of .*'uniform'.*, but got 'unifrom'"):
            cls(init="unifrom")
    with pytest.raises(ValueError, match=r"one of .*'mse'.*, but got 'hinge'"):
        fa.LinearAlignedFeedback(loss="hinge")


@direct
def test_blocks_without_the_batch_first_are_refused(rule):
    """Rows of h and of e would be paired across samples."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Flatten(0), nn.Linear(8, 3)))
    fa.attach(net, rule, blocks="?").targets = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="same batch dimension first"):
        net(torch.randn(2, 4))


def sharded(model: nn.Module) -> nn.Module:
    return fully_shard(model, mesh=init_device_mesh("cpu", (1,)))


@pytest.mark.parametrize("rule", [name for name, kind in fa.RULES.items() if kind.learned])
@pytest.mark.parametrize(
    ("wrap", "who"),
    [(DistributedDataParallel, "DDP has not wrapped"), (sharded, "FSDP has not sharded")],
    ids=["ddp", "fsdp2"],
)
def test_learned_feedback_that_comes_after_what_averages_gradients_is_refused(one_rank, rule, wrap, who):
    """Measured on two ranks: the gradient of B was each rank's own, and the ranks' networks drifted apart in silence."""
    model = wrap(mlp())
    with pytest.raises(ValueError, match=f"{who} yet.*Attach the rule first"):
        fa.attach(model, rule, example=torch.zeros(2, 10))
    assert not any("_feedback" in name for name, _ in model.named_parameters())


@every_rule
def test_weights_that_tensor_parallelism_has_divided_already_are_refused(one_rank, rule):
    """B would be drawn whole beside a part of W."""
    model = parallelize_module(mlp(), init_device_mesh("cpu", (1,)), {"0": ColwiseParallel()})
    with pytest.raises(ValueError, match=r"has divided 0\.weight, 0\.bias\. Attach the rule first"):
        fa.attach(model, rule, example=torch.zeros(2, 10))


def test_fixed_feedback_may_come_after_ddp(one_rank):
    """It is drawn alike on all ranks, and has no gradient."""
    model = DistributedDataParallel(mlp())
    attached = fa.attach(model, "dfa")
    nn.functional.cross_entropy(model(torch.randn(4, 10)), torch.arange(4)).backward()
    assert attached.feedback["0"].any()
