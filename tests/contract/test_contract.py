"""What every rule promises, on every kind of network. A new rule is under this contract once it is registered.

Where the nature of a rule differs, its row in ``oracles.py`` says how, and the test demands just that of it.
"""

import pytest
import torch
from torch import nn

import lightning_fa as fa
from tests.cases import SEEDED, attach, cases, every_case, masked, plain_of, problem_of, rules_that, speak
from tests.oracles import CONTROLS, ORACLES, OTHERS
from tests.problems import (
    PROBLEMS,
    assert_close,
    assert_same,
    criterion,
    distance,
    forward,
    gradients,
    lessons,
    own,
    read,
    rewind,
)

EPS = torch.finfo(torch.float32).eps


@every_case
def test_forward_is_bitwise_unchanged(rule, problem):
    """A rule that touches the forward pass compares two networks, not two ways of credit assignment."""
    model, (x, y) = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    attached.targets = y
    plain = plain_of(problem, attached)
    torch.manual_seed(3)
    expected, state = plain(x), torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(model(x), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(dict(model.named_buffers()) | dict(plain.named_buffers()), dict(model.named_buffers()))
    assert_same(model.state_dict(), plain.state_dict())


@cases(CONTROLS)
def test_the_control_equals_autograd_bitwise(rule, problem):
    """Else a difference between a rule and the control could be the code path and not the rule."""
    expected = gradients(problem.model(), problem.batch())
    model = problem.model()
    assert_same(gradients(model, problem.batch(), attach(model, rule, problem)), expected)


@cases(OTHERS)
def test_every_hidden_layer_learns_otherwise_than_by_backprop(rule, problem):
    """The worst silent error in this field: a rule that is not on trains by backprop, and reproduces its paper well."""
    model, data = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    backprop = masked(gradients(plain_of(problem, attached), data), attached)
    ours = problem.hidden(gradients(model, data, attached))
    assert ours.keys() == (set() if ORACLES[rule].no_hidden_gradient else problem.hidden(backprop).keys())
    for name, g in ours.items():
        assert distance(g, backprop[name]) > 0.1, name


@every_case
def test_the_head_learns_by_the_true_error(rule, problem):
    """All rules share delta^k = e: a head that misses part of e trains worse for a reason that is not the rule's."""
    model, data = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    backprop = masked(gradients(plain_of(problem, attached), data), attached)
    assert problem.head(backprop)
    assert_same(problem.head(gradients(model, data, attached)), problem.head(backprop))


@every_case
def test_no_parameter_is_left_without_a_gradient(rule, problem):
    """One library shipped every hidden gradient silently zero, and its networks still learned something."""
    model = problem.model()
    attached = attach(model, rule, problem)
    ours = gradients(model, problem.batch(), attached)
    network = dict(problem.model().named_parameters())
    assert own(ours).keys() == (problem.head(network) if ORACLES[rule].no_hidden_gradient else network).keys()
    assert len(lessons(ours)) == (len(attached.feedback) if ORACLES[rule].lessons else 0)
    for name, g in ours.items():
        assert g.isfinite().all(), name
        assert g.norm() > 1e-6, name


@cases(rules_that(silent=True))
def test_a_rule_that_begins_silent_only_learns_to_predict_at_first(rule, problem):
    """A prediction that begins elsewhere than at zero moves the network at random before anything is known."""
    model = problem.model()
    example = problem.batch(2)[0] if problem.maps else None
    ours = gradients(model, problem.batch(), fa.attach(model, rule, example=example))
    assert len(problem.hidden(ours)) > 0
    assert all(not g.any() for g in problem.hidden(ours).values())
    assert any(g.norm() > 1e-6 for g in lessons(ours).values())


@every_case
def test_gradients_follow_from_the_seed_alone(rule, problem):
    """Feedback from the global RNG differs between ranks and after resume, and shifts all draws of the user's own."""
    results, (x, y) = [], problem.batch()
    for seed in (11, 12):
        model = problem.model().eval()
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        attached = attach(model, rule, problem)
        attached.targets = y
        loss = attached.loss(criterion(model(x), y))
        assert torch.equal(torch.get_rng_state(), state)
        loss.backward()
        results.append(read(model))
    assert_same(*results)


@cases(SEEDED)
def test_another_seed_is_another_feedback_in_every_hidden_layer(rule, problem):
    """Replications over seeds that share their feedback report a spread that is too small."""
    data, results = problem.batch(), []
    for seed in (0, 1):
        model = problem.model()
        seeded = fa.RULES[rule](seed=seed, **ORACLES[rule].drawing)
        results.append(problem.hidden(gradients(model, data, attach(model, seeded, problem))))
    wide = "" if ORACLES[rule].copies is None else problem.blocks[0] + "."
    assert any(name.startswith(wide) for name in results[0])
    for name, g in results[0].items():
        assert distance(g, results[1][name]) > 0.1 or not name.startswith(wide), name


@every_case
def test_only_stochastic_rules_draw_anew_in_every_forward_pass(rule, problem):
    """Feedback that changes where it should be fixed never aligns; feedback that stays is another rule than brSF."""
    model, (x, y) = problem.model().eval(), problem.batch()
    attached, results = attach(model, rule, problem), []
    for _ in range(2):
        model.zero_grad()
        attached.targets = y
        attached.loss(criterion(model(x), y)).backward()
        results.append(read(model))
    drawn = [name for name, g in results[0].items() if not torch.equal(g, results[1][name])]
    assert bool(drawn) == ORACLES[rule].stochastic
    for name in drawn:
        assert distance(results[1][name], results[0][name]) > 0.01, name


@every_case
def test_a_batch_is_the_mean_of_its_samples(rule, problem):
    """The sum in place of the mean multiplies the hidden layers' learning rate by the batch size."""
    model = problem.model().eval()
    separable = fa.RULES[rule](**ORACLES[rule].separable)
    attached, (x, y) = attach(model, separable, problem), problem.batch(5)
    speak(attached)  # what begins at zero is silent with some settings
    whole = gradients(model, (x, y), attached)
    singles = [gradients(model, (x[i : i + 1], y[i : i + 1]), attached) for i in range(5)]
    assert_close(whole, {name: torch.stack([s[name] for s in singles]).mean(0) for name in whole}, EPS)


@every_case
def test_a_shorter_last_batch_is_like_any_other(rule, problem):
    """State kept from the batch before (targets, shapes, taps) trains the last batch of an epoch on the wrong error."""
    model = problem.model()
    attached = attach(model, rule, problem)
    gradients(model, problem.batch(8), attached)
    model.load_state_dict(plain_of(problem, attached).state_dict())
    fresh = problem.model()
    last = problem.batch(3, seed=5)
    assert_same(gradients(model, last, attached), gradients(fresh, last, attach(fresh, rule, problem)))


@every_case
def test_two_forward_passes_before_backward_keep_their_errors_apart(rule, problem):
    """GANs, contrastive losses and accumulation call the network twice: the errors must go where they belong."""
    model = problem.model()
    attached = attach(model, rule, problem)
    a, b = problem.batch(8, seed=1), problem.batch(6, seed=2)
    one, two = gradients(model, a, attached), gradients(model, b, attached)
    model.zero_grad()
    first, second = forward(model, a, attached), forward(model, b, attached)
    second.backward()
    assert_close(read(model), two, EPS)
    first.backward()
    assert_close(read(model), {name: one[name] + two[name] for name in one}, EPS)


@every_case
def test_frozen_parameters_stay_out_and_change_nothing_else(rule, problem):
    """Fine-tuning freezes the lower layers: the others must learn exactly as they would have."""
    model, data = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    expected = gradients(model, data, attached)
    model.zero_grad()
    for parameter in model.get_submodule(problem.blocks[0]).parameters():
        parameter.requires_grad_(False)
    if ORACLES[rule].passes_every_block:
        with pytest.raises(RuntimeError, match=rf"{problem.blocks[0]} has no gradient\. Is it frozen"):
            gradients(model, data, attached)
        return
    others = {n: g for n, g in expected.items() if not n.startswith(problem.blocks[0] + ".")}
    assert len(others) < len(expected) or ORACLES[rule].no_hidden_gradient
    assert_same(gradients(model, data, attached), others)


@every_case
def test_blocks_below_a_part_that_is_frozen_before_the_rule_comes_learn_as_without_it(rule, problem):
    """Feedback behind a frozen block learns too, if it hands the error on and learns from more than the block's update."""
    free, held = problem.model(), problem.model()
    part = problem.blocks[1]
    held.get_submodule(part).requires_grad_(False)
    if ORACLES[rule].passes_every_block:
        return  # it refuses a frozen block, see the test before
    data = problem.batch()
    expected = gradients(free, data, attach(free, rule, problem))
    found = gradients(held, data, attach(held, rule, problem))
    inside = {name for name in expected if name.startswith(part + ".")}
    learns = rule in ("wm", "sg", "sgprop")
    chain = inside - own(expected).keys() if learns else set()
    assert_same(found, {name: g for name, g in expected.items() if name not in inside or name in chain})
    assert bool(chain) == learns


@pytest.mark.parametrize("rule", ["sg", "sgprop"])
def test_a_predictor_that_is_frozen_at_zero_is_an_error_where_a_block_below_learns(rule):
    """Silently, no block below it would ever learn. A predictor that has learned something may be frozen."""
    model, data = PROBLEMS["mlp"].model(), PROBLEMS["mlp"].batch()
    attached = fa.attach(model, rule)
    model[2].requires_grad_(False)
    with pytest.raises(RuntimeError, match=r"predictor of block '2' is zero and frozen.*2\._feedback_C"):
        gradients(model, data, attached)
    speak(attached)
    assert gradients(model, data, attached)["0.weight"].any()


@every_case
def test_an_optimizer_per_part_trains_as_one(rule, problem):
    """Learning rates per layer are common in this field; a rule with an optimizer of its own would ignore them."""
    models = [problem.model(), problem.model()]
    attached = [attach(model, rule, problem) for model in models]
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
    assert_same(attached[1].feedback, attached[0].feedback)
    start = problem.model().get_parameter(f"{problem.blocks[-1]}.weight")
    assert distance(models[0].get_parameter(f"{problem.blocks[-1]}.weight"), start) > 0.01


@every_case
def test_losses_on_one_output_add_up(rule, problem):
    """A penalty on the logits is part of e; a rule that sees only one of the losses trains the hidden layers without it."""
    model, (x, y) = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    losses = [lambda out: criterion(out, y), lambda out: 0.1 * out.square().mean()]
    losses.append(lambda out: losses[0](out) + losses[1](out))
    results = []
    for loss in losses:
        model.zero_grad()
        torch.manual_seed(3)
        attached.targets = y
        rewind(attached)
        attached.loss(loss(model(x))).backward()
        results.append(read(model))
    both = {name: results[0][name] + results[1][name] for name in results[0]}
    if not ORACLES[rule].linear:  # what does not come from e does not come twice
        assert_close(problem.head(results[2]), problem.head(both), EPS)
        assert all(distance(g, both[name]) > 1e-3 for name, g in problem.hidden(results[2]).items())
    elif ORACLES[rule].stochastic:
        assert_close(own(results[2]), own(both), EPS)  # lessons are of noise, once per backward pass
    else:
        assert_close(results[2], both, EPS)


@cases([rule for rule, oracle in ORACLES.items() if oracle.separable])
def test_what_compares_samples_depends_on_the_whole_batch(rule, problem):
    """By default these rules learn from pairs of samples; a loss per sample would miss all of them but the trivial ones."""
    model = problem.model().eval()
    attached, (x, y) = attach(model, rule, problem), problem.batch(4)
    whole = gradients(model, (x, y), attached)
    singles = [gradients(model, (x[i : i + 1], y[i : i + 1]), attached) for i in range(4)]
    for name, g in problem.hidden(whole).items():
        assert distance(torch.stack([s[name] for s in singles]).mean(0), g) > 0.1, name
    mean = {name: torch.stack([s[name] for s in singles]).mean(0) for name in problem.head(whole)}
    assert_close(mean, problem.head(whole), EPS)


@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule in ORACLES for name in ORACLES[rule].refuses])
def test_a_network_that_a_rule_cannot_train_is_refused(rule, name):
    """It would be trained by something else under the rule's name."""
    problem, model = problem_of(rule, name), problem_of(rule, name).model()
    with pytest.raises(ValueError, match=ORACLES[rule].refuses[name]):
        gradients(model, problem.batch(), attach(model, rule, problem))


