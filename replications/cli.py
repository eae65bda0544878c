"""The command line: `python -m replications gilmer2017`. `all`, `list`, `table`, `report` or `audit` may replace the paper."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from replications.errors import ReplicationError
from replications.experiment import registry
from replications.judging.presets import PRESETS
from replications.reporting import readme
from replications.reporting.committed import committed, judge_again

EPILOG = (
    "The exit status is 0 if no claim failed, 1 if a claim failed, and 2 if the request or the data were wrong or a paper "
    "ended with an error. The other papers are run in any case. "
    "An interrupted replication continues if the command is started again with the same --out. "
    "Several commands that run at the same time with one --out share the runs."
)


SETTING = "--settings."
SETTINGS = f"""{SETTING}FIELD VALUE  another value for a field of the preset's settings, as {SETTING}learning_rate 0.05, or
                        {SETTING}mnist.epochs=3 where settings are nested. No claim is judged with changed
                        settings. The error for an unknown FIELD lists the fields of the paper."""


def main(arguments: Sequence[str]) -> int:
    """Run the command with these arguments; returns the status to exit with."""
    try:
        if arguments[:1] == ["list"]:
            return _list(arguments[1:])
        if arguments[:1] == ["table"]:
            return _table(arguments[1:])
        if arguments[:1] == ["report"]:
            from replications.reporting.command import report

            return report(arguments[1:])
        if arguments[:1] == ["audit"]:
            from replications.faults import audit

            return audit(arguments[1:])
        return _replicate(parse(arguments))
    except ReplicationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; `settings` holds (field, value) of each --settings.FIELD."""
    options, others, settings = parser(), [], []
    left = iter(arguments)
    for argument in left:
        if not argument.startswith(SETTING):
            others.append(argument)
            continue
        field, _, value = argument.removeprefix(SETTING).partition("=")
        value = value if "=" in argument else next(left, None)
        if value is None:
            options.error(f"argument {argument}: expected one argument")
        settings.append((field, value))
    return argparse.Namespace(**vars(options.parse_args(others)) | {"settings": settings})


def parser() -> argparse.ArgumentParser:
    """The options, the same for all papers."""
    options = argparse.ArgumentParser(
        "python -m replications",
        description=__doc__,
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "targets",
        metavar="PAPER[/EXPERIMENT,...]",
        nargs="+",
        help='what to replicate, or "all"; "list" shows all papers and experiments',
    )
    options.add_argument("--preset", default="quick", choices=PRESETS, help="default: %(default)s")
    options.add_argument("--seeds", type=int, metavar="N", help="number of seeds, 0 to N-1; default: the preset's")
    options.add_argument("--data-dir", type=Path, metavar="D", help="folder of the data; default: LIGHTNING_FA_DATA")
    options.add_argument("--dataset", metavar="NAME", help="default: the paper's")
    options.add_argument(
        "--out", type=Path, metavar="DIR", help="default: runs/<paper>/<time>; for several papers the parent folder"
    )
    options.add_argument("--accelerator", default="auto", help="as Lightning's Trainer names it; default: %(default)s")
    options.add_argument("--devices", default="1", help="as Lightning's Trainer names them; default: %(default)s")
    options.add_argument("--precision", default="32-true", help="as Lightning's Trainer names it; default: %(default)s")
    options.add_argument("--wandb", choices=("offline", "online", "off"), help="default: offline if installed")
    # for --help only: parse() reads these options, because their fields depend on the paper and --s must stay short for --seeds
    options.add_argument_group("settings", SETTINGS)
    options.set_defaults(settings=())
    return options


def _epilog() -> str:
    """The exit statuses, then how long each paper takes, from the section "Cost" of its docstring."""
    times = [f"{name}: {registry.cost(name)}" for name in registry.names()]
    paragraphs = [EPILOG, "How long it takes:", *times]
    return "\n\n".join(textwrap.fill(paragraph, 100) for paragraph in paragraphs)


def _replicate(options: argparse.Namespace) -> int:
    # imported late: `list` and the refusal of a wrong request should not wait for matplotlib and the data
    from replications.experiment.prepare import prepare_all
    from replications.running import run_all

    return run_all(prepare_all(options))


def _list(arguments: Sequence[str]) -> int:
    argparse.ArgumentParser("python -m replications list", description="Show all papers.").parse_args(arguments)
    for name in registry.names():
        paper = registry.load(name)
        print(f"{name}: {paper.title}")
        for experiment, description in paper.experiments.items():
            print(f"  {name}/{experiment}: {description}")
        print(f"  How long: {registry.cost(name)}")
    return 0


def _table(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser("python -m replications table", description=readme.__doc__)
    options.add_argument(
        "--check", action="store_true", help="change nothing; status 1 if the README or a page is stale"
    )
    options.add_argument("--readme", type=Path, default=readme.ROOT / "README.md", help="default: this project's")
    chosen = options.parse_args(arguments)
    current = judge_again(check=chosen.check)
    results = committed()
    current &= readme.update(chosen.readme, results, check=chosen.check)
    current &= readme.update_own_pages(chosen.readme.parent, results, check=chosen.check)
    if chosen.check and not current:
        print("error: the generated results are stale. Run `python -m replications table`.", file=sys.stderr)
    return int(chosen.check and not current)
