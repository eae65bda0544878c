"""Turns finished runs into records of claims, both at the end of a replication and when its results are read again."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from replications.judging.claims import Claim, Metrics, judge
from replications.judging.presets import options

Record = dict[str, Any]


def by_seed(runs: Iterable[Mapping[str, Any]], seeds: Iterable[int]) -> list[dict[str, Metrics]]:
    """For each seed {name of the run: its metrics}. The later of two runs with one name counts, and null becomes nan again."""
    found: dict[int, dict[str, Metrics]] = {seed: {} for seed in seeds}
    for run in runs:
        if run["seed"] in found:
            numbers = {key: math.nan if value is None else value for key, value in run["metrics"].items()}
            found[run["seed"]][run["name"]] = numbers
    return list(found.values())


def judged(
    claims: Iterable[Claim],
    seeds: Sequence[Mapping[str, Metrics]],
    preset: str,
    dataset: str,
    experiments: Collection[str],
) -> list[Record]:
    """The records of the claims of these experiments."""
    chosen = [claim for claim in claims if claim.experiment in experiments]
    return [judge(claim, seeds[: claim.seeds], preset, dataset) for claim in chosen]


def rest(paper: str, claims: Sequence[Claim], seeds: int, preset: str, records: Sequence[Record]) -> str | None:
    """The command for the experiments whose claims were judged on fewer seeds than they need; None if there are none."""
    n = {record["id"]: record["n"] for record in records}
    wanted = {claim.id: min(seeds, claim.seeds or seeds) for claim in claims}
    short = [claim for claim in claims if n.get(claim.id, 0) < wanted[claim.id]]
    if not short:
        return None
    target = f"{paper}/{','.join(dict.fromkeys(claim.experiment for claim in short))}"
    most = max(wanted[claim.id] for claim in short)
    return f"python -m replications {target} {options(preset)} --seeds {most}"
