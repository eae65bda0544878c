"""The targets of a batch serve one loss: those of the last one must not train the next."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer

import lightning_fa as fa
from tests.problems import assert_same, mlp, read

USED = r"set `attached\.targets = y` before every forward pass \(`attached\.loss` uses them up\)"


def stepper(rule="lafs"):
    """A network, its optimizer, and one step of it with or without new targets."""
    torch.manual_seed(1)
    model = mlp()
    attached = fa.attach(model, rule)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def step(x, y, sets=True):
        optimizer.zero_grad()
        if sets:
            attached.targets = y
        loss = attached.loss(F.cross_entropy(model(x), y))
        loss.backward()
        optimizer.step()
        return loss

    return model, attached, optimizer, step


@pytest.mark.parametrize("rule", ["lafs", "drtp", "local", "sg"])
def test_targets_are_used_for_one_loss(rule):
    """The labels of the last batch would train this one without a word."""
    model, x, y = mlp(), torch.randn(6, 10), torch.randint(5, (6,))
    attached = fa.attach(model, rule, example=x)
    for again in (False, True):
        if not again:
            attached.targets = y
        with pytest.raises(ValueError, match=USED) if again else nullcontext():
            attached.loss(F.cross_entropy(model(x), y)).backward()
    attached.targets = y
    attached.loss(F.cross_entropy(model(x), y)).backward()


@pytest.mark.parametrize("rule", ["lafs", "drtp", "local", "solo", "sg", "dfa_sign", "wm"])
def test_a_validation_between_a_pass_and_its_loss_takes_nothing_from_it(rule):
    """One function for the loss of both is usual. The loss of the validation took the terms of the training pass."""
    x, y = torch.randn(6, 10), torch.randint(5, (6,))

    def trained(validates):
        torch.manual_seed(1)
        model = mlp()
        attached = fa.attach(model, rule, example=x)
        attached.targets = y
        out = model(x)
        if validates:
            with torch.no_grad():
                attached.targets = y.flip(0)
                assert attached.loss(F.cross_entropy(model(-x), y.flip(0))).grad_fn is None
            assert attached.targets is None
        attached.loss(F.cross_entropy(out, y)).backward()
        return read(model)

    assert_same(trained(validates=True), trained(validates=False))


@pytest.mark.parametrize("rule", ["lafs", "drtp", "local", "sg"])
def test_the_targets_of_a_validation_are_used_up_by_its_loss(rule):
    model, x, y = mlp(), torch.randn(6, 10), torch.randint(5, (6,))
    attached = fa.attach(model, rule, example=x)
    with torch.no_grad():
        attached.targets = y
        attached.loss(F.cross_entropy(model(x), y))
    with pytest.raises(ValueError, match=USED):
        model(x)


def test_several_losses_and_passes_of_one_batch_still_work():
    """A second loss of one forward pass, two forward passes of one loss, and gradients accumulated over batches."""
    model, attached, _, step = stepper()
    x, y = torch.randn(6, 10), torch.randint(5, (6,))
    attached.targets = y
    out = model(x)
    (attached.loss(F.cross_entropy(out, y)) + attached.loss(out.square().mean())).backward()
    attached.targets = y
    attached.loss(F.cross_entropy(model(x) + model(-x), y)).backward()
    for _ in range(2):
        attached.targets = y
        (attached.loss(F.cross_entropy(model(x), y)) / 2).backward()
    attached.loss(torch.ones((), requires_grad=True) * 2)  # of another network, and no loss of these targets
    attached.targets = y
    attached.loss(torch.ones((), requires_grad=True) * 2)
    step(x, y, sets=False)


def test_a_closure_sets_the_targets_of_its_own_pass():
    """LBFGS calls it several times."""
    model, attached, _, _ = stepper()
    x, y = torch.randn(6, 10), torch.randint(5, (6,))
    optimizer, losses = torch.optim.LBFGS(model.parameters(), max_iter=4), []

    def closure():
        optimizer.zero_grad()
        attached.targets = y
        loss = attached.loss(F.cross_entropy(model(x), y))
        loss.backward()
        losses.append(loss.item())
        return loss

    optimizer.step(closure)
    assert len(losses) > 1


class Manual(LightningModule):
    """Two passes of one batch, each with its own backward pass, in one step."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.automatic_optimization = mlp(), False

    def training_step(self, batch, batch_idx):
        x, y = batch
        optimizer = self.optimizers()
        for each in (x, -x):
            optimizer.zero_grad()
            self.manual_backward(F.cross_entropy(self.net(each), y))
            optimizer.step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_step_of_ones_own_may_use_its_batch_twice(tmp_path):
    """Under the Trainer the targets are those of the step."""
    data = [(torch.randn(6, 10), torch.randint(5, (6,))) for _ in range(2)]
    trainer = Trainer(
        strategy="lafs", max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Manual(), torch.utils.data.DataLoader(data, batch_size=None))
    assert trainer.global_step == 4
