"""The networks of launay2019 as sequences of blocks. Direct feedback enters at the output of every block but the last."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from replications.measuring.classifier import ImageClassifier
from replications.papers.launay2019.masked import MaskedLinear
from replications.papers.launay2019.settings import Training

CLASSES = 10
SIDE, COLOURS = 32, 3
VGG_11 = ((64, True), (128, True), (256, False), (256, True), (512, False), (512, True), (512, False), (512, True))
"""Channels of each convolution, and whether pooling follows."""
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky-0.5": lambda: nn.LeakyReLU(0.5),
    "leaky-0.1": lambda: nn.LeakyReLU(0.1),
    "leaky-0.01": lambda: nn.LeakyReLU(0.01),
}


class Classifier(ImageClassifier):
    """A plain classifier of images. Its code does not depend on the learning rule."""

    def __init__(self, settings: Training) -> None:
        super().__init__()
        self.settings = settings
        self.blocks = nn.Sequential(*NETS[settings.net](settings))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.blocks(x)
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.settings.optimizer]
        return optimizer([p for p in self.parameters() if p.requires_grad], lr=self.settings.learning_rate)

    def freeze_convolutions(self) -> None:
        """Keep the initial weights of all convolutions, for the control `frozen`. The layers after them learn."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.requires_grad_(False)


def fully_connected(settings: Training) -> list[nn.Module]:
    """3072-800-800-800-10, or with the bottleneck in the second hidden layer."""
    widths = list(settings.hidden)
    if settings.variant == "narrow":
        widths[1] = settings.bottleneck
    start = [nn.Flatten(), *_dropout(settings.input_dropout)]
    inputs = [COLOURS * SIDE**2, *widths]
    first, *others = (_dense(nn.Linear(n, m), m, settings) for n, m in zip(inputs, widths, strict=False))
    if settings.variant in ("mask", "repo"):
        kept = settings.bottleneck / widths[1]
        rows = settings.batch_size if settings.variant == "repo" else 0
        others[0] = _dense(MaskedLinear(widths[1], kept, rows), widths[1], settings)
    blocks = [[*start, *first], *others, [nn.Linear(widths[-1], CLASSES)]]
    if settings.variant == "repo":
        # the authors' code looks for nn.Linear itself and not for subclasses, so it puts no feedback before the masked layer
        blocks[:2] = [blocks[0] + blocks[1]]
    return [nn.Sequential(*block) for block in blocks]


def convolutional(settings: Training) -> list[nn.Module]:
    """Three convolutions of 5 x 5 with max pooling, then 576-128-10."""
    blocks = [
        [nn.Conv2d(n, m, 5, padding=2), *_activation(settings, nn.BatchNorm2d(m)), nn.MaxPool2d(3, 2)]
        for n, m in ((COLOURS, 32), (32, 64), (64, 64))
    ]
    blocks[0] = [*_dropout(settings.input_dropout), *blocks[0]]
    dense = [nn.Flatten(), *_dense(nn.Linear(576, 128), 128, settings)]
    return [nn.Sequential(*block) for block in (*blocks, dense, [nn.Linear(128, CLASSES)])]


def vgg(settings: Training) -> list[nn.Module]:
    """VGG-11 for images of 32 x 32 pixels: eight convolutions of 3 x 3 and one linear layer."""
    blocks, before = [], COLOURS
    for size, pooled in VGG_11:
        channels = int(size * settings.channels)
        # batch norm before the activation, as is usual for VGG; the authors' own networks have it after the activation
        norm = [nn.BatchNorm2d(channels)] if settings.batch_norm else []
        block = [nn.Conv2d(before, channels, 3, padding=1), *norm, ACTIVATIONS[settings.activation]()]
        blocks.append([*block, nn.MaxPool2d(2)] if pooled else block)
        before = channels
    return [nn.Sequential(*block) for block in (*blocks, [nn.Flatten(), nn.Linear(before, CLASSES)])]


NETS: dict[str, Callable[[Training], list[nn.Module]]] = {"fc": fully_connected, "conv": convolutional, "vgg": vgg}


def _dense(layer: nn.Linear, width: int, settings: Training) -> list[nn.Module]:
    return [layer, *_dropout(settings.dropout), *_activation(settings, nn.BatchNorm1d(width))]


def _activation(settings: Training, norm: nn.Module) -> list[nn.Module]:
    activation = ACTIVATIONS[settings.activation]()
    return [activation, norm] if settings.batch_norm else [activation]


def _dropout(p: float) -> list[nn.Module]:
    return [nn.Dropout(p)] if p else []
