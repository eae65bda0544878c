"""The networks of other libraries that train under each family of rules: docs/supported.md.

    python -m benchmarks.supported [--networks resnet18 ...]     measure, into benchmarks/results/supported.json
    python -m benchmarks.supported --page [--check]              rewrite (or check) the page from it

Each network gets random weights, is attached with ``example=``, and runs one backward pass. *Works* means three things. The loss
equals that of the plain network bitwise (to rounding for a recurrent network). Every gradient is finite. Every weight that
backpropagation trains has a gradient (under ``sg`` the first gradients are zero). A refusal is an error of the library before
any gradient.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import re
import sys
import traceback
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from benchmarks.zoo import LIBRARIES, zoo
from replications.reporting.readme import rewrite

RESULTS = Path(__file__).parent / "results" / "supported.json"
PAGE = Path(__file__).parents[1] / "docs" / "supported.md"
BEGIN, END = "<!-- supported:begin -->", "<!-- supported:end -->"
ROUNDING = 1e-6
"""The relative tolerance for a mean over float32 numbers, whose unit in the last place is 1.2e-7."""
RULES = ("bp", "fa", "dfa", "lafs", "sg")


def scores(model: nn.Module, x: Any) -> Tensor:
    """The scores in whatever the network returns: a tensor, a tuple, or an object with ``logits``."""
    torch.manual_seed(3)  # dropout
    out = model(**x) if isinstance(x, Mapping) else model(*x) if isinstance(x, tuple) else model(x)
    out = getattr(out, "logits", out)
    return out[0] if isinstance(out, tuple) else out


def loss_of(output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output.reshape(-1, output.shape[-1]), y)


def attempt(model: nn.Module, x: Any, rule: str) -> dict[str, Any]:
    """The outcome: ``works`` with counts of weight matrices, or ``refused``, ``fails`` or ``wrong`` with the reason."""
    plain = copy.deepcopy(model)
    output = scores(plain, x)
    y = torch.arange(output.shape[:-1].numel()) % output.shape[-1]
    expected = loss_of(output, y)
    expected.backward()
    try:
        attached = fa.attach(model, rule, example=x)
        attached.targets = y.reshape(output.shape[:-1])
        loss = attached.loss(loss_of(scores(model, x), y))
        loss.backward()
    except Exception as error:
        own = "lightning_fa" in traceback.extract_tb(error.__traceback__)[-1].filename
        return {"outcome": "refused" if own else "fails", "why": f"{type(error).__name__}: {error}"}
    same = torch.equal(loss, expected)
    # A transport rule runs a recurrent layer step by step, because it cannot change the backward pass of the fused kernel.
    stepped = any(isinstance(m, nn.RNNBase) for m in model.modules())
    if not same and not (stepped and torch.allclose(loss, expected, rtol=ROUNDING, atol=0)):
        return {"outcome": "wrong", "why": f"The loss is off by {(loss - expected).abs().item():.1e}."}
    trained = {name for name, p in plain.named_parameters() if p.grad is not None and p.grad.any()}
    found = {name: p.grad for name, p in model.named_parameters() if name in trained}
    lost = sorted(name for name, g in found.items() if g is None or (rule != "sg" and not g.any()))
    if rule != "sg" and lost:
        return {"outcome": "wrong", "why": f"No gradient for {', '.join(lost)}."}
    if not all(g.isfinite().all() for g in found.values() if g is not None):
        return {"outcome": "wrong", "why": "A gradient is not finite."}
    return {"outcome": "works", "bitwise": same, **attached.governance()._asdict()}


def measure(make: Any) -> dict[str, Any]:
    """{rule: outcome} for the network that `make` returns."""
    results = {}
    for rule in RULES:
        torch.manual_seed(0)
        model, x = make()
        results[rule] = attempt(model.train(), x, rule)
    return results


def sentence(why: str) -> str:
    """The first sentence of an error, cut to 160 characters."""
    first = re.split(r"(?<=[a-z)'`])[.:;](?:\s|$)", why.partition(": ")[2] or why, maxsplit=1)[0].replace("\n", " ")
    return (first if len(first) <= 160 else first[:157] + "...").replace("|", "\\|")


def rows() -> str:
    """The page's tables, from the committed measurements."""
    content = json.loads(RESULTS.read_text())
    networks = content["networks"]
    cells = [(library, name, found) for library, kinds in networks.items() for name, found in kinds.items()]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    lines = [f"{len(cells)} networks, {versions}.", ""]
    total = {rule: sum(found[rule]["outcome"] == "works" for *_, found in cells) for rule in RULES}
    lines += [", ".join(f"`{rule}` works on {count}" for rule, count in total.items()) + f" of {len(cells)}.", ""]
    for library, kinds in networks.items():
        lines += [f"### {library}", "", f"| network | {' | '.join(f'`{r}`' for r in RULES)} |", "|---" * 6 + "|"]
        why: dict[str, list[str]] = {}
        for name, found in kinds.items():
            lines.append(f"| {name} | {' | '.join(cell(found[rule]) for rule in RULES)} |")
            for rule in RULES:
                if found[rule]["outcome"] != "works":
                    why.setdefault(sentence(found[rule]["why"]), []).append(f"{name} (`{rule}`)")
        lines += ["", *(f"- {reason}: {', '.join(who)}." for reason, who in why.items()), ""]
    return "\n".join(lines).strip()


def cell(found: dict[str, Any]) -> str:
    if found["outcome"] != "works":
        return f"**{found['outcome']}**" if found["outcome"] != "refused" else "refused"
    counts = f"{found['governed']}" + (f" + {found['inside']}" if found["inside"] else "")
    return counts + (f" ({found['others']} idle)" if found["others"] else "") + ("" if found["bitwise"] else " ≈")


def page(check: bool) -> bool:
    """Whether the page was up to date. A stale page is rewritten unless ``check``."""
    return rewrite(PAGE, BEGIN, END, rows(), check=check)


def versions() -> dict[str, str]:
    names = ["torch", *(name for name in LIBRARIES if name in zoo())]
    return {name: getattr(importlib.import_module(name), "__version__", metadata.version(name)) for name in names}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks", nargs="+", default=[], help="measure only these; the results of the others are kept"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.page:
        return int(not page(options.check) and options.check)
    warnings.simplefilter("ignore")
    content = json.loads(options.out.read_text()) if options.networks and options.out.exists() else {"networks": {}}
    content["versions"] = versions()
    wrong = 0
    for library, kinds in zoo().items():
        for name, make in kinds.items():
            if options.networks and name not in options.networks:
                continue
            found = measure(make)
            content["networks"].setdefault(library, {})[name] = found
            outcomes = "  ".join(f"{rule} {each['outcome']}" for rule, each in found.items())
            print(f"{library:16} {name:34} {outcomes}", flush=True)
            wrong += sum(each["outcome"] in ("wrong", "fails") for each in found.values())
            options.out.write_text(json.dumps(content, indent=1) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
