"""Time of a training step, as ratios: ``python -m benchmarks [--smoke | --page]``.

The measurement uses one process and one thread, and the steps of a group take turns. Rules are compared with plain backprop of
the same network and with loops written by hand (``benchmarks/time/floors.py``). Gradients in the forward pass are compared with
kept graphs, and ``Trainer.fit`` with a bare loop. ``--smoke`` only shows that the code works, and writes nothing. ``--page``
writes docs/speed.md from the last measurement.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.time import growth
from benchmarks.time.groups import Group, groups
from benchmarks.time.interleave import interleave, ratios
from benchmarks.time.page import RESULTS, render, update


def measure(group: Group, rounds: int) -> dict[str, Any]:
    """The record of one group. If a step of the group fails, the error is printed and the record holds its type."""
    try:
        found = ratios(interleave(group.steps(), rounds), group.baseline)
    except Exception as error:
        print(f"{group.title}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return {"title": group.title, "error": type(error).__name__}
    for name, r in found.items():
        print(
            f"{group.title:50} {name:24} {r.ratio:5.2f} ({r.low:.2f} to {r.high:.2f})  {1e3 * r.seconds:8.2f} ms",
            flush=True,
        )
    ways = {name: ratio._asdict() for name, ratio in found.items()}
    return {"title": group.title, "baseline": group.baseline, "aims": dict(group.aims), "ways": ways}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small networks and few steps; nothing is written")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page and its figure")
    options = parser.parse_args()
    if options.page:
        update(check=False)
        return 0
    torch.set_num_threads(1)
    # Predictors that learn from the same batch with a small rate pass on subnormal numbers, which Intel's processors multiply
    # twenty times slower. No rule is measured by them.
    torch.set_flush_denormal(True)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    measured = [measure(group, 2 if options.smoke else group.rounds) for group in groups(options.smoke)]
    grown = {axis.name: growth.measure(axis) for axis in growth.axes(options.smoke)}
    results = {"machine": machine(), "groups": measured, "growth": grown}
    print(render(results))
    if not options.smoke:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        update(check=False)
    return int(any("error" in group for group in measured))


if __name__ == "__main__":
    sys.exit(main())
