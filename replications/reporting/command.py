"""`python -m replications report`: writes the HTML page and the description of a W&B report, and publishes it on request."""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from replications.errors import ReplicationError
from replications.experiment.loggers import PROJECT
from replications.reporting import publishing, spec
from replications.reporting.finding import find
from replications.reporting.page import page


def report(arguments: Sequence[str]) -> int:
    """Run the command with these arguments; returns the status to exit with."""
    options = argparse.ArgumentParser("python -m replications report", description=__doc__)
    options.add_argument("papers", nargs="*", metavar="PAPER", help="or a folder with results.json; default: all")
    options.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="default: %(default)s")
    options.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: %(default)s")
    options.add_argument("--publish", action="store_true", help="sync the runs to W&B and save the report there")
    options.add_argument("--entity", metavar="E", help="W&B user or team, for --publish")
    options.add_argument("--project", default=PROJECT, metavar="P", help="W&B project; default: %(default)s")
    options.add_argument("--timeout", type=float, default=publishing.SECONDS, help="seconds; default: %(default)s")
    chosen = options.parse_args(arguments)
    if chosen.publish and not chosen.entity:
        raise ReplicationError(
            "Expected --entity with --publish but got none. Name the W&B user or team that shall own the report."
        )
    results = find(chosen.papers, chosen.runs)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(page(results), encoding="utf-8")
    print(f"The report is in {chosen.out}")
    if find_spec("wandb_workspaces") is None:
        print("For a W&B report as well: pip install wandb-workspaces")
        return 0
    described = spec.build(results, chosen.entity or "your-entity", chosen.project)
    target = chosen.out.with_suffix(".wandb.json")
    target.write_text(spec.to_json(described), encoding="utf-8")
    print(f"The description of the W&B report is in {target}")
    again = " ".join(["python -m replications report", *chosen.papers, "--publish --entity E --project P"])
    if not chosen.publish:
        print(f"To publish it: {again}")
        return 0
    publishing.check()
    for result in results:
        publishing.sync(result.offline_runs, chosen.entity, chosen.project, chosen.timeout)
    print(f"The W&B report is at {publishing.save(described, chosen.timeout)}")
    return 0
