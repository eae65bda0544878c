"""The training and test steps shared by all papers that classify images."""

from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy


class ImageClassifier(LightningModule):
    """Abstract. Batches are ``(x, y)``; `forward` gives the logits. Logs "train/loss" and "test/accuracy" (percent)."""

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        loss = cross_entropy(self(x), y)
        self.log("train/loss", loss)
        return loss

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        x, y = batch
        correct = (self(x).argmax(dim=1) == y).float().mean()
        self.log("test/accuracy", 100 * correct, on_epoch=True, batch_size=len(y))
