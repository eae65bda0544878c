"""`python -m replications audit`: a table of the judged claims of each paper, and of the planted faults that each catches."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from replications.experiment import registry
from replications.faults import formulas, trained
from replications.faults.planted import Pairs, Planted, planted_in
from replications.faults.recorded import Runs, caught, exchanged, matches, replaced, reproduced
from replications.judging.claims import Claim
from replications.judging.presets import PRESETS
from replications.judging.verdicts import by_seed
from replications.reporting.committed import committed
from replications.reporting.prose import table
from replications.reporting.readme import ROOT

PAGE = ROOT / "docs" / "planted_faults.md"
FAULTS = ("backprop", "exchanged", "untrained", "idle", "redrawn")
MEANING = """# Planted faults

Can the verdict "reproduced" fail? Each judged claim of each paper is judged again on numbers with a planted fault. A claim
that passes under every fault says nothing, so that it is only reported. `python -m replications audit --train` writes the
tables and trains short runs for the last three faults. Without `--train` their columns are those of this page. The exit status
is 1 if a claim survives everything.

- `backprop`: every run has the numbers of the backpropagation run of the same setting, or of the run with the mechanism off
  (recorded numbers).
- `exchanged`: two runs, or two numbers of a run, have exchanged names (recorded numbers; several faults of this kind).
- `untrained`: no weight is trained (preset smoke, learning rate 0; step 0 where a paper has training loops of its own).
- `idle`: only the runs of the paper's rule are untrained. The runs that they are compared with are as recorded.
- `redrawn`: the entries of every B are permuted in every step (gilmer2017, 600 steps). The fault counts as caught only if
  the same run with a fixed B reproduces the claim. For czarnecki2017 this column has other faults: the signals of table 1 are
  doubled, flags are exchanged, the gate of proposition 2 is always open, and the SG of figure 6 never learns.

"caught" means that the claim is not reproduced under the fault, "survives" that it is reproduced. "-" means that the fault
does not change the numbers that the claim judges, or that the runs are missing or too short.
"""


def audit(arguments: Sequence[str]) -> int:
    """Run the command with these arguments; returns 1 if a judged claim survives every fault that changes its numbers."""
    options = argparse.ArgumentParser("python -m replications audit", description=__doc__)
    options.add_argument("papers", nargs="*", metavar="PAPER", help="default: all")
    options.add_argument(
        "--train",
        action="store_true",
        help="also plant the faults that need training (minutes); else, and for other papers, their columns are those of the "
        "page FILE, or of docs/planted_faults.md if there is no FILE",
    )
    options.add_argument("--data-dir", type=Path, metavar="D", help="folder of the data; default: LIGHTNING_FA_DATA")
    options.add_argument("--out", type=Path, metavar="FILE", help="write the page")
    chosen = options.parse_args(arguments)
    folder = chosen.data_dir or (Path(os.environ["LIGHTNING_FA_DATA"]) if "LIGHTNING_FA_DATA" in os.environ else None)
    papers = chosen.papers or registry.names()
    shown = registry.names() if chosen.out else papers
    found = {paper: verdicts(paper, folder, train=chosen.train and paper in papers) for paper in shown}
    page = chosen.out if chosen.out and chosen.out.exists() else PAGE
    if page.exists():
        known = page.read_text(encoding="utf-8")
        for paper, rows in found.items():
            if not (chosen.train and paper in papers):
                _keep_trained(rows, rows_of(known, paper))
    text = "\n".join([MEANING, *(_section(paper, rows) for paper, rows in found.items())])
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    return int(any(uncaught(row) for rows in found.values() for row in rows.values()))


def verdicts(paper: str, data_dir: Path | None, *, train: bool) -> dict[str, dict[str, str]]:
    """{judged claim: {fault: "caught", "survives" or "-"}}."""
    claims = [claim for claim in registry.load(paper).claims if claim.tolerance]
    recorded = _recorded(paper)
    faults = planted_in(paper)
    rows = {claim.id: _on_records(faults, claim, _runs_of(claim, recorded)) for claim in claims}
    if train:
        untrained = trained.train(
            paper, faults.untrained, data_dir, trained.NothingTrained, experiments=faults.experiments
        )
        if paper == "czarnecki2017":
            _formulas(claims, rows, untrained, data_dir)
        for claim in claims:
            rows[claim.id]["untrained"] = _word(caught(claim, [], untrained))
            honest = _runs_of(claim, recorded)
            rows[claim.id]["idle"] = _word(caught(claim, honest, _idle(honest, untrained[0], faults.backprop)))
        if faults.redrawn:
            again = partial(trained.train, paper, faults.redrawn, data_dir, experiments=faults.redrawn_experiments)
            honest, redrawn = again(), again(trained.FreshFeedback)
            for claim in claims:
                holds = reproduced(claim, honest)
                found = caught(claim, honest, redrawn)
                rows[claim.id]["redrawn"] = _word(found if holds or not found else None)
    return rows


def rows_of(page: str, paper: str) -> dict[str, dict[str, str]]:
    """The rows of `paper` on a page: {claim: {fault: word}}."""
    section = page.partition(f"## {paper}\n")[2].partition("\n## ")[0]
    table = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {cells[0]: dict(zip(table[0][1:], cells[1:], strict=True)) for cells in table[1:]}


def _keep_trained(rows: dict[str, dict[str, str]], known: dict[str, dict[str, str]]) -> None:
    for name, row in rows.items():
        row |= {fault: known[name][fault] for fault in ("untrained", "idle", "redrawn") if name in known}


def uncaught(row: dict[str, str]) -> bool:
    """Whether at least one fault changes the claim's numbers and the claim survives all these faults."""
    return "caught" not in row.values() and "survives" in row.values()


