"""The accuracy of every rule on MNIST within a short fixed budget: the table of rules in the README.

    python -m benchmarks.learning [--rules dfa ...] [--data-dir D]     measure, into benchmarks/results/learning.json
    python -m benchmarks.learning --table [--check]                    rewrite (or check) the README's table from it

All rules have one protocol: 784-256-256-256-10 tanh, two epochs of AdamW at batch 128 (weight decay 0.01 on all parameters,
including learned feedback), softmax cross-entropy. Kickback has a logistic loss per class, because its signal is zero under
softmax. The learning rate is the best of RATES by the accuracy on 10 000 held-out training samples after the same budget. The
accuracy is that on the test samples, over SEEDS, after training on the other 50 000 samples. The angle is between the gradients
of the rule and of backpropagation, for each hidden weight matrix, on one batch of 1000 at the end of training. 90 degrees is
chance.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from benchmarks.machine import machine
from lightning_fa.metrics import angles
from replications.data import Dataset, load
from replications.reporting.readme import rewrite

RESULTS = Path(__file__).parent / "results" / "learning.json"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- rules:begin -->", "<!-- rules:end -->"
RATES = (3e-4, 1e-3, 3e-3)
SEEDS = (0, 1, 2)
EPOCHS, BATCH, WIDTH, HELD_OUT = 2, 128, 256, 10_000


def network(seed: int) -> nn.Sequential:
    """The network with PyTorch's default initialisation. `seed` fixes the weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Linear(784, WIDTH), nn.Tanh()]
        for _ in range(2):
            layers += [nn.Linear(WIDTH, WIDTH), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def criterion(rule: str, output: Tensor, y: Tensor) -> Tensor:
    if rule == "kickback":
        return F.binary_cross_entropy_with_logits(output, F.one_hot(y, 10).float(), reduction="sum") / len(y)
    return F.cross_entropy(output, y)


def seeded(rule: str, seed: int) -> fa.Rule:
    cls = fa.RULES[rule]
    return cls(seed=seed) if "seed" in cls.__dataclass_fields__ else cls()  # type: ignore[attr-defined]


def train(rule: str, rate: float, seed: int, x: Tensor, y: Tensor) -> tuple[nn.Sequential, fa.Attached]:
    """A trained network and its rule, which is still attached."""
    net = network(seed)
    attached = fa.attach(net, seeded(rule, seed), example=x[:2])
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=rate, weight_decay=0.01)
    order = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y), generator=order).split(BATCH):
            optimizer.zero_grad()
            attached.targets = y[batch]
            attached.loss(criterion(rule, net(x[batch]), y[batch])).backward()
            optimizer.step()
    return net, attached


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return 100 * (net(x).argmax(1) == y).float().mean().item()


def angles_to_backprop(
    rule: str, net: nn.Sequential, attached: fa.Attached, x: Tensor, y: Tensor
) -> list[float | None]:
    """The angle of each hidden layer in degrees; ``None`` for a layer without a gradient. Detaches the rule."""
    hidden = [layer for layer in net if isinstance(layer, nn.Linear)][:-1]

    def gradients() -> list[Tensor | None]:
        net.zero_grad()
        criterion_ = criterion(rule, net(x), y)
        (attached.loss(criterion_) if attached.needs_loss and not detached else criterion_).backward()
        return [None if layer.weight.grad is None else layer.weight.grad.flatten()[None] for layer in hidden]

    detached = False
    attached.targets = y
    mine = gradients()
    attached.detach()
    detached = True
    true = gradients()
    return [None if m is None or t is None else angles(m, t).item() for m, t in zip(mine, true)]


def measure(rule: str, data: Dataset) -> dict[str, Any]:
    x, y = data.train_inputs.flatten(1), data.train_labels
    held_x, held_y, x, y = x[-HELD_OUT:], y[-HELD_OUT:], x[:-HELD_OUT], y[:-HELD_OUT]
    begin = time.perf_counter()
    tried = {rate: accuracy(train(rule, rate, 0, x, y)[0], held_x, held_y) for rate in RATES}
    rate = max(tried, key=lambda r: tried[r])
    tested, degrees = [], []
    for seed in SEEDS:
        net, attached = train(rule, rate, seed, x, y)
        tested.append(accuracy(net, data.test_inputs.flatten(1), data.test_labels))
        degrees.append(angles_to_backprop(rule, net, attached, x[:1000], y[:1000]))
    return {
        "rate": rate,
        "held_out": tried,
        "test": tested,
        "angles": degrees,
        "seconds": time.perf_counter() - begin,
    }


def rows() -> list[str]:
    """The README's table, from the committed measurements."""
    measured = json.loads(RESULTS.read_text())["rules"] if RESULTS.exists() else {}
    lines = ["| name | class | | MNIST test accuracy | angle to backprop by layer |", "|---|---|---|---|---|"]
    for name, cls in fa.RULES.items():
        what = (sys.modules[cls.__module__].__doc__ or "").strip().splitlines()[0]
        what = (what.partition(": ")[2] or what).rstrip(".")
        found = measured.get(name)
        score = turn = "not measured"
        if found:
            spread = statistics.stdev(found["test"])
            score = f"{statistics.mean(found['test']):.1f} ± {spread:.1f} %"
            layers = [[a for a in layer if a is not None] for layer in zip(*found["angles"])]
            turn = " ".join(f"{statistics.mean(a):.0f}°" if a else "-" for a in layers)
        lines.append(f"| `{name}` | `{cls.__name__}` | {what} | {score} | {turn} |")
    return lines


def table(check: bool) -> bool:
    """Whether the README's table was up to date. A stale table is rewritten unless ``check``."""
    return rewrite(README, BEGIN, END, "\n".join(rows()), check=check)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", nargs="+", default=list(fa.RULES), choices=list(fa.RULES))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.table:
        return int(not table(options.check) and options.check)
    data = load("mnist", options.data_dir)
    content = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rules": {}}
    content |= {"machine": machine(), "dataset": data.label, "protocol": (__doc__ or "").split("\n\n", 2)[2]}
    for rule in options.rules:
        content["rules"][rule] = measure(rule, data)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(content, indent=1) + "\n")  # an interrupted run keeps the finished rules
        found = content["rules"][rule]
        scores = " ".join(f"{score:.1f}" for score in found["test"])
        print(f"{rule:10} rate {found['rate']:g}  test {scores}  {found['seconds']:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
