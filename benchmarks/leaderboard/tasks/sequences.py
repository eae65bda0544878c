"""Sequences: a cue that is asked for later, and the characters of tiny Shakespeare."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.leaderboard.task import IGNORED, Preset, Split, Splits, Task
from replications.data.source import VARIABLE

CUES, DELAY = 8, 8
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


class Cell(nn.Module):
    """The same LSTM, whose cell is a block that is called once per time step. The last state alone is scored."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(inputs, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for now in x.unbind(1):
            state = self.cell(now, state)
        assert state is not None
        return self.head(state[0])


def _cues(preset: Preset, data_dir: Path | None, *, every: bool) -> Splits:
    """A one-hot cue, noise for ``DELAY`` steps, and the cue as target: of the sequence, or as one target for ``every`` step,
    of which all but the last are ignored.
    """
    assert preset.samples is not None, "a drawn task has no sample of its own"
    rng = torch.Generator().manual_seed(0)
    cue = torch.randint(CUES, (preset.samples + 2000,), generator=rng)
    x = 0.1 * torch.randn(len(cue), DELAY + 1, CUES, generator=rng)
    x[:, 0] += nn.functional.one_hot(cue, CUES)
    y = cue
    if every:
        y = torch.full((len(cue), DELAY + 1), IGNORED)
        y[:, -1] = cue
    bounds = ((0, preset.samples), (preset.samples, preset.samples + 1000), (preset.samples + 1000, None))
    return Splits(
        *[Split(x[i:j], y[i:j]) for i, j in bounds], f"a cue of {CUES} asked for after {DELAY} steps of noise"
    )


class Attention(nn.Module):
    """Causal, of four heads."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(2, (3, 4, WIDTH // 4)).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(h.transpose(1, 2).flatten(2))


class Sublayer(nn.Module):
    """Its residual connection and its normalisation are inside, so that it can be a block."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x + self.inner(x), x.shape[-1:])


class Transformer(nn.Module):
    """Two causal layers between an embedding and a head. What leaves a layer is normalised, and has no gain to learn.

    ``tied``: the head's weight is the embedding's.
    """

    def __init__(self, vocabulary: int, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.layers = nn.ModuleList(nn.Sequential(Sublayer(Attention()), Sublayer(_mlp())) for _ in range(2))
        self.head = nn.Linear(WIDTH, vocabulary, bias=False)
        if tied:
            nn.init.normal_(self.embedding.weight, std=0.02)  # PyTorch's default of 1 is too large for a head
            self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x) + self.position
        for layer in self.layers:
            h = layer(h)
        return self.head(h)


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))


def _text(data_dir: Path | None) -> tuple[str, dict[str, int]]:
    root = data_dir or Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "lightning_fa")
    file = root / "tinyshakespeare" / "input.txt"
    if not file.is_file():
        raise FileNotFoundError(f"Expected tiny Shakespeare at {file}. Put its input.txt there, or name --data-dir.")
    text = file.read_text(encoding="utf-8")
    return text, {letter: i for i, letter in enumerate(sorted(set(text)))}


def _cut(x: Tensor, y: Tensor, preset: Preset, label: str) -> Splits:
    """The last tenth of the text is for the test, the tenth before it is held out."""
    first, second = len(x) * 8 // 10, len(x) * 9 // 10
    train = slice(0, first if preset.samples is None else preset.samples)
    parts = (train, slice(first, first + HELD), slice(second, second + TEST))
    return Splits(*[Split(x[part], y[part]) for part in parts], label)


def _characters(preset: Preset, data_dir: Path | None) -> Splits:
    """Windows that do not overlap."""
    text, letters = _text(data_dir)
    codes = torch.tensor([letters[letter] for letter in text])
    count = (len(codes) - 1) // CONTEXT
    x = codes[: count * CONTEXT].view(count, CONTEXT)
    y = codes[1 : count * CONTEXT + 1].view(count, CONTEXT)
    return _cut(x, y, preset, "tiny Shakespeare")


