"""From finished runs to the records of the claims; the same when a replication ends and when its results are read again."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from replications.claims import Metrics, judge
from replications.registry import Paper, load

Record = dict[str, Any]


def by_seed(runs: Iterable[Mapping[str, Any]], seeds: Iterable[int]) -> list[dict[str, Metrics]]:
    """For each seed the metrics of its runs by name, the later of two with one name; null becomes nan again."""
    found: dict[int, dict[str, Metrics]] = {seed: {} for seed in seeds}
    for run in runs:
        if run["seed"] in found:
            numbers = {key: math.nan if value is None else value for key, value in run["metrics"].items()}
            found[run["seed"]][run["name"]] = numbers
    return list(found.values())


def judged(
    paper: Paper, seeds: Sequence[Mapping[str, Metrics]], preset: str, dataset: str, experiments: Collection[str]
) -> list[Record]:
    """The records of the claims of these experiments."""
    chosen = [claim for claim in paper.claims if claim.experiment in experiments]
    return [judge(claim, seeds[: claim.seeds], preset, dataset) for claim in chosen]


def judged_again(content: Mapping[str, Any]) -> Record:
    """Results with the claims as the code now states and judges them; those of experiments without any run are left out."""
    paper = load(content["paper"])
    seeds = by_seed(content["runs"], sorted({run["seed"] for run in content["runs"]}))
    records = judged(paper, seeds, content["preset"], content["dataset"], paper.experiments)
    experiment = {claim.id: claim.experiment for claim in paper.claims}
    begun = {experiment[record["id"]] for record in records if record["n"]}
    kept = [record for record in records if experiment[record["id"]] in begun]
    environment = content["environment"] | {"rest": rest(paper, content["preset"], kept)}
    return {**content, "environment": environment, "claims": kept}


def rest(paper: Paper, preset: str, records: Sequence[Record]) -> str | None:
    """The command for the experiments that have claims about fewer seeds than the preset, or none; else None."""
    seeds = paper.seeds[preset]
    judged = {record["id"]: record["n"] for record in records}
    wanted = {claim.id: min(seeds, claim.seeds or seeds) for claim in paper.claims}
    short = [claim for claim in paper.claims if judged.get(claim.id, 0) < wanted[claim.id]]
    if not short:
        return None
    target = f"{paper.name}/{','.join(dict.fromkeys(claim.experiment for claim in short))}"
    most = max(wanted[claim.id] for claim in short)
    return f"python -m replications {target} --preset {preset} --seeds {most}"
