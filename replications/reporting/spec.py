"""The report for W&B, as a description. The API key and the network are needed only to publish it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from replications.reporting.finding import Found
from replications.reporting.page import MARKS
from replications.reporting.prose import table
from replications.reporting.table import accepted, got

X = "trainer/global_step"
PANELS = 24
"""The largest number of line plots per experiment. More plots make the browser slow."""


def build(results: Sequence[Found], entity: str, project: str) -> Any:
    """A `wandb_workspaces` report."""
    import wandb_workspaces.reports.v2 as wr

    blocks: list[Any] = [wr.TableOfContents()]
    for result in results:
        blocks += [wr.H1(result.title), wr.P(_facts(result)), wr.H2("Claims"), wr.MarkdownBlock(_claims(result))]
        differences = result.section("Differences")
        if differences:
            blocks += [wr.H2("Differences from the paper"), wr.MarkdownBlock(differences)]
        blocks.append(wr.H2("Runs"))
        blocks += [_grid(result, experiment) for experiment in _experiments(result)]
        blocks += [wr.H2("Settings"), wr.CodeBlock(json.dumps(_settings(result), indent=2), language="json")]
        blocks += [wr.H2("How to run it again"), wr.MarkdownBlock(f"```\n{result.command}\n```")]
    title = "Replications: " + ", ".join(dict.fromkeys(result.name for result in results))
    # Without `entity` W&B would ask the network for the default. Run sets without an entity use the report's entity and project.
    return wr.Report(
        entity=entity, project=project, title=title, description=_tally(results), blocks=blocks, width="fluid"
    )


def to_json(report: Any) -> str:
    """The JSON text that the service receives."""
    model = json.loads(report._to_model().model_dump_json(by_alias=True, exclude_none=True))
    return json.dumps(model, indent=1) + "\n"


def _grid(result: Found, experiment: str) -> Any:
    import wandb_workspaces.reports.v2 as wr

    lines = [
        wr.LinePlot(
            title=name,
            x=X,
            y=[name],
            log_x=True,
            groupby=wr.Config("run"),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
        )
        for name in _curves(result, experiment)
    ]
    images = wr.MediaBrowser(
        title="figures", media_keys=["align/figure", "probe/figure", "rsm/figure", "weights/figure"]
    )
    runs = wr.Runset(name=experiment, filters=f"Metric('Group') == '{result.name}/{experiment}'", groupby=["job_type"])
    return wr.PanelGrid(runsets=[runs], panels=[*lines, images])


def _curves(result: Found, experiment: str) -> list[str]:
    names = [n for run in result.content["runs"] if run["experiment"] == experiment for n in run["metrics"]]
    return list(dict.fromkeys(name for name in names if not name.startswith(("initial_", "largest_"))))[:PANELS]


def _experiments(result: Found) -> list[str]:
    return list(dict.fromkeys(run["experiment"] for run in result.content["runs"]))


def _settings(result: Found) -> Mapping[str, Any]:
    return {f"{run['experiment']}/{run['name']}": run["settings"] for run in result.content["runs"]}


def _facts(result: Found) -> str:
    environment = result.content["environment"]
    versions = ", ".join(f"{k} {environment[k]}" for k in ("lightning_fa", "torch", "lightning") if k in environment)
    return f"{result.content['dataset']}, preset {result.content['preset']}; {versions}; commit {environment.get('commit')}."


def _claims(result: Found) -> str:
    rows = [
        [c["statement"], c["expected"], accepted(c), got(c), MARKS.get(c["verdict"], c["verdict"])]
        for c in result.content["claims"]
    ]
    head = ["claim", "paper says", "accepted", "we got", "verdict"]
    return table(head, rows)


def _tally(results: Sequence[Found]) -> str:
    verdicts = [claim["verdict"] for result in results for claim in result.content["claims"]]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in MARKS)
