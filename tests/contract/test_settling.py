"""Gradients that are computed in the forward pass: in every respect as if they were computed in backward."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from tests.cases import attach, cases, problem_of, speak
from tests.problems import assert_close, assert_same, forward, read
from tests.settling import SETTLING, data, deep, every_rule, loss_of, ready

EPS = torch.finfo(torch.float64).eps
every_case = cases(SETTLING)


def both(rule, use, model=None):
    """What ``use(model, attached)`` leaves in ``.grad``, with gradients computed in the forward pass and with graphs kept."""
    found = []
    for kept in (False, True):
        net, attached = ready(rule, copy.deepcopy(model))
        attached._wiring.step.settles = "never" if kept else "always"
        use(net, attached)
        found.append(read(net))
    return found


# -- the same gradients -------------------------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("c", [1.0, 1 / 3, 65536.0])
def test_gradients_are_bitwise_those_with_graphs_kept(rule, problem, c):
    """What a paper's run computes must not depend on when; dropout and batch statistics are drawn once in both."""
    found = []
    for kept in (False, True):
        model = problem.model()
        attached = attach(model, rule, problem)
        attached._wiring.step.settles = "never" if kept else "always"
        optimizer = torch.optim.SGD(model.parameters(), 0.1 / c)
        steps = []
        for seed in range(4):
            optimizer.zero_grad()
            (c * forward(model, problem.batch(seed=seed), attached)).backward()
            steps.append(read(model))
            if seed:
                optimizer.step()
        found.append((steps, {n: b.clone() for n, b in model.named_buffers()}))
    assert_close(found[0][0][0], found[1][0][0], torch.finfo(torch.float32).eps)  # where c was not known yet
    for ours, expected in zip(found[0][0][1:], found[1][0][1:]):
        assert_same(ours, expected)
    assert_same(found[0][1], found[1][1])


@every_rule
def test_ignored_rows_count_for_nothing(rule):
    """The number of rows that count is known in the forward pass, where the prediction becomes an error."""
    x, y = data(7)
    y[2:4] = -100

    def use(model, attached):
        for _ in range(2):  # the second step knows the factor
            model.zero_grad()
            (3 * loss_of(model, attached, (x, y))).backward()

    (ours, kept), (others, _) = (
        both(rule, use),
        both(rule, lambda model, attached: (3 * loss_of(model, attached, (x[y >= 0], y[y >= 0]))).backward()),
    )
    assert_same(ours, kept)
    assert_close(ours, others, EPS)


@every_rule
def test_a_factor_that_changes_from_step_to_step_is_met(rule):
    """A GradScaler halves, a schedule weighs: a factor kept from the step before would be in every hidden gradient."""

    def use(model, attached):
        for c in (1.0, 3.0, 1e-3, -7.0):
            model.zero_grad()
            (c * loss_of(model, attached, data())).backward()

    assert_close(*both(rule, use), EPS)


@pytest.mark.parametrize("bad", [0.0, float("inf"), float("nan")])
@every_rule
def test_a_factor_that_is_no_number_spoils_no_later_step(rule, bad):
    """A loss that overflowed once is what a GradScaler skips; the next step divides by what it left."""

    def use(model, attached):
        for c in (bad, 2.0):
            model.zero_grad()
            (c * loss_of(model, attached, data())).backward()

    ours, expected = both(rule, use)
    assert all(g.isfinite().all() for g in ours.values())
    assert_close(ours, expected, EPS)


@every_rule
def test_half_precision_keeps_what_the_scaler_is_there_to_keep(rule):
    """Gradients computed before the scale is known, and multiplied afterwards, are zero where fp16 ends at 6e-8."""
    plain = deep(3)

    def use(model, attached):
        with torch.no_grad():
            for b in attached.feedback.values():
                if b.is_floating_point():
                    b.mul_(1e-7 if rule != "local" else 1.0)
        for _ in range(2):
            model.zero_grad()
            with torch.autocast("cpu", torch.float16):
                loss = loss_of(model, attached, data(dtype=torch.float32))
            (2.0**16 * loss).backward()

    ours, expected = both(rule, use, plain)
    assert_same(ours, expected)
    assert ours["0.weight"].any()


