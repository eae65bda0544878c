"""Golden gradients: what a redesign must not change, bit for bit, on one machine.

    python -m tests.golden golden.pt      # before: writes the file
    python -m tests.golden golden.pt      # after: compares, and exits with 1 where a bit differs

Covers every registry name on every test network, three optimizer steps each, and the feedback itself. The file is not
committed: sums of floats differ between processors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

import lightning_fa as fa
from tests.cases import attach, problem_of
from tests.problems import PROBLEMS, forward, gradients

STEPS = 3


def compute(rule: str, problem: str) -> dict[str, Tensor] | str:
    """Gradients of the first step, feedback, and weights after :data:`STEPS` steps; the error's text where it is refused."""
    case = problem_of(rule, problem)
    model, batch = case.model(), case.batch()
    try:
        attached = attach(model, rule, case)
        first = gradients(model, batch, attached)
        found = {f"grad {name}": g for name, g in first.items()}
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(STEPS):
            optimizer.zero_grad()
            forward(model, batch, attached).backward()
            optimizer.step()
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}"
    found |= {f"feedback {name}": b.detach().clone() for name, b in attached.feedback.items()}
    return found | {f"weight {name}": p.detach().clone() for name, p in model.named_parameters()}


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """What is not bitwise equal."""
    found = [f"{key}: only in one" for key in before.keys() ^ after.keys()]
    for key in sorted(before.keys() & after.keys()):
        old, new = before[key], after[key]
        if isinstance(old, dict) and isinstance(new, dict):
            names = [name for name in sorted(old.keys() | new.keys()) if name not in old or name not in new]
            names += [name for name in sorted(old.keys() & new.keys()) if not torch.equal(old[name], new[name])]
            found += [f"{key}: {name}" for name in names]
        elif old != new:
            found.append(
                f"{key}: {old if isinstance(old, str) else 'ran'} before, {new if isinstance(new, str) else 'ran'} now"
            )
    return found


def main() -> int:
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    now = {f"{rule} on {problem}": compute(rule, problem) for rule in fa.RULES for problem in PROBLEMS}
    if not path.exists():
        torch.save(now, path)
        print(f"{len(now)} cases written to {path}.")
        return 0
    wrong = differences(torch.load(path), now)
    print("\n".join(wrong) or f"{len(now)} cases are bitwise equal.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
