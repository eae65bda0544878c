"""Blocks that one forward pass calls several times: what is refused, and what else of the library meets them."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.demos.transformer import Transformer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import lightning_fa as fa
from tests.cases import speak
from tests.equations.test_repeated_blocks import RULES, Cells, Shared, Siamese, attached_to, step


class Compared(Siamese):
    """Both samples are scored: the head is called twice, after the encoder was."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.f(x[:, 0]), self.f(x[:, 1])
        return self.head(torch.cat([a, b], 1)) - self.head(torch.cat([b, a], 1))


def test_a_head_that_is_called_several_times_is_refused_with_what_to_do():
    """Which of its outputs the loss scores, nothing shows."""
    with pytest.raises(ValueError, match=r"head 'head' must be called last, and once.*call it once"):
        fa.attach(Compared(), "dfa", example=Siamese.batch()[0])


def test_without_an_example_the_error_says_to_pass_one():
    """Nothing but a forward pass shows how often a block is called."""
    model, (x, _) = Siamese(), Siamese.batch()
    fa.attach(model, "dfa")
    with pytest.raises(RuntimeError, match=r"several times in one forward pass: then pass `example=`"):
        model(x)


def test_a_rule_that_needs_a_chain_says_so():
    """Indirect feedback has no way from one call to the next."""
    with pytest.raises(ValueError, match=r"needs a chain, and `forward` calls f\.0, f\.2 several times.*'dfa'"):
        fa.attach(Siamese(), "ifa", example=Siamese.batch()[0])


class Uneven(Shared):
    """Reads a longer sequence than it writes."""

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.mix(self.embedding(torch.cat([x[0], x[0]], 1)), self.embedding(x[1])))


def test_calls_that_one_feedback_cannot_serve_are_named():
    """Positions of the one, a whole sequence of the other."""
    with pytest.raises(ValueError, match=r"calls of block 'embedding' need feedback of two sizes"):
        fa.attach(Uneven(), "dfa", blocks=Uneven.chosen, example=Shared.batch()[0])


def test_in_a_checkpoint_nothing_is_recorded_twice():
    """A recomputed call would count as a call of its own."""

    class Stored(Cells):
        def forward(self, x: Tensor) -> Tensor:
            p, h = self.proj(x), x.new_zeros(len(x), 5)
            for t in range(x.shape[1]):
                h = checkpoint(self.cell, p[:, t], h, use_reentrant=False)
            return self.head(h)

    for rule in ("dfa", "lafs", RULES["sg"]):
        (model, _, x, y, attached), (other, _, _, _, theirs) = attached_to(Stored, rule), attached_to(Cells, rule)
        speak(attached)
        speak(theirs)
        ours, wanted = step(model, attached, x, y), step(other, theirs, x, y)
        assert all(torch.equal(g, wanted[name]) for name, g in ours.items())


def test_a_check_compares_the_weights_of_blocks_that_are_called_several_times():
    """What leaves such a block is cut there, so that its error is told by what its weights receive."""
    x, y = Siamese.batch()
    seen = fa.check(Siamese(), "dfa", (x, y), F.cross_entropy, example=x)
    rows = {row.weight: row for row in seen.rows}
    assert seen.forward_unchanged
    assert not seen.problems
    assert rows["f.2.weight"].learns == "by the rule"
    assert rows["f.2.weight"].angle > 1
    assert rows["head.weight"].learns == "as by backpropagation"


def test_a_pass_that_an_error_ended_leaves_nothing_after_forget():
    """The output of a call of the lost pass would receive an error of the next one."""
    (model, _, x, y, attached), (other, _, _, _, theirs) = attached_to(Cells, "lafs"), attached_to(Cells, "lafs")
    attached.targets = y
    with pytest.raises(RuntimeError):
        model(torch.cat([x, x[:, :1].expand(-1, -1, 4)], 1)[..., :3])
    model.head.register_forward_pre_hook(lambda *_: 1 / 0 if model.training else None)
    attached.targets = y
    with pytest.raises(ZeroDivisionError):
        model(x)
    model.eval()
    attached.forget()
    ours, wanted = step(model, attached, x, y), step(other, theirs, x, y)
    assert all(torch.equal(g, wanted[name]) for name, g in ours.items())


class Language(LightningModule):
    """Lightning's own demo; the loss is that of its ``LightningTransformer``."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Transformer(vocab_size=30, ninp=8, nhid=8, nlayers=1, dropout=0.0)
        self.example_input_array = tuple(torch.randint(30, (2, 2, 5)))

    def forward(self, inputs: Tensor, target: Tensor) -> Tensor:
        return self.model(inputs, target)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return F.nll_loss(self(*batch), batch[1].view(-1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
def test_lightnings_own_transformer_trains(rule, tmp_path):
    """An embedding that encoder and decoder share is called twice."""
    torch.manual_seed(1)
    module = Language()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    batches = [tuple(torch.randint(30, (2, 4, 5))) for _ in range(3)]
    blocks = [f"model.{name}" for name in ("embedding", "transformer", "decoder")]
    strategy = fa.FeedbackStrategy(rule, blocks=blocks)
    trainer = Trainer(
        strategy=strategy, max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    assert strategy.attached.config()["blocks"] == blocks
    moved = [name for name, p in module.named_parameters() if name in before and not torch.equal(p, before[name])]
    assert len(moved) == len(before)
