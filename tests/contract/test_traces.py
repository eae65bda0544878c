"""A rule comes, is saved, copied and goes: what it may leave in the user's model, which is nothing."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import lightning_fa as fa
from tests.cases import SEEDED, attach, cases, every_case, plain_of, rules_that
from tests.problems import assert_same, criterion, gradients, rewind

every_rule = cases(problems=["mlp"])
every_rule_with_a_seed = cases(SEEDED, ["mlp"])


def anatomy(model: nn.Module) -> dict[str, object]:
    """Everything about every module that is not the value of a tensor."""
    return {
        name: (type(m), {key: list(v) if isinstance(v, (dict, set)) else type(v) for key, v in vars(m).items()})
        for name, m in model.named_modules()
    }


@every_case
def test_detaching_restores_the_model_bitwise(rule, problem):
    """A network measured or fine-tuned after its training would still be under a rule that nobody believes is there."""
    model = problem.model()
    before = anatomy(model)
    attached = attach(model, rule, problem)
    plain = plain_of(problem, attached)
    gradients(model, problem.batch(), attached)
    assert anatomy(model) != before  # the comparison sees a rule that is there
    attached.detach()
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in plain.parameters()]
    gradients(plain, problem.batch())
    assert anatomy(model) == before
    assert_same(model.state_dict(), plain.state_dict())
    assert_same(dict(model.named_buffers()), dict(plain.named_buffers()))
    assert_same(gradients(model, problem.batch()), gradients(plain, problem.batch()))


@every_rule
def test_detaching_twice_leaves_the_next_rule_alone(rule, problem):
    """A ``finally: attached.detach()`` would silently take the next rule's feedback away, and read it as its own."""
    model = problem.model()
    first = attach(model, rule, problem)
    last = {name: b.clone() for name, b in first.feedback.items()}
    first.detach()
    second = attach(model, rule, problem)
    for b in second.feedback.values():
        b.data.mul_(2)
    expected = gradients(model, problem.batch(), second)
    first.detach()
    assert_same(first.feedback, last)
    assert_same(gradients(model, problem.batch(), second), expected)


@every_case
def test_a_rule_can_be_attached_again_after_detaching(rule, problem):
    """Switching rules in the course of training is an experiment of its own (Lillicrap's alignment, then backprop)."""
    model = problem.model()
    first = attach(model, rule, problem)
    expected = gradients(model, problem.batch(), first)
    first.detach()
    model.load_state_dict(problem.model().state_dict())
    assert_same(gradients(model, problem.batch(), attach(model, rule, problem)), expected)


@every_case
def test_the_state_dict_of_the_model_has_its_usual_keys(rule, problem):
    """Weights trained under a rule must load into the plain network, with strict=True."""
    model, plain = problem.model(), problem.model()
    attached = attach(model, rule, problem)
    gradients(model, problem.batch(), attached)
    assert list(model.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(model.state_dict(), strict=True)
    model.load_state_dict(problem.model().state_dict(), strict=True)


@every_case
def test_saved_feedback_continues_exactly(rule, problem):
    """Feedback that is drawn anew on resume undoes the alignment the weights have learned so far."""
    model, other = problem.model(), problem.model()
    attached = attach(model, rule, problem)
    gradients(model, problem.batch(), attached)  # also draws what is only drawn in the first forward pass
    for b in attached.feedback.values():
        b.data.mul_(1.5)
    file = io.BytesIO()
    torch.save(attached.state_dict(), file)
    held = {name: b.detach().clone() for name, b in attached.feedback.items()}
    model.load_state_dict(other.state_dict())
    expected = gradients(model, problem.batch(), attached)
    file.seek(0)
    again = attach(other, rule, problem)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert_same(again.feedback, held)
    assert_same(gradients(other, problem.batch(), again), expected)


@every_rule
def test_state_of_another_choice_of_blocks_is_refused(rule, problem):
    """Continuing under other blocks is another experiment, and must not pass for the first one."""
    state = attach(problem.model(), rule).state_dict()
    shallower = fa.attach(nn.Sequential(nn.Linear(10, 9), nn.Tanh(), nn.Linear(9, 5)), rule)
    with pytest.raises(ValueError, match=r"blocks: checkpoint \['0', '2', '4'\], here \['0', '2'\]"):
        shallower.load_state_dict(state)


@every_rule_with_a_seed
def test_state_of_another_seed_is_refused(rule, problem):
    """As above; the message says what differs, since nobody remembers the seed of a checkpoint."""
    state = attach(problem.model(), fa.RULES[rule](seed=3)).state_dict()
    with pytest.raises(ValueError, match="seed: checkpoint 3, here 4"):
        attach(problem.model(), fa.RULES[rule](seed=4)).load_state_dict(state)


@every_rule
def test_state_of_another_rule_is_refused(rule, problem):
    """As above."""
    other = next(name for name in fa.RULES if name != rule)
    state = attach(problem.model(), rule).state_dict()
    with pytest.raises(ValueError, match=f"rule: checkpoint '{fa.RULES[rule].__name__}'"):
        attach(problem.model(), other).load_state_dict(state)


@every_case
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["copy", "pickle"])
def test_a_copy_trains_identically_and_on_its_own(rule, problem, duplicate):
    """Model averaging and processes copy networks: a copy that shares feedback or taps corrupts both."""
    model, data = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    gradients(model, data, attached)
    twin = duplicate(attached)
    model.load_state_dict(problem.model().state_dict())
    twin.model.load_state_dict(problem.model().state_dict())
    expected = gradients(model, data, attached)
    assert_same(gradients(twin.model, data, twin), expected)
    for b in twin.feedback.values():
        b.data.mul_(-3)
    gradients(twin.model, problem.batch(seed=9), twin)
    twin.detach()
    model.load_state_dict(problem.model().state_dict())
    assert_same(gradients(model, data, attached), expected)