@cases(rules_that(sized_by_output=True), ["cnn", "residual"])
def test_learned_feedback_of_unknown_size_asks_for_an_example(rule, problem):
    """A parameter that appears after the optimizer was made is never trained."""
    model = problem.model()
    with pytest.raises(ValueError, match="Pass `example=`"):
        fa.attach(model, rule)
    assert_same(gradients(model, problem.batch()), gradients(problem.model(), problem.batch()))


@cases(rules_that(independent_outputs=True))
def test_an_error_that_sums_to_zero_is_refused(rule, problem):
    """Under softmax every hidden gradient would be rounding noise, and the network a linear classifier of random features."""
    model, (x, y) = problem.model(), problem.batch()
    with pytest.raises(RuntimeError, match="sums to zero, as under softmax"):
        gradients(model, (x, y.argmax(-1)), attach(model, rule, problem))


@pytest.mark.parametrize("rule", rules_that(common=True))
def test_an_error_that_all_units_share_does_not_pass_a_layer_norm(rule):
    """Known of Kickback, so that nobody is surprised: the mean over the units is what the normalisation takes out."""
    problem = problem_of(rule, "positions")
    model = PROBLEMS["positions"].model()
    assert any(isinstance(m, nn.LayerNorm) for m in model)
    ours = gradients(model, problem.batch(), attach(model, rule, problem))
    assert ours["0.weight"].norm() < 1e-6
    assert ours["3.weight"].norm() > 1e-6
