"""What every rule promises, on every kind of network. A new rule is under this contract once it is registered."""

import pytest
import torch

import lightning_fa as fa
from tests.oracles import CONTROLS, ORACLES, OTHERS
from tests.problems import (
    PROBLEMS,
    assert_close,
    assert_same,
    criterion,
    distance,
    forward,
    gradients,
    read,
    seeded,
)

EPS = torch.finfo(torch.float32).eps

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
every_rule = pytest.mark.parametrize("rule", fa.RULES)
every_rule_with_a_seed = pytest.mark.parametrize("rule", [rule for rule in fa.RULES if seeded(rule)])


@every_problem
@every_rule
def test_forward_is_bitwise_unchanged(rule, problem):
    """A rule that touches the forward pass compares two networks, not two ways of credit assignment."""
    plain, model, (x, y) = problem.model(), problem.model(), problem.batch()
    fa.attach(model, rule).targets = y
    torch.manual_seed(3)
    expected, state = plain(x), torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(model(x), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(dict(model.named_buffers()) | dict(plain.named_buffers()), dict(model.named_buffers()))


@every_problem
@pytest.mark.parametrize("rule", CONTROLS)
def test_the_control_equals_autograd_bitwise(rule, problem):
    """Else a difference between a rule and the control could be the code path and not the rule."""
    expected = gradients(problem.model(), problem.batch())
    model = problem.model()
    assert_same(gradients(model, problem.batch(), fa.attach(model, rule)), expected)


@every_problem
@pytest.mark.parametrize("rule", OTHERS)
def test_every_hidden_layer_learns_otherwise_than_by_backprop(rule, problem):
    """The worst silent error in this field: a rule that is not on trains by backprop, and reproduces its paper well."""
    model, data = problem.model(), problem.batch()
    backprop = gradients(problem.model(), data)
    ours = gradients(model, data, fa.attach(model, rule))
    for name, g in problem.hidden(ours).items():
        assert distance(g, backprop[name]) > 0.1, name


@every_problem
@every_rule
def test_the_head_learns_by_the_true_error(rule, problem):
    """All rules share delta^k = e: a head that misses part of e trains worse for a reason that is not the rule's."""
    model, data = problem.model(), problem.batch()
    backprop = gradients(problem.model(), data)
    ours = gradients(model, data, fa.attach(model, rule))
    head = {name for name in ours if name not in problem.hidden(ours)}
    assert head
    assert_same({name: ours[name] for name in head}, {name: backprop[name] for name in head})


@every_problem
@every_rule
def test_no_parameter_is_left_without_a_gradient(rule, problem):
    """One library shipped every hidden gradient silently zero, and its networks still learned something."""
    model = problem.model()
    ours = gradients(model, problem.batch(), fa.attach(model, rule))
    assert ours.keys() == dict(problem.model().named_parameters()).keys()
    for name, g in ours.items():
        assert g.isfinite().all(), name
        assert g.norm() > 1e-6, name


@every_problem
@every_rule
def test_gradients_follow_from_the_seed_alone(rule, problem):
    """Feedback from the global RNG differs between ranks and after resume, and shifts all draws of the user's own."""
    results, data = [], problem.batch()
    for seed in (11, 12):
        model = problem.model().eval()
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        attached = fa.attach(model, rule)
        loss = attached.loss(criterion(_with_targets(model, attached, data), data[1]))
        assert torch.equal(torch.get_rng_state(), state)
        loss.backward()
        results.append(read(model))
    assert_same(*results)


def _with_targets(model, attached, data):
    attached.targets = data[1]
    return model(data[0])


@every_problem
@every_rule_with_a_seed
def test_another_seed_is_another_feedback_in_every_hidden_layer(rule, problem):
    """Replications over seeds that share their feedback report a spread that is too small."""
    data, results = problem.batch(), []
    for seed in (0, 1):
        model = problem.model()
        results.append(problem.hidden(gradients(model, data, fa.attach(model, fa.RULES[rule](seed=seed)))))
    for name, g in results[0].items():
        assert distance(g, results[1][name]) > 0.1, name


@every_problem
@every_rule
def test_a_batch_is_the_mean_of_its_samples(rule, problem):
    """The sum in place of the mean (spec, trap 1) multiplies the hidden layers' learning rate by the batch size."""
    model = problem.model().eval()
    attached, (x, y) = fa.attach(model, rule), problem.batch(5)
    whole = gradients(model, (x, y), attached)
    singles = [gradients(model, (x[i : i + 1], y[i : i + 1]), attached) for i in range(5)]
    assert_close(whole, {name: torch.stack([s[name] for s in singles]).mean(0) for name in whole}, EPS)


@every_problem
@every_rule
def test_a_shorter_last_batch_is_like_any_other(rule, problem):
    """State kept from the batch before (targets, shapes, taps) trains the last batch of an epoch on the wrong error."""
    model = problem.model()
    attached = fa.attach(model, rule)
    gradients(model, problem.batch(8), attached)
    model.load_state_dict(problem.model().state_dict())
    fresh = problem.model()
    last = problem.batch(3, seed=5)
    assert_same(gradients(model, last, attached), gradients(fresh, last, fa.attach(fresh, rule)))


@every_problem
@every_rule
def test_two_forward_passes_before_backward_keep_their_errors_apart(rule, problem):
    """GANs, contrastive losses and accumulation call the network twice: the errors must go where they belong."""
    model = problem.model()
    attached = fa.attach(model, rule)
    a, b = problem.batch(8, seed=1), problem.batch(6, seed=2)
    one, two = gradients(model, a, attached), gradients(model, b, attached)
    model.zero_grad()
    first, second = forward(model, a, attached), forward(model, b, attached)
    second.backward()
    assert_close(read(model), two, EPS)
    first.backward()
    assert_close(read(model), {name: one[name] + two[name] for name in one}, EPS)


@every_problem
@every_rule
def test_frozen_parameters_stay_out_and_change_nothing_else(rule, problem):
    """Fine-tuning freezes the lower layers: the others must learn exactly as they would have."""
    model, data = problem.model(), problem.batch()
    attached = fa.attach(model, rule)
    expected = gradients(model, data, attached)
    frozen = [name for name in expected if name.startswith(problem.blocks[0] + ".")]
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
        model.get_parameter(name).grad = None
    assert_same(gradients(model, data, attached), {n: g for n, g in expected.items() if n not in frozen})


@every_problem
@every_rule
def test_an_optimizer_per_part_trains_as_one(rule, problem):
    """Learning rates per layer are common in this field; a rule with an optimizer of its own would ignore them."""
    models = [problem.model(), problem.model()]
    attached = [fa.attach(model, rule) for model in models]
    head = [[p for n, p in m.named_parameters() if n.startswith(problem.blocks[-1] + ".")] for m in models]
    rest = [[p for n, p in m.named_parameters() if not n.startswith(problem.blocks[-1] + ".")] for m in models]
    one = [torch.optim.SGD([{"params": rest[0]}, {"params": head[0], "lr": 0.5}], lr=0.1, momentum=0.9)]
    two = [torch.optim.SGD(rest[1], lr=0.1, momentum=0.9), torch.optim.SGD(head[1], lr=0.5, momentum=0.9)]
    for seed in range(2):
        for model, its, optimizers in zip(models, attached, (one, two)):
            gradients(model, problem.batch(seed=seed), its)
            for optimizer in optimizers:
                optimizer.step()
    assert_same(models[1].state_dict(), models[0].state_dict())
    start = problem.model().get_parameter(f"{problem.blocks[-1]}.weight")
    assert distance(models[0].get_parameter(f"{problem.blocks[-1]}.weight"), start) > 0.01


@every_problem
@pytest.mark.parametrize("rule", [rule for rule, oracle in ORACLES.items() if oracle.linear])
def test_losses_on_one_output_add_up(rule, problem):
    """A penalty on the logits is part of e; a rule that sees only one of the losses trains the hidden layers without it."""
    model, (x, y) = problem.model(), problem.batch()
    attached = fa.attach(model, rule)
    losses = [lambda out: criterion(out, y), lambda out: 0.1 * out.square().mean()]
    losses.append(lambda out: losses[0](out) + losses[1](out))
    results = []
    for loss in losses:
        model.zero_grad()
        torch.manual_seed(3)
        attached.targets = y
        attached.loss(loss(model(x))).backward()
        results.append(read(model))
    assert_close(results[2], {name: results[0][name] + results[1][name] for name in results[0]}, EPS)
