"""The compile trap: compiled code of a plain model, silently reused for one under a rule, runs backprop.

Each test compiles in the order that springs the trap, and compares with the same rule run eagerly.
"""

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import lightning_fa as fa
from tests.cases import attach as attach_as_users_do
from tests.cases import cases, every_rule, masked, plain_of, problem_of, rules_that
from tests.oracles import CONTROLS, ORACLES, OTHERS
from tests.problems import assert_close, criterion, distance, gradients, read, rewind

EPS = torch.finfo(torch.float32).eps

every_rule = pytest.mark.parametrize("rule", fa.RULES)
smooth = pytest.mark.parametrize("problem", [PROBLEMS[name] for name in ("mlp", "residual")], ids=["mlp", "residual"])


@pytest.fixture(autouse=True)
def _nothing_compiled_yet():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def attach(model: nn.Module, rule: str, problem) -> fa.Attached:
    """With an example, so that all feedback exists before the graph is captured."""
    return fa.attach(model, rule, example=problem.batch()[0])


def compiled(model: nn.Module, backend: object = "aot_eager") -> nn.Module:
    return torch.compile(model, backend=backend, fullgraph=True)


def run(call: nn.Module, batch, attached: fa.Attached | None = None) -> dict[str, torch.Tensor]:
    """Gradients through the compiled ``call``, under the names of the plain model."""
    call.zero_grad()
    if attached is not None:
        attached.targets = batch[1]
    torch.manual_seed(3)
    loss = criterion(call(batch[0]), batch[1])
    (loss if attached is None else attached.loss(loss)).backward()
    return {name.removeprefix("_orig_mod."): g for name, g in read(call).items()}


def eager(problem, rule: str, batch) -> dict[str, torch.Tensor]:
    model = problem.model()
    return gradients(model, batch, attach(model, rule, problem))


def assert_on(ours, problem, rule: str) -> None:
    """Equal to the eager rule, and not to backprop in any hidden layer."""
    assert_close(ours, eager(problem, rule, problem.batch()), EPS, rounds=256)
    backprop = gradients(problem.model(), problem.batch())
    for name, g in problem.hidden(ours).items():
        assert (distance(g, backprop[name]) > 0.1) == (rule not in CONTROLS), name


@smooth
@every_rule
def test_a_rule_is_on_in_a_model_compiled_after_a_plain_one(rule, problem):
    """Compare control and rule in one process, as every notebook does, and the rule would be the control."""
    run(compiled(problem.model()), problem.batch())
    model = problem.model()
    attached = attach(model, rule, problem)
    assert_on(run(compiled(model), problem.batch(), attached), problem, rule)


@smooth
@every_rule
def test_a_rule_is_on_when_attached_after_the_first_compiled_call(rule, problem):
    """Lightning compiles before it sets the strategy up: the graph captured first must not stay."""
    model = problem.model()
    call = compiled(model)
    run(call, problem.batch())
    model.load_state_dict(problem.model().state_dict())
    attached = attach(model, rule, problem)
    assert_on(run(call, problem.batch(), attached), problem, rule)


@smooth
@every_rule
def test_a_rule_is_off_after_detaching_from_a_compiled_model(rule, problem):
    """The other way round: backprop after alignment would still be alignment."""
    model = problem.model()
    attached = attach(model, rule, problem)
    call = compiled(model)
    run(call, problem.batch(), attached)
    attached.detach()
    model.load_state_dict(problem.model().state_dict())
    backprop = gradients(problem.model(), problem.batch())
    assert_close(run(call, problem.batch()), backprop, EPS, rounds=256)


def test_all_rules_one_after_another_stay_themselves():
    """Each rule after each: compiled code shared between instances of one class is where they could meet."""
    problem = PROBLEMS["mlp"]
    for rule in [*CONTROLS, *OTHERS, *reversed(OTHERS), *CONTROLS]:
        model = problem.model()
        attached = attach(model, rule, problem)
        assert_on(run(compiled(model), problem.batch(), attached), problem, rule)


@every_rule
def test_two_instances_keep_their_own_feedback(rule):
    """Two seeds compiled in one process would both train with the first one's B."""
    problem = PROBLEMS["mlp"]
    models = [problem.model(), problem.model()]
    attached = [attach(model, rule, problem) for model in models]
    for b in attached[1].feedback.values():
        b.data.mul_(-2)
    for model, its in zip(models, attached):
        expected = gradients(model, problem.batch(), its)
        assert_close(run(compiled(model), problem.batch(), its), expected, EPS, rounds=256)


@every_rule
def test_what_is_copied_into_feedback_reaches_compiled_code(rule):
    """A B baked into the graph as a constant would ignore what the user sets."""
    problem = PROBLEMS["mlp"]
    model = problem.model()
    attached = attach(model, rule, problem)
    call = compiled(model)
    run(call, problem.batch(), attached)
    for b in attached.feedback.values():
        b.data.mul_(-2)
    expected = gradients(model, problem.batch(), attached)
    assert_close(run(call, problem.batch(), attached), expected, EPS, rounds=256)


@smooth
@every_rule
def test_a_model_under_a_rule_is_one_graph(rule, problem):
    """A graph break per block costs what the rule saves."""
    model = problem.model()
    attached = attach(model, rule, problem)
    counter = CompileCounterWithBackend("aot_eager")
    call = torch.compile(model, backend=counter, fullgraph=True)
    for seed in range(3):
        run(call, problem.batch(seed=seed), attached)
    assert counter.frame_count == 1


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # dynamo's own
@smooth
@every_rule
def test_feedback_that_is_drawn_while_compiling_is_the_same(rule, problem):
    """Without an example B is drawn in the first forward pass; a graph break there must not change it, or the rule."""
    model = problem.model()
    attached = fa.attach(model, rule)
    call = torch.compile(model, backend="aot_eager")
    assert_on(run(call, problem.batch(), attached), problem, rule)
    model.load_state_dict(problem.model().state_dict())
    assert_on(run(call, problem.batch(), attached), problem, rule)


@pytest.mark.parametrize("rule", ["dfa"])
def test_the_default_backend_computes_the_rule(rule):
    """The tests above stop before code generation, which users do not."""
    problem = PROBLEMS["mlp"]
    run(compiled(problem.model(), "inductor"), problem.batch())
    model = problem.model()
    attached = attach(model, rule, problem)
    assert_on(run(compiled(model, "inductor"), problem.batch(), attached), problem, rule)
