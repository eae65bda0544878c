"""Published numbers, in the unit of the task's score."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """{rule: value}, the source, and the differences from our setting."""

    values: dict[str, float]
    source: str
    difference: str


KAO = "Kao & Hariharan 2024, table 1"
PUBLISHED: dict[str, Published] = {
    "mnist": Published(
        {"bp": 98.19, "fa": 96.96, "dfa": 97.27, "drtp": 92.16},
        KAO,
        "Optimiser, schedule and the choice of learning rates are ours.",
    ),
    "cifar10": Published(
        {"bp": 50.03, "fa": 45.76, "dfa": 42.86, "drtp": 33.85},
        KAO,
        "Optimiser, schedule and the choice of learning rates are ours.",
    ),
    "autoencoder": Published(
        {"bp": 9.42, "dfa": 29.95},
        "Meulemans et al. 2021, table 1: loss x 1e-2 after 25 epochs (their DFC: 11.28)",
        "We do not know the normalisation of that paper's loss, so that only the order of rules can be compared.",
    ),
}
SOLO = Published(
    {"bp": 67.1, "solo": 70.6, "local": 75.3, "lafs": 98.9},
    "Yin et al. 2026, arXiv 2609.35440, second-hand: perplexities of language models of 40M parameters",
    "Our rates were chosen by accuracy. Our three rows share network, data and normalisation: a layer's output is normalised, so "
    "that the normalisation of `solo` changes nothing. The rows differ in the readout: `lafs` draws it uniformly and keeps it, "
    "`local` starts it at zero with a bias, and `solo` copies the head's in every pass.",
)
"""Published perplexities of local readouts, for the caption of the figure of readouts."""
