"""The page docs/is_it_the_rule.md: the error of every rule in closed form, and how to check it in one's own code.

    python -m benchmarks.is_it_the_rule [--check]     rewrite (or check) the generated part of the page

The formulas are from the rules' docstrings. The tables below them are the output of ``fa.check``.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from replications.reporting.readme import rewrite

PAGE = Path(__file__).parents[1] / "docs" / "is_it_the_rule.md"
BEGIN, END = "<!-- errors:begin -->", "<!-- errors:end -->"

FAMILIES: dict[tuple[type[fa.Rule], str], str] = {
    (fa.TransportRule, "the layer above"): "Transport: the error travels layer by layer, through another matrix than W",
    (fa.DirectRule, "the output"): "Direct: the output's error goes to every block",
    (fa.DirectRule, "the block below"): "Direct: the output's error goes to the first block, and forward from there",
    (fa.LocalRule, "nothing"): "Local: every block has a loss of its own",
    (fa.LocalRule, "the head"): "Local, with a copy of the head's weight",
    (fa.SyntheticRule, "the block above"): "Synthetic: the error is predicted",
    (fa.DirectRule, "nothing"): "None below the head",
}


def formula(rule: type[fa.Rule]) -> str:
    """The formula under ``.. math::`` in the docstring.

    Raises:
        ValueError: The docstring has no formula.
    """
    found = re.search(r"\.\. math::(.*?)(?:\n\n|\Z)", inspect.cleandoc(rule.__doc__ or ""), re.DOTALL)
    if found is None:
        raise ValueError(f"The docstring of {rule.__name__} has no `.. math::`.")
    return " ".join(found.group(1).split())


def source(rule: type[fa.Rule]) -> str:
    """The references of the docstring, as one line."""
    found = re.search(r"References?: (.*?)(?:\n\n|\Z)", inspect.cleandoc(rule.__doc__ or ""), re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def network() -> nn.Sequential:
    """The network of the example on the page."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))


def seen(rule: str) -> str:
    """The output of ``fa.check`` under `rule`."""
    net = network()
    rng = torch.Generator().manual_seed(0)
    batch = torch.randn(64, 20, generator=rng), torch.randint(3, (64,), generator=rng)
    return str(fa.check(net, rule, batch, F.cross_entropy))


def generated() -> str:
    """The generated part of the page."""
    lines = []
    for (family, hears), title in FAMILIES.items():
        lines += [f"### {title}", ""]
        for name, rule in fa.RULES.items():
            if not issubclass(rule, family) or rule.hears != hears:
                continue
            known = attributes(name)
            lines += [f"**`{name}`** (`{rule.__name__}`){known}", "", "$$", formula(rule), "$$", ""]
            lines += [source(rule), ""] if source(rule) else []
    lines += ["### What `fa.check` prints", ""]
    for name in ("dfa", "fa", "bp"):
        lines += [f"`{name}`:", "", "```text", seen(name), "```", ""]
    return "\n".join(lines).strip()


def attributes(name: str) -> str:
    """What a training loop must provide for the rule, as text."""
    attached = fa.attach(network(), name)
    owed = []
    if attached.needs_targets:
        owed.append("reads `attached.targets`")
    if attached.needs_loss:
        owed.append("needs `attached.loss`")
    if attached.rule.learned:
        owed.append("learns its feedback: build the optimizer afterwards")
    return f": {'; '.join(owed)}" if owed else ""


def page(check: bool) -> bool:
    """Whether the page was up to date. A stale page is rewritten unless ``check``."""
    return rewrite(PAGE, BEGIN, END, generated(), check=check)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    return int(not page(options.check) and options.check)


if __name__ == "__main__":
    sys.exit(main())
