"""Oracle: the equations of DFA and LAFS, and that measuring changes nothing."""

import math

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

import lightning_fa as fa
from replications.datasets import batches
from replications.fit import quiet_lightning
from replications.gilmer2017.model import TanhNetwork
from replications.probe import FeedbackProbe


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(32, 6, generator=generator), torch.randint(3, (32,), generator=generator)


def network() -> TanhNetwork:
    torch.manual_seed(0)
    return TanhNetwork(6, (5, 4), 3, 0.5)


def probe_of(model, samples, steps=(0, 1, 2), local_error=False):
    return FeedbackProbe(model, model.taps, *samples, steps, local_error=local_error, fresh_draws=2, seed=0)


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
    numbers = probe_of(model, samples).measure(B)
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
    assert probe_of(model, samples, local_error=True).measure(B)["backprop_angle/1"] == pytest.approx(
        expected, abs=0.01
    )
    assert probe_of(model, samples).measure(B)["backprop_angle/1"] != pytest.approx(expected, abs=0.1)


def test_the_probe_measures_at_the_steps_asked_for_and_at_the_end_with_the_weights_of_that_moment(samples):
    model = network()
    probe, sent = probe_of(model, samples, steps=(0, 2)), []
    probe._send = lambda trainer, numbers: sent.append((trainer.global_step, numbers))
    trainer = train(model, samples, [probe])
    steps = [step for step, numbers in sent if "accuracy/top" in numbers]
    assert steps == [0, 2, 3]
    assert set(sent[-1][1]) == {"fresh_readout/1", "fresh_readout/2"}
    feedback = list(trainer.strategy.attached.feedback.values())
    assert sent[-2][1] == probe_of(model, samples).measure(feedback)
    assert sent[0][1] == probe_of(network(), samples).measure(feedback)
    assert sent[0][1] != sent[-2][1]
    assert all(math.isfinite(value) for _, numbers in sent for value in numbers.values())
