"""The compile trap: compiled code of a plain model, silently reused for one under a rule, runs backprop.

Each test compiles in the order that springs the trap, and compares with the same rule run eagerly.
"""

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import lightning_fa as fa
from tests import cases
from tests.cases import masked, plain_of, problem_of, these
from tests.contract.test_checkpointing import Checkpointed
from tests.oracles import CONTROLS
from tests.problems import Gradients, Problem, assert_close, criterion, distance, gradients, read, rewind

# Dynamo's own, at a graph break.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

EPS = torch.finfo(torch.float32).eps

FAMILIES = ("fa", "wm", "dfa", "lafs", "sgprop", "shallow")
"""One rule of each wiring: what dynamo meets differs between these, and between the layers, but little within them."""

every_rule = these((rule, "mlp") for rule in fa.RULES)
every_family = these((rule, "mlp") for rule in FAMILIES)
every_layer = these((rule, "residual") for rule in FAMILIES)
"""Convolutions, normalisation and a way past them; all other tests are of the MLP."""


@pytest.fixture(autouse=True)
def _nothing_compiled_yet():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def attach(model: nn.Module, rule: str, problem: Problem) -> fa.Attached:
    """With an example, so that all feedback exists before the graph is captured."""
    return cases.attach(model, rule, problem, example=problem.batch()[0])


def compiled(model: nn.Module, backend: object = "aot_eager") -> nn.Module:
    return torch.compile(model, backend=backend, fullgraph=True)


def run(call: nn.Module, batch, attached: fa.Attached | None = None) -> Gradients:
    """Gradients through the compiled ``call``, under the names of the plain model."""
    call.zero_grad()
    if attached is not None:
        rewind(attached)
        attached.targets = batch[1]
    torch.manual_seed(3)
    loss = criterion(call(batch[0]), batch[1])
    (loss if attached is None else attached.loss(loss)).backward()
    return {name.removeprefix("_orig_mod."): g for name, g in read(call).items()}


def run_attached(rule: str, problem: Problem, backend: object) -> Gradients:
    """Gradients of a fresh model, compiled and under the rule."""
    model = problem.model()
    attached = attach(model, rule, problem)
    return run(compiled(model, backend), problem.batch(), attached)


def assert_on(ours: Gradients, problem: Problem, rule: str) -> None:
    """Equal to the eager rule, and not to backprop in any hidden layer."""
    model = problem.model()
    attached = attach(model, rule, problem)
    assert_close(ours, gradients(model, problem.batch(), attached), EPS, rounds=256)
    backprop = masked(gradients(plain_of(problem, attached), problem.batch()), attached)
    for name, g in problem.hidden(ours).items():
        assert (distance(g, backprop[name]) > 0.1) == (rule not in CONTROLS), name


@every_layer
def test_a_rule_is_on_in_a_model_compiled_after_a_plain_one(rule, problem):
    """Compare control and rule in one process, as every notebook does, and the rule would be the control."""
    run(compiled(problem.model()), problem.batch())
    model = problem.model()
    attached = attach(model, rule, problem)
    assert_on(run(compiled(model), problem.batch(), attached), problem, rule)


@every_family
def test_a_rule_is_on_when_attached_after_the_first_compiled_call(rule, problem):
    """Lightning compiles before it sets the strategy up: the graph captured first must not stay."""
    model = problem.model()
    call = compiled(model)
    run(call, problem.batch())
    model.load_state_dict(problem.model().state_dict())
    attached = attach(model, rule, problem)
    assert_on(run(call, problem.batch(), attached), problem, rule)


@every_family
def test_a_rule_is_off_after_detaching_from_a_compiled_model(rule, problem):
    """The other way round: backprop after alignment would still be alignment."""
    model = problem.model()
    attached = attach(model, rule, problem)
    call = compiled(model)
    run(call, problem.batch(), attached)
    plain = plain_of(problem, attached)
    attached.detach()
    model.load_state_dict(plain.state_dict())
    backprop = gradients(plain, problem.batch())
    assert_close(run(call, problem.batch()), backprop, EPS, rounds=256)


def versions(most: int):
    """Let dynamo keep so many versions of a function, in place of 8."""
    return torch._dynamo.config.patch(recompile_limit=most)


def test_rules_one_after_another_stay_themselves():
    """Each rule after another: compiled code shared between instances of one class is where they could meet."""
    with versions(64):
        for rule in [*CONTROLS, *FAMILIES, *reversed(FAMILIES), *CONTROLS]:
            problem = problem_of(rule, "mlp")
            model = problem.model()
            attached = attach(model, rule, problem)
            assert_on(run(compiled(model), problem.batch(), attached), problem, rule)


@pytest.mark.parametrize("fresh", [False, True])
def test_past_the_limit_of_dynamo_a_whole_graph_is_refused_unless_one_begins_anew(fresh):
    """What docs/compile.md says: an error that asks for a reset, and no ninth rule that is one of the eight."""
    with versions(2):
        for rule in ("dfa", "fa"):
            run_attached(rule, problem_of(rule, "mlp"), "aot_eager")
        if fresh:
            torch._dynamo.reset()
            assert_on(run_attached("lafs", problem_of("lafs", "mlp"), "aot_eager"), problem_of("lafs", "mlp"), "lafs")
        else:
            with pytest.raises(Exception, match=r"fullgraph=True|recompile_limit"):
                run_attached("lafs", problem_of("lafs", "mlp"), "aot_eager")


