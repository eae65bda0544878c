"""Graph networks of torch_geometric (an extra) on Cora and CiteSeer, the Planetoid split."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.leaderboard.task import IGNORED, Preset, Split, Splits, Task
from replications.data.source import VARIABLE

HIDDEN, HEADS = 16, 8
KINDS = {
    "": f"GCN with {HIDDEN} hidden units",
    "-cheb": f"ChebConv (K = 2) with {HIDDEN} hidden units",
    "-gat": f"GAT with {HEADS} x 8 hidden units",
}
"""Ending of a task's name -> the network. Sizes and activations are those of the code of Launay et al. 2020."""


class Graph(nn.Module):
    """Two graph convolutions. The graph is the network's own, so that a batch is all nodes and their labels."""

    edges: Tensor

    def __init__(self, kind: str, features: int, classes: int, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges)
        self.attends = kind == "-gat"
        self.first, self.head = _convolutions(kind, features, classes)
        self.dropout = nn.Dropout(0.6 if self.attends else 0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x, self.edges)
        return self.head(self.dropout(F.elu(h) if self.attends else torch.relu(h)), self.edges)


def _convolutions(kind: str, features: int, classes: int) -> tuple[nn.Module, nn.Module]:
    from torch_geometric.nn import ChebConv, GATConv, GCNConv

    if kind == "-gat":
        return GATConv(features, 8, heads=HEADS, dropout=0.6), GATConv(8 * HEADS, classes, dropout=0.6)
    if kind == "":
        return GCNConv(features, HIDDEN), GCNConv(HIDDEN, classes)

    class KnownChebConv(ChebConv):  # type: ignore[misc]
        """Sums the features over neighbours once: they never change, and 1433 of them are nine tenths of a step."""

        known: tuple[Tensor, Tensor] | None = None

        def propagate(self, edge_index: Tensor, **arguments: Any) -> Tensor:
            x = arguments["x"]
            if self.known is None or self.known[0].data_ptr() != x.data_ptr():
                self.known = x, super().propagate(edge_index, **arguments)
            return self.known[1]

    return KnownChebConv(features, HIDDEN, K=2), ChebConv(HIDDEN, classes, K=2)


def _graph(name: str, data_dir: Path | None) -> Any:
    try:
        from torch_geometric.datasets import Planetoid
        from torch_geometric.transforms import NormalizeFeatures
    except ImportError as error:
        raise ImportError("The tasks on graphs need torch_geometric: pip install torch_geometric.") from error
    root = data_dir or Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "lightning_fa")
    return Planetoid(str(root / "Planetoid"), name, transform=NormalizeFeatures())[0]


def _splits(name: str, preset: Preset, data_dir: Path | None) -> Splits:
    """Every split has all nodes as inputs, and the labels of its own nodes alone: the others' are not in its targets."""
    data = _graph(name, data_dir)
    masks = (data.train_mask, data.val_mask, data.test_mask)
    parts = [Split(data.x, data.y.where(mask, torch.tensor(IGNORED))) for mask in masks]
    return Splits(*parts, f"{name}, Planetoid split", data.edge_index)


def _build(kind: str, splits: Splits) -> nn.Module:
    assert splits.edges is not None
    return Graph(kind, splits.train.x.shape[1], int(splits.train.y.max()) + 1, splits.edges)


RATES = (1e-2, 3e-2, 1e-1, 3e-1)
GRAPHS = tuple(
    Task(
        name=name.lower() + kind,
        title=f"{name}, {network}",
        data=partial(_splits, name),
        build=partial(_build, kind),
        kind="classes",
        head="head.",
        batch=None,
        optimizer="Adam",
        decay=5e-4,
        stop="best",
        presets={
            "quick": Preset(samples=None, epochs=60, tuning_epochs=30, rates=RATES, seeds=3 if kind else 5),
            "full": Preset(samples=None, epochs=250, tuning_epochs=100, rates=RATES, seeds=10),
        },
        notes="All nodes are inputs; a rule sees the labels of training nodes alone, as one-hot rows that are zero elsewhere. "
        "The network is that of the published code of Launay et al. 2020. It trains backpropagation with a weight decay of 5e-4 "
        "and a dropout of 0.5 (GAT: 0.6), DFA with 1e-4 and 0 or 0.1, and the head of GCN and ChebConv with no decay. Here every "
        "row has backpropagation's values on all weights, and no dropout of the features.",
    )
    for kind, network in KINDS.items()
    for name in ("Cora", "CiteSeer")
)
