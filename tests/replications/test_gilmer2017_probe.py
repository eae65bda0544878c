"""Oracle: the equations of DFA and LAFS, and that measuring changes nothing."""

import math

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

import lightning_fa as fa
from lightning_fa import metrics
from replications.data import batches
from replications.experiment.fit import quiet_lightning
from replications.papers.gilmer2017.network import TanhNetwork
from replications.papers.gilmer2017.probe import FeedbackProbe, fresh


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(32, 6, generator=generator), torch.randint(3, (32,), generator=generator)


def network() -> TanhNetwork:
    torch.manual_seed(0)
    return TanhNetwork(6, (5, 4), 3, 0.5)


def probe_of(model, samples, steps=(0, 1, 2), local_error=False):
    return FeedbackProbe(model, *samples, steps, local_error=local_error, fresh_draws=2, seed=0)


def train(model, samples, callbacks, rule=None):
    with quiet_lightning():
        trainer = Trainer(
            strategy=fa.FeedbackStrategy(rule=rule or fa.DirectFeedbackAlignment(seed=0)),
            accelerator="cpu",
            max_steps=3,
            max_epochs=3,
            logger=False,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        trainer.fit(model, batches(*samples, 8, shuffle_seed=0))
    return trainer


def test_training_with_the_probe_is_bitwise_training_without_it(samples):
    measured, alone = network(), network()
    train(measured, samples, [probe_of(measured, samples)])
    train(alone, samples, [])
    assert all(torch.equal(p, q) for p, q in zip(measured.parameters(), alone.parameters(), strict=True))


def test_feedback_equal_to_the_downstream_weights_delivers_backpropagations_signal(samples):
    """In the last hidden layer W^T e is backpropagation's gradient, so the angle of B e to it is 0 if B = W^T."""
    model = network()
    B = [torch.randn(5, 3), model.layers[4].weight.detach().T]
    numbers = probe_of(model, samples).numbers(B)
    assert numbers["backprop_angle/2"] == pytest.approx(0, abs=0.01)
    assert numbers["backprop_angle/1"] > 1
    assert numbers["readout/2"] == pytest.approx(numbers["accuracy/top"])
    assert numbers["error_angle/2"] == pytest.approx(0, abs=0.01)


def test_lafs_is_measured_by_its_own_signal(samples):
    model = network()
    B = [torch.randn(5, 3), torch.randn(4, 3)]
    x, y = samples
    h = torch.tanh(model.layers[0](x)).detach()
    e_1 = torch.softmax(h @ B[0], dim=1) - nn.functional.one_hot(y, 3)
    hidden = h.clone().requires_grad_()
    nn.functional.cross_entropy(model.layers[2:](hidden), y, reduction="sum").backward()
    cosine = nn.functional.cosine_similarity(e_1 @ B[0].T, hidden.grad)
    expected = torch.rad2deg(torch.arccos(cosine)).mean().item()
    assert probe_of(model, samples, local_error=True).numbers(B)["backprop_angle/1"] == pytest.approx(
        expected, abs=0.01
    )
    assert probe_of(model, samples).numbers(B)["backprop_angle/1"] != pytest.approx(expected, abs=0.1)


def test_the_probe_measures_at_the_steps_asked_for_and_at_the_end_with_the_weights_of_that_moment(samples):
    model = network()
    probe, sent = probe_of(model, samples, steps=(0, 2)), []
    probe.send = lambda trainer, numbers: sent.append((trainer.global_step, numbers))
    trainer = train(model, samples, [probe])
    steps = [step for step, numbers in sent if "accuracy/top" in numbers]
    assert steps == [0, 2, 3]
    feedback = list(trainer.strategy.attached.feedback.values())
    assert sent[-1][1] == probe_of(model, samples).numbers(feedback)
    assert sent[0][1] == probe_of(network(), samples).numbers(feedback)
    assert sent[0][1] != sent[-1][1]
    assert all(math.isfinite(value) for _, numbers in sent for value in numbers.values())


def test_the_null_of_the_angle_is_that_of_matrices_of_the_size_of_b(samples):
    """A readout of other size has another angle, whether or not anything is aligned."""
    model, x, y = network(), *samples
    B = [torch.randn(5, 3), torch.randn(4, 3)]
    h = torch.tanh(model.layers[0](x)).detach()
    e_y = metrics.output_error(model(x).detach(), y)
    null = fresh(B[0], draws=2, seed=1)  # two draws, the seed of layer 1
    expected = sum(metrics.angles(metrics.readout_error(h, other, y), e_y).mean().item() for other in null) / 2
    numbers = probe_of(model, samples).numbers(B)
    assert numbers["fresh_error_angle/1"] == pytest.approx(expected)
    assert probe_of(model, samples).numbers([3 * B[0], B[1]])["fresh_error_angle/1"] > expected + 1


def test_a_network_under_backpropagation_is_measured_with_a_b_that_it_does_not_use(samples):
    """Its gap to a fresh B is the control of every claim on that gap."""
    model, sent, unused = network(), [], [torch.randn(5, 3), torch.randn(4, 3)]
    probe = FeedbackProbe(model, *samples, (0,), local_error=False, fresh_draws=2, seed=0, unused=unused)
    probe.send = lambda trainer, numbers: sent.append(numbers)
    train(model, samples, [probe], fa.Backpropagation())
    assert sent[-1] == probe_of(model, samples).numbers(unused)
    assert {"error_angle/1", "fresh_error_angle/2"} <= set(sent[0])


def test_fresh_matrices_have_the_entries_of_b_in_other_places_and_read_out_at_chance():
    """If they did not, good readouts through B would be no evidence that training aligned the features with B."""
    y = torch.arange(10).repeat(20)
    h, B = torch.eye(10)[y], torch.eye(10)
    drawn = list(fresh(B, draws=200, seed=0))
    assert metrics.accuracy(h @ B, y) == 100
    assert 7 < sum(metrics.accuracy(h @ other, y) for other in drawn) / 200 < 13
    assert all(other.shape == B.shape and other.sum() == 10 and other.max() == 1 for other in drawn)
    assert torch.equal(drawn[0], next(fresh(B, draws=1, seed=0)))
    assert not torch.equal(drawn[0], next(fresh(B, draws=1, seed=1)))
    assert not torch.equal(drawn[0], drawn[1])