@every_rule
def test_autocast_is_off_where_gradients_are_computed(rule):
    """Backward runs outside of autocast: inside, the products of a 32-bit readout would be rounded to bf16."""
    plain = deep(3)

    def use(model, attached):
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, attached, data(dtype=torch.float32))
        loss.backward()

    assert_same(*both(rule, use, plain))


# -- what users do ------------------------------------------------------------------------------------------------------------


@every_rule
def test_several_passes_belong_to_one_loss(rule):
    """Contrastive losses and GANs: the gradients of the first pass must wait through the second."""

    def use(model, attached):
        losses = []
        for n in (5, 3):
            x, attached.targets = data(n)
            losses.append(F.cross_entropy(model(x), attached.targets))
        attached.loss(losses[0] + 2 * losses[1]).backward()

    assert_close(*both(rule, use), EPS)


@every_rule
def test_several_losses_accumulate(rule):
    """Manual optimisation, and accumulation without a factor."""

    def use(model, attached):
        first, second = loss_of(model, attached, data(5)), loss_of(model, attached, data(3))
        (0.5 * second).backward()
        (3 * first).backward()

    assert_close(*both(rule, use), EPS)


@every_rule
def test_weights_that_two_blocks_share_receive_from_both(rule):
    """Tied layers: a constant per block, and their sum in ``.grad``."""
    plain = deep(3).double()
    plain[4].weight = plain[2].weight

    def use(model, attached):
        loss_of(model, attached, data()).backward()

    ours, expected = both(rule, use, plain)
    assert_same(ours, expected)


@every_rule
def test_parts_that_are_frozen_and_thawed_later_learn_then(rule):
    """Gradual unfreezing: a list of parameters made in the first step would leave them out for ever, silently."""

    def use(model, attached):
        for trained in (False, True):
            model.zero_grad(set_to_none=True)
            for p in model[:4].parameters():
                p.requires_grad_(trained)
            loss_of(model, attached, data()).backward()
            assert (model[2].weight.grad is not None) == trained

    assert_same(*both(rule, use))


def double(p: nn.Parameter) -> None:
    p.grad *= 2


@every_rule
def test_hooks_of_parameters_run_once_and_see_the_factor(rule):
    """Clipping per parameter, and optimizers that step inside backward, which FSDP and large models use."""

    def use(model, attached):
        for p in model.parameters():
            p.register_hook(lambda g: g.clamp(-1e-3, 1e-3))
            p.register_post_accumulate_grad_hook(double)
        for _ in range(2):
            model.zero_grad()
            (8 * loss_of(model, attached, data())).backward()

    ours, expected = both(rule, use)
    assert_same(ours, expected)
    assert ours["0.weight"].abs().max() <= 2e-3


@every_rule
def test_the_gradients_are_not_there_before_backward(rule):
    """Lightning sets gradients to zero after ``training_step``, DDP reduces them once, when the loss is differentiated."""
    model, attached = ready(rule)
    loss = loss_of(model, attached, data())
    assert not read(model)
    model.zero_grad()
    loss.backward(retain_graph=True)
    once = read(model)
    loss.backward()
    assert_same(read(model), {name: 2 * g for name, g in once.items()})
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("rule", [rule for rule in SETTLING if rule != "sg"])  # the tap of a prediction has none
def test_gradients_of_gradients_are_refused_once_and_right_from_then_on(rule):
    """A penalty on the gradient would silently miss every hidden layer."""

    def penalised(model, attached):
        loss = loss_of(model, attached, data())
        (found,) = torch.autograd.grad(loss, model[2].weight, create_graph=True)
        found.square().sum().backward()

    model, attached = ready(rule)
    with pytest.raises(RuntimeError, match=r"create_graph=True.*run the step again"):
        penalised(model, attached)
    model.zero_grad()
    penalised(model, attached)
    reference, expected = ready(rule)
    expected._wiring.step.settles = "never"
    penalised(reference, expected)
    assert_same(read(model), read(reference))
    assert read(model)["2.weight"].any()


@every_rule
def test_a_hidden_output_can_still_be_in_the_loss(rule):
    """A penalty on activity, an auxiliary head, ``retain_grad``: graphs are dropped, not destroyed."""

    def use(model, attached):
        x, attached.targets = data()
        h = model[:2](x)
        h.retain_grad()
        loss = F.cross_entropy(model[2:](h), attached.targets) + 0.1 * h.square().mean()
        attached.loss(loss).backward()
        assert h.grad is not None

    assert_close(*both(rule, use), EPS)


