"""A graph convolutional network (torch_geometric, an extra) on Cora and CiteSeer, the Planetoid split."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.leaderboard.task import IGNORED, Preset, Split, Splits, Task
from replications.data.source import VARIABLE

HIDDEN = 16


class GCN(nn.Module):
    """Two graph convolutions. The graph is the network's own, so that a batch is all nodes and their labels."""

    edges: Tensor

    def __init__(self, features: int, classes: int, edges: Tensor) -> None:
        super().__init__()
        from torch_geometric.nn import GCNConv

        self.register_buffer("edges", edges)
        self.first = GCNConv(features, HIDDEN)
        self.head = GCNConv(HIDDEN, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(self.dropout(x), self.edges))
        return self.head(self.dropout(h), self.edges)


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


def _build(splits: Splits) -> nn.Module:
    assert splits.edges is not None
    return GCN(splits.train.x.shape[1], int(splits.train.y.max()) + 1, splits.edges)


GRAPHS = tuple(
    Task(
        name=name.lower(),
        title=f"{name}, GCN with {HIDDEN} hidden units",
        data=partial(_splits, name),
        build=_build,
        kind="classes",
        head="head.",
        batch=None,
        optimizer="Adam",
        decay=5e-4,
        stop="best",
        presets={
            "quick": Preset(samples=None, epochs=60, tuning_epochs=30, rates=(1e-3, 3e-3, 1e-2, 3e-2), seeds=5),
            "full": Preset(samples=None, epochs=250, tuning_epochs=100, rates=(1e-3, 3e-3, 1e-2, 3e-2), seeds=10),
        },
        notes="All nodes are inputs; a rule sees the labels of training nodes alone, as one-hot rows that are zero elsewhere.",
    )
    for name in ("Cora", "CiteSeer")
)