def _on_records(faults: Planted, claim: Claim, honest: Sequence[Runs]) -> dict[str, str]:
    backprop = caught(claim, honest, [replaced(runs, faults.backprop) for runs in honest])
    each = [caught(claim, honest, [exchanged(runs, pairs) for runs in honest]) for pairs in faults.exchanged]
    touching = [one for one in each if one is not None]
    return {
        "backprop": _word(backprop),
        "exchanged": _word(any(touching) if touching else None),
        "untrained": "-",
        "idle": "-",
        "redrawn": "-",
    }


def _idle(honest: Sequence[Runs], untrained: Runs, pairs: Pairs) -> list[Runs]:
    """The recorded runs. Runs that get another run's numbers under the fault `backprop` are replaced by untrained runs."""
    rules = {left[0] for runs in honest for left, _ in matches(runs, pairs) if left[1] is None}
    return [{**runs, **{name: untrained[name] for name in rules if name in untrained}} for runs in honest]


def _formulas(
    claims: Sequence[Claim], rows: dict[str, dict[str, str]], untrained: list[Any], data: Path | None
) -> None:
    """The runs that czarnecki2017 computes without a Trainer, once untrained and once with wrong formulas."""
    smoke = registry.load("czarnecki2017").presets["smoke"]
    rest = trained.train("czarnecki2017", formulas.at_rest(smoke), data, experiments=formulas.EXPERIMENTS)
    for runs, more in zip(untrained, rest, strict=True):
        runs |= {name: numbers for name, numbers in more.items() if name != "table1"}
    with formulas.wrong():
        wrong = trained.train("czarnecki2017", {}, data, experiments="table1,prop2,fig6")
    for claim in claims:
        rows[claim.id]["redrawn"] = _word(caught(claim, [], wrong))


def _word(found: bool | None) -> str:
    return "-" if found is None else "caught" if found else "survives"


def _recorded(paper: str) -> list[list[Runs]]:
    """The runs of each committed preset by seed and name, from full to smoke."""
    results = [result for result in committed() if result["paper"] == paper and result["preset"] in PRESETS]
    return [list(by_seed(r["runs"], sorted({run["seed"] for run in r["runs"]}))) for r in results]


def _runs_of(claim: Claim, recorded: Sequence[list[Runs]]) -> list[Runs]:
    """The runs of the longest preset that has the numbers that the claim needs."""
    from replications.judging.claims import measured

    return next((seeds for seeds in recorded if any(measured(claim, runs) is not None for runs in seeds)), [])


def _section(paper: str, rows: dict[str, dict[str, Any]]) -> str:
    body = table(["claim", *FAULTS], [[name, *(row[fault] for fault in FAULTS)] for name, row in rows.items()])
    left = [name for name, row in rows.items() if uncaught(row)]
    untouched = [name for name, row in rows.items() if set(row.values()) == {"-"}]
    words = [f"{len(rows)} judged claims; survive everything: {', '.join(left) or 'none'}."]
    if untouched:
        words.append(f"No fault touches: {', '.join(untouched)}.")
    return "\n".join([f"## {paper}", "", " ".join(words), "", body, ""])
