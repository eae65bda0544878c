"""One row: tuned, trained and measured. The row is written after every run, so that an interrupted row continues.

A finished row also continues if learning rates were added to its task's list. Only what these change is run.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.leaderboard import angle, cost
from benchmarks.leaderboard.protocol import TUNING_SEED, RefusedError, better, make, train
from benchmarks.leaderboard.task import Splits, Task, cross_entropy
from replications.experiment.environment import environment
from replications.experiment.sharing import claimed

RESULTS = Path(__file__).parent / "results"


def path_of(out: Path, task: str, rule: str, preset: str) -> Path:
    return out / preset / task / f"{rule}.json"


def settings(task: Task, rule: str, preset: str, splits: Splits) -> dict[str, Any]:
    """The settings on which a row's numbers depend, besides code and machine."""
    chosen = {"batch": task.batch, "optimizer": task.optimizer, "weight_decay": task.decay, "stop": task.stop}
    own = {key: value for key, value in make(task, rule, 0).config().items() if key != "seed"}
    wanted = {"data": splits.label, **asdict(task.presets[preset]), **chosen, "rule": own}
    content: dict[str, Any] = json.loads(json.dumps(wanted))
    return content


def run(task: Task, rule: str, preset: str, splits: Splits, out: Path = RESULTS) -> dict[str, Any] | None:
    """The row, run to its end, or ``None`` if another process runs it.

    Raises:
        ValueError: The row on disk was made with other settings.
    """
    path = path_of(out, task.name, rule, preset)
    with claimed(out, f"{preset}-{task.name}-{rule}") as mine:
        if not mine:
            return None
        row = _begun(path, settings(task, rule, preset, splits))
        if row["status"] == "unfinished":
            row |= {"task": task.name, "name": rule, "preset": preset}
            _sign(row, environment())
            _continue(task, rule, preset, splits, row, path)
        return row


def cost_again(task: Task, rule: str, preset: str, splits: Splits, out: Path = RESULTS) -> dict[str, Any] | None:
    """The row with its cost measured again; ``None`` if the row is not finished. The machine should be idle."""
    path = path_of(out, task.name, rule, preset)
    row = _begun(path, settings(task, rule, preset, splits))
    if row["status"] != "finished":
        return None
    row["cost"] = cost.measure(task, rule, row["rate"], splits)
    write(path, row)
    return row


def again(task: Task, rule: str, preset: str, splits: Splits, out: Path = RESULTS) -> dict[str, Any] | None:
    """The row with a note on whether a second training gave the same numbers; ``None`` if the row is not finished.

    Time and cost are not compared.
    """
    path = path_of(out, task.name, rule, preset)
    row = _begun(path, settings(task, rule, preset, splits))
    if row["status"] != "finished":
        return None
    with tempfile.TemporaryDirectory() as empty:
        fresh = run(task, rule, preset, splits, Path(empty))
    assert fresh is not None
    same = all(row[key] == fresh.get(key) for key in ("status", "tried", "rate", "runs"))
    row["again"] = {"same": same, "commit": fresh["environment"]["commit"]}
    write(path, row)
    return row


def _begun(path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    if not path.exists():
        return {"status": "unfinished", "settings": wanted, "tried": {}, "runs": {}, "minutes": 0.0}
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    made = row["settings"]
    if {**made, "rates": wanted["rates"]} != wanted or not set(made["rates"]) <= set(wanted["rates"]):
        raise ValueError(f"The row {path} was made with other settings. Remove it, or choose another --out.")
    if made != wanted:  # learning rates were added to the list: the row continues with them
        row |= {"settings": wanted, "status": "unfinished"}
        row.pop("again", None)  # said of the row with the shorter list
    return row


def _sign(row: dict[str, Any], here: dict[str, Any]) -> None:
    first = row.setdefault("environment", here)
    others = {*row.get("continued", []), here["commit"]} - {first["commit"]}
    if others:
        row["continued"] = sorted(map(str, others))


def _continue(task: Task, rule: str, preset: str, splits: Splits, row: dict[str, Any], path: Path) -> None:
    budget, start = task.presets[preset], time.perf_counter()

    def keep(**news: Any) -> None:
        nonlocal start
        now = time.perf_counter()
        row.update(news, minutes=row["minutes"] + (now - start) / 60)
        start = now
        write(path, row)

    try:
        for rate in budget.rates:
            if str(rate) not in row["tried"]:
                held = train(task, rule, rate, TUNING_SEED, splits, budget.tuning_epochs, test=False).held
                row["tried"][str(rate)] = held if math.isfinite(held) else None
                keep()
        tried = {rate: math.nan if held is None else held for rate, held in row["tried"].items()}
        rate = better(task, {float(rate): held for rate, held in tried.items()})
        if rate is None:
            keep(status="diverged", reason="at every learning rate")
            return
        if rate != row.get("rate"):
            keep(rate=rate, runs={})
        for seed in range(budget.seeds):
            if str(seed) not in row["runs"]:
                row["runs"][str(seed)] = _reported(task, rule, rate, seed, splits, budget.epochs)
                keep()
        lost = [seed for seed, found in row["runs"].items() if found["test"] is None]
        reason = f"from seed {', '.join(lost)} at the chosen rate" if lost else ""
        known = row.get("cost") or cost.measure(task, rule, rate, splits)  # the rate does not change it
        keep(status="diverged" if lost else "finished", reason=reason, cost=known)
    except RefusedError as error:
        keep(status="refused", reason=str(error))


def _reported(task: Task, rule: str, rate: float, seed: int, splits: Splits, epochs: int) -> dict[str, Any]:
    done = train(task, rule, rate, seed, splits, epochs, test=True)
    if done.diverged:
        return {"test": None, "held": None, "angles": {}}
    told = {"cross_entropy": cross_entropy(done.net, splits.test)} if task.readouts else {}
    turned = angle.to_backprop(task, rule, done.net, done.attached, splits)
    return {"test": done.test, "held": done.held, **told, "angles": turned}


def write(path: Path, row: dict[str, Any]) -> None:
    """Replace the file in one step, so that an interruption leaves the previous content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(row, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def threads(count: int) -> None:
    """Set the number of threads. Small networks are slower on several threads, and sums would depend on the number."""
    torch.set_num_threads(count)
