"""Sequences: a cue that is asked for later, and the characters of tiny Shakespeare."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.leaderboard.task import IGNORED, Preset, Split, Splits, Task
from replications.data.source import VARIABLE

CUES, DELAY = 8, 16
CONTEXT, WIDTH = 64, 64
HELD, TEST = 200, 200


class Recurrent(nn.Module):
    """An LSTM whose output at every time step is scored by one linear readout."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, width, batch_first=True)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0])


def _cues(preset: Preset, data_dir: Path | None) -> Splits:
    """A one-hot cue, noise for ``DELAY`` steps, and the cue as the target of the last step alone."""
    assert preset.samples is not None, "a drawn task has no sample of its own"
    rng = torch.Generator().manual_seed(0)
    cue = torch.randint(CUES, (preset.samples + 2000,), generator=rng)
    x = 0.1 * torch.randn(len(cue), DELAY + 1, CUES, generator=rng)
    x[:, 0] += nn.functional.one_hot(cue, CUES)
    y = torch.full((len(cue), DELAY + 1), IGNORED)
    y[:, -1] = cue
    bounds = ((0, preset.samples), (preset.samples, preset.samples + 1000), (preset.samples + 1000, None))
    return Splits(
        *[Split(x[i:j], y[i:j]) for i, j in bounds], f"a cue of {CUES} asked for after {DELAY} steps of noise"
    )


class Transformer(nn.Module):
    """Two causal encoder layers between embeddings and a readout."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, vocabulary)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x) + self.position
        for layer in self.layers:
            h = layer(h, src_mask=self.mask)
        return self.head(self.norm(h))


def _characters(preset: Preset, data_dir: Path | None) -> Splits:
    """Windows that do not overlap; the last tenth of the text is for the test, the tenth before it is held out."""
    root = data_dir or Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "lightning_fa")
    file = root / "tinyshakespeare" / "input.txt"
    if not file.is_file():
        raise FileNotFoundError(f"Expected tiny Shakespeare at {file}. Put its input.txt there, or name --data-dir.")
    text = file.read_text(encoding="utf-8")
    letters = {letter: i for i, letter in enumerate(sorted(set(text)))}
    codes = torch.tensor([letters[letter] for letter in text])
    count = (len(codes) - 1) // CONTEXT
    x = codes[: count * CONTEXT].view(count, CONTEXT)
    y = codes[1 : count * CONTEXT + 1].view(count, CONTEXT)
    first, second = count * 8 // 10, count * 9 // 10
    train = slice(0, first if preset.samples is None else preset.samples)
    parts = (train, slice(first, first + HELD), slice(second, second + TEST))
    return Splits(*[Split(x[part], y[part]) for part in parts], "tiny Shakespeare")


CUE = Task(
    name="cue",
    title=f"Delayed cue, LSTM of 64 units, {DELAY} steps",
    data=_cues,
    build=lambda splits: Recurrent(CUES, 64, CUES),
    kind="classes",
    head="head.",
    presets={
        "quick": Preset(samples=4_000, epochs=5, tuning_epochs=2, rates=(1e-3, 3e-3, 1e-2, 3e-2), seeds=3),
        "full": Preset(samples=20_000, epochs=20, tuning_epochs=5, rates=(1e-3, 3e-3, 1e-2, 3e-2)),
    },
    notes="Only the last step is scored. Within the LSTM, autograd goes back through time under every rule that cuts blocks.",
)
SHAKESPEARE = Task(
    name="shakespeare",
    title=f"Tiny Shakespeare by character, transformer of 2 layers of {WIDTH}, context {CONTEXT}",
    data=_characters,
    build=lambda splits: Transformer(int(max(split.x.max() for split in splits[:3])) + 1),
    kind="classes",
    head="head.",
    batch=32,
    presets={
        "quick": Preset(samples=4_000, epochs=3, tuning_epochs=1, rates=(3e-4, 1e-3, 3e-3), seeds=3),
        "full": Preset(samples=None, epochs=10, tuning_epochs=2),
    },
    settings={"local": {"loss": "pred"}},
    notes="The score is the accuracy of the next character. Three rows differ in the readout by which a block hears the targets: "
    "`lafs` has a random one, `local` (with `loss='pred'`) one of its own that learns, `solo` the head's.",
)