@every_case
def test_evaluation_leaves_no_trace(rule, problem):
    """A validation batch whose shapes or taps linger would deliver its errors in the next training step."""
    model, data = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    plain, held = plain_of(problem, attached), attached.state_dict()["feedback"]
    model.eval()
    with torch.no_grad():
        out = model(problem.batch(3)[0])
        assert torch.equal(out, plain.eval()(problem.batch(3)[0]))
    with torch.inference_mode():
        model(problem.batch(3)[0])
    assert_same(attached.state_dict()["feedback"], held)
    fresh = problem.model()
    assert_same(gradients(model.train(), data, attached), gradients(fresh, data, attach(fresh, rule, problem)))


@every_rule
def test_without_gradients_the_own_forward_runs(rule, problem, monkeypatch):
    """Inference under a rule must cost what it costs without one, also where a user has patched a layer's forward."""
    model, calls = problem.model(), []
    attach(model, rule, problem)
    own = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: calls.append(self) or own(self, x))
    with torch.no_grad():
        model(problem.batch()[0])
    assert calls == [model[0], model[2], model[4]]


@cases(rules_that(joins=True), ["mlp"])
def test_a_loss_that_was_not_joined_is_an_error(rule, problem):
    """Without its own loss every hidden layer stays as it was initialised, and the head still learns a little."""
    model, (x, y) = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    attached.targets = y
    with pytest.raises(RuntimeError, match=r"attached\.loss"):
        nn.functional.cross_entropy(model(x), y).backward()


@cases(rules_that(joins=True), ["mlp"])
def test_two_losses_of_one_pass_are_to_be_added(rule, problem):
    """The second loss would train no hidden layer."""
    model, (x, y) = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    attached.targets = y
    out = model(x)
    attached.loss(criterion(out, y)).backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="Add several losses of one forward pass before"):
        attached.loss(out.square().mean()).backward()


@cases(rules_that(joins=False), ["mlp"])
def test_other_rules_need_no_joined_loss(rule, problem):
    """Plain PyTorch users of these rules change one line only."""
    model = problem.model()
    attached = attach(model, rule, problem)
    expected = gradients(model, problem.batch(), attached)
    assert not attached.needs_loss
    rewind(attached)
    assert_same(gradients(model, problem.batch()), expected)


@cases(rules_that(targets=True), ["mlp"])
def test_missing_or_misfitting_targets_are_an_error(rule, problem):
    """Targets of the batch before would train every hidden layer on noise."""
    model, (x, y) = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    with pytest.raises(ValueError, match=r"attached\.targets = y"):
        model(x)
    attached.targets = y[:-1]
    with pytest.raises(ValueError, match=r"Expected targets for 8 (rows|samples)"):
        model(x)


@every_rule
def test_a_loss_that_is_not_a_scalar_is_an_error(rule, problem):
    """Joined to a vector, the own losses of the blocks would be counted once per sample."""
    attached = attach(problem.model(), rule)
    with pytest.raises(ValueError, match="scalar"):
        attached.loss(torch.ones(3))