def _lines(preset: Preset, data_dir: Path | None) -> Splits:
    """A line of the text is a sample, between the ends of two lines. What is behind it is padded, and not scored."""
    text, letters = _text(data_dir)
    lines = [line for line in text.split("\n") if 0 < len(line) < CONTEXT]
    x = torch.full((len(lines), CONTEXT), letters["\n"])
    y = torch.full((len(lines), CONTEXT), IGNORED)
    for i, line in enumerate(lines):
        codes = torch.tensor([letters[letter] for letter in f"\n{line}\n"])
        x[i, : len(line) + 1], y[i, : len(line) + 1] = codes[:-1], codes[1:]
    return _cut(x, y, preset, "tiny Shakespeare by line")


def _vocabulary(splits: Splits) -> int:
    return int(max(split.x.max() for split in splits[:3])) + 1


RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
CUE = Task(
    name="cue",
    title=f"Delayed cue, LSTM of 64 units, {DELAY} steps",
    data=partial(_cues, every=True),
    build=lambda splits: Recurrent(CUES, 64, CUES),
    kind="classes",
    head="head.",
    presets={
        "quick": Preset(samples=4_000, epochs=5, tuning_epochs=5, rates=RATES, seeds=3),
        "full": Preset(samples=20_000, epochs=20, tuning_epochs=5, rates=RATES),
    },
    notes="The head scores every step, so that the LSTM receives the projected error of step t at step t; only the last step "
    "counts. Within the LSTM, autograd goes back through time under every rule that cuts blocks.",
)
CUE_CELL = replace(
    CUE,
    name="cue-cell",
    title=f"Delayed cue, LSTM cell of 64 units called {DELAY + 1} times",
    data=partial(_cues, every=False),
    build=lambda splits: Cell(CUES, 64, CUES),
    notes="The same data and the same function of the weights. Here the cell is the block, so that direct rules hand every time "
    "step the projected error of the sequence, and nothing goes back through time but under backpropagation and transport rules. "
    "With 16 steps, which were tried first, backpropagation was at 19.9, 36.8 and 22.7 % after 5 epochs, with its rate chosen in "
    "2 epochs, the control at 11.3, "
    "and `dfa` and `lafs` at 99.9 or more. Three seeds do not tell backpropagation from the control there. 8 steps were chosen "
    "by these two alone.",
)
TEXT_PRESETS = {
    "quick": Preset(samples=4_000, epochs=3, tuning_epochs=1, rates=(1e-3, 3e-3, 1e-2), seeds=3),
    "full": Preset(samples=None, epochs=10, tuning_epochs=2),
}
SHAKESPEARE = Task(
    name="shakespeare",
    title=f"Tiny Shakespeare by character, transformer of 2 layers of {WIDTH}, context {CONTEXT}",
    data=_characters,
    build=lambda splits: Transformer(_vocabulary(splits)),
    kind="classes",
    head="head.",
    batch=32,
    presets=TEXT_PRESETS,
    blocks=("layers.*", "head"),
    settings={"local": {"loss": "pred"}},
    readouts=True,
    notes="A layer is a block, with attention and MLP inside. The score is the accuracy of the next character.",
)
SUBLAYERS = replace(
    SHAKESPEARE,
    name="shakespeare-sublayers",
    title="Tiny Shakespeare, the same transformer, every sublayer a block",
    blocks=("layers.*.*", "head"),
    controls="shakespeare",
    readouts=False,
    notes="The same network and data. Every attention and every MLP is a block of its own, with its residual connection inside. "
    "Blocks are nothing to backpropagation and to the frozen control: these two rows are those of the task above.",
)
LINES = replace(
    SHAKESPEARE,
    name="shakespeare-lines",
    title="Tiny Shakespeare by line, padded, tied embeddings",
    data=_lines,
    build=lambda splits: Transformer(_vocabulary(splits), tied=True),
    presets={**TEXT_PRESETS, "quick": replace(TEXT_PRESETS["quick"], samples=2_000)},
    readouts=False,
    notes="The head's weight is the embedding's, so that the frozen control trains the embedding too. Padding has the class "
    "-100, which no loss counts, and no score.",
)