@every_rule
def test_what_the_network_is_fed_receives_its_gradient_in_the_one_backward_pass(rule):
    """A stem that another network shares: differentiated in the forward pass of one, it would be gone for the other."""
    found = []
    for kept in (False, True):
        torch.manual_seed(0)
        stem = nn.Sequential(nn.Linear(6, 6), nn.Tanh()).double()
        pair = [ready(rule), ready(rule)]
        x, y = data()
        x.requires_grad_()
        z, loss = stem(x), 0
        for model, attached in pair:
            attached._wiring.step.settles = "never" if kept else "always"
            loss = loss + loss_of(model, attached, (z, y))
        assert stem[0].weight.grad is None
        loss.backward()
        found.append({"x": x.grad, **read(stem), **read(pair[0][0])})
    assert_close(*found, EPS)


@every_rule
def test_a_loss_that_nothing_depends_on_is_joined_all_the_same(rule):
    """A network that is frozen throughout, for a moment, is not an error until someone differentiates it."""
    model, attached = ready(rule)
    model.requires_grad_(False)
    assert not loss_of(model, attached, data()).requires_grad


@every_rule
@pytest.mark.parametrize("sparse", [False, True])
def test_an_embedding_learns_from_its_rows(rule, sparse):
    """Sparse gradients are what makes a large vocabulary cheap."""
    found = []
    for kept in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Embedding(20, 8, sparse=sparse), nn.Tanh(), nn.Flatten(), nn.Linear(24, 8), nn.Linear(8, 3)
        )
        x, y = torch.randint(20, (5, 3)), torch.randint(3, (5,))
        attached = fa.attach(model, rule, example=x)
        speak(attached)
        attached._wiring.step.settles = "never" if kept else "always"
        loss_of(model, attached, (x, y)).reshape(1).backward()
        assert model[0].weight.grad.is_sparse == sparse
        found.append({name: g.to_dense() for name, g in read(model).items()})
    assert_same(*found)


@every_rule
def test_an_aborted_pass_leaves_nothing(rule):
    """Gradients of a batch that was never learned from would be added to those of the next."""
    model, attached = ready(rule)
    batch = data()
    attached.targets = batch[1]
    own, model[4].forward = model[4].forward, lambda x: 1 / 0
    with pytest.raises(ZeroDivisionError):
        model(batch[0])
    model[4].forward = own
    loss_of(model, attached, batch).backward()
    reference, expected = ready(rule)
    loss_of(reference, expected, batch).backward()
    assert_same(read(model), read(reference))


@every_rule
def test_samples_of_another_shape_are_still_refused_or_trained(rule):
    """Sequences of other lengths: feedback per position fits any, and the next shape must not find the last one's numbers."""
    problem = problem_of(rule, "positions")

    def use(kept):
        model = problem.model().double()
        attached = attach(model, rule, problem)
        attached._wiring.step.settles = "never" if kept else "always"
        for length in (5, 3, 4):
            model.zero_grad()
            x, y = problem.batch(dtype=torch.float64)
            x, y = x[:, :length], y[:, :length]
            forward(model, (x, y), attached).backward()
        return read(model)

    assert_same(use(False), use(True))


@every_rule
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["copy", "pickle"])
def test_a_part_is_copied_without_the_whole(rule, duplicate):
    """Averaging of weights copies the network, which must not bring along the Trainer that it hangs on."""
    root = nn.Module()
    root.net = deep(3).double()
    attached = fa.attach(root, rule, blocks=["net.0", "net.2", "net.4", "net.6"])
    root.forward = root.net.forward
    root.trainer = (_ for _ in ())  # as little to be copied as a Trainer
    del root.forward
    twin = duplicate(root.net)
    assert type(twin[0]) is type(root.net[0])
    attached.detach()


@pytest.mark.slow
@every_rule
def test_compiled_code_keeps_its_graphs_and_its_gradients(rule):
    """After eager steps, whose state compiled code must not read as its own."""

    def use(model, attached):
        loss_of(model, attached, data()).backward()
        model.zero_grad()
        torch._dynamo.reset()
        loss_of(torch.compile(model, backend="aot_eager", fullgraph=True), attached, data()).backward()

    assert_close(*both(rule, use), EPS)