def test_past_the_limit_of_dynamo_further_rules_run_uncompiled():
    """Slow is what the docs promise there, and not wrong."""
    with versions(2):
        for rule in ("dfa", "fa", "lafs", "sg"):
            problem = problem_of(rule, "mlp")
            model = problem.model()
            attached = attach(model, rule, problem)
            call = torch.compile(model, backend="aot_eager")
            assert_on(run(call, problem.batch(), attached), problem, rule)


@every_family
def test_two_instances_keep_their_own_feedback(rule, problem):
    """Two seeds compiled in one process would both train with the first one's B."""
    models = [problem.model(), problem.model()]
    attached = [attach(model, rule, problem) for model in models]
    for b in attached[1].feedback.values():
        b.data.mul_(-2)
    for model, its in zip(models, attached):
        expected = gradients(model, problem.batch(), its)
        assert_close(run(compiled(model), problem.batch(), its), expected, EPS, rounds=256)


@every_family
def test_what_is_copied_into_feedback_reaches_compiled_code(rule, problem):
    """A B baked into the graph as a constant would ignore what the user sets."""
    model = problem.model()
    attached = attach(model, rule, problem)
    call = compiled(model)
    run(call, problem.batch(), attached)
    for b in attached.feedback.values():
        b.data.mul_(-2)
    expected = gradients(model, problem.batch(), attached)
    assert_close(run(call, problem.batch(), attached), expected, EPS, rounds=256)


@every_rule
def test_a_model_is_one_graph_and_one_for_batches_of_other_sizes(rule, problem):
    """A graph break per block costs what the rule saves. The last batch of an epoch is smaller: sizes are free in the
    second graph, also those that the backward pass reads.
    """
    model = problem.model()
    attached = attach(model, rule, problem)
    counter = CompileCounterWithBackend("aot_eager")
    call = compiled(model, counter)
    assert_on(run(call, problem.batch(), attached), problem, rule)
    eager = problem.model()
    its = attach(eager, rule, problem)
    for seed, (size, graphs) in enumerate([(8, 1), (8, 1), (5, 2), (6, 2), (7, 2)], start=2):
        batch = problem.batch(size, seed=seed)
        assert_close(run(call, batch, attached), gradients(eager, batch, its), EPS, rounds=256)
        assert counter.frame_count == graphs


@every_family
def test_the_backend_that_compiles_nothing_trains_alike(rule, problem):
    """`backend="eager"` is the first step of debugging: there autograd sees another node for each of our functions."""
    assert_on(run_attached(rule, problem, "eager"), problem, rule)


@these((rule, "mlp") for rule in (*FAMILIES, "solo", "sg", "ifa"))
@pytest.mark.parametrize("parts", ["0", "2", "4", "024"])
def test_parts_that_are_compiled_by_themselves_train_alike(rule, problem, parts):
    """`block.compile()` in a loop is how large networks are compiled. The parts around it are not compiled."""
    model = problem.model()
    attached = attach(model, rule, problem)
    for part in parts:
        model.get_submodule(part).compile(backend="aot_eager")
    if rule == "ifa" and "0" in parts:
        with pytest.raises(
            Exception, match="Compile the whole model" if parts == "0" else "appears to not have been used"
        ):
            run(model, problem.batch(), attached)
        return
    for seed in range(2):
        batch = problem.batch(seed=seed)
        plain = problem.model()
        expected = gradients(plain, batch, attach(plain, rule, problem))
        assert_close(run(model, batch, attached), expected, EPS, rounds=256)


@every_family
def test_checkpoints_inside_compiled_code_train_alike(rule, problem):
    """Dynamo breaks the graph at a checkpoint of a block, so that compiled and other code take turns."""
    model = problem.model()
    attached = attach(model, rule, problem)
    call = torch.compile(Checkpointed(model), backend="aot_eager")
    for seed in range(2):
        batch = problem.batch(seed=seed)
        expected = gradients(model, batch, attached)
        ours = {name.removeprefix("net."): g for name, g in run(call, batch, attached).items()}
        assert_close(ours, expected, EPS, rounds=256)


@every_family
def test_feedback_that_is_drawn_while_compiling_is_the_same(rule, problem):
    """Without an example B is drawn in the first forward pass; a graph break there must not change it, or the rule."""
    model = problem.model()
    attached = cases.attach(model, rule, problem)
    call = torch.compile(model, backend="aot_eager")
    assert_on(run(call, problem.batch(), attached), problem, rule)
    model.load_state_dict(problem.model().state_dict())
    assert_on(run(call, problem.batch(), attached), problem, rule)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_indirect_feedback_compiles_with_maps_and_activations_in_place(backend, inplace):
    """A derivative at a pre-activation that ReLU has overwritten since would be that of nothing at all."""

    def build() -> nn.Module:
        layers = [
            nn.Conv2d(3, 5, 3, stride=2),
            nn.ReLU(inplace),
            nn.Conv2d(5, 4, 3, padding=1, padding_mode="circular"),
        ]
        return nn.Sequential(*layers, nn.GELU(), nn.Flatten(), nn.Linear(36, 8), nn.ReLU(inplace), nn.Linear(8, 4))

    problem = Problem(build, (3, 7, 7), (), 4, ("0", "2", "5", "7"))
    assert_on(run_attached("ifa", problem, backend), problem, "ifa")


@pytest.mark.parametrize("rule", ["dfa", "ifa"])
def test_the_default_backend_computes_the_rule(rule):
    """The tests above stop before code generation, which users do not."""
    problem = problem_of(rule, "mlp")
    run(compiled(problem.model(), "inductor"), problem.batch())
    assert_on(run_attached(rule, problem, "inductor"), problem, rule)
