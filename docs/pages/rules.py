"""docs/rules/<name>.md, one page per rule, from the rule's docstring and from facts that its code shows."""

from __future__ import annotations

import inspect
import sys

import lightning_fa as fa
from docs.pages import facts
from docs.pages.prose import listed, parts
from docs.pages.when import WHEN
from replications.reporting.prose import table

FAMILIES: dict[tuple[type[fa.Rule], str], tuple[str, str]] = {
    (fa.TransportRule, "the layer above"): (
        "transport",
        "the error travels layer by layer, through another matrix than the transpose of W",
    ),
    (fa.DirectRule, "the output"): ("direct", "every block receives its error straight from the network's output"),
    (fa.DirectRule, "the block below"): ("direct", "the error enters at the first block and travels forward"),
    (fa.DirectRule, "nothing"): ("direct", "nothing below the head receives an error"),
    (fa.LocalRule, "nothing"): ("local", "every block descends a loss of its own, and no error travels between blocks"),
    (fa.LocalRule, "the head"): ("local", "every block descends a loss of its own, by a copy of the head's weight"),
    (fa.SyntheticRule, "the block above"): ("synthetic", "every block receives a prediction of its error"),
}


def family(rule: type[fa.Rule]) -> tuple[str, str]:
    return next(words for (base, hears), words in FAMILIES.items() if issubclass(rule, base) and rule.hears == hears)


def pages() -> dict[str, str]:
    """{path below docs/: text}."""
    return {f"rules/{name}.md": _page(name, rule) for name, rule in fa.RULES.items()} | {
        "rules/bidirectional.md": _page_of_pair(),
        "rules/index.md": _index(),
    }


def _page(name: str, rule: type[fa.Rule]) -> str:
    found = parts(inspect.getdoc(rule) or "")
    rest = [_when(name), _needs(name), _measured(name), _code(name, rule), _settings(found), _where(name, rule, found)]
    return "\n\n".join([f"# `{name}`: {rule.__name__}", _head(rule), found[""], *rest]) + "\n"


def _page_of_pair() -> str:
    name, rule = "bidirectional", fa.PAIR_RULES["bidirectional"]
    found = parts(inspect.getdoc(rule) or "")
    code = (
        "## Code\n\n```python\nimport lightning_fa as fa\n\nattached = fa.attach_pair(forward_net, reverse_net, coupled="
        '"both")\n# both losses, both backward passes, then both optimizers\' steps\n```'
    )
    return (
        "\n\n".join(
            [
                *(f"# `{name}`: {rule.__name__}", _head(rule), found[""], _when(name)),
                *(code, _settings(found), _where(name, rule, found)),
            ]
        )
        + "\n"
    )


def _head(rule: type[fa.Rule]) -> str:
    kind, meaning = family(rule)
    return f"Family **{kind}**: {meaning}."


def _when(name: str) -> str:
    works, fails = WHEN.get(name, ("Not written yet.", "Not written yet."))
    return f"## When\n\n- **It works.** {works}\n- **It does not.** {fails}"


def _needs(name: str) -> str:
    needs = facts.needs(name)
    targets = "yes: `attached.targets = y`, in Lightning `batch[1]` or a usual key" if needs.targets else "no"
    loss = "yes: `attached.loss(loss).backward()`, in Lightning called by the strategy or mixin" if needs.loss else "no"
    learned = (
        "after the rule is attached, because the optimizer must hold the feedback" if needs.learned else "any time"
    )
    example = (
        "yes, if a block's width is not known, as after a convolution: `example=`, in Lightning `example_input_array`"
        if needs.example
        else "no. With an example, all feedback is drawn and all blocks are checked before training"
    )
    trains = ", ".join(f"`{layer}`" for layer, works in needs.layers.items() if works)
    refused = ", ".join(f"`{layer}`" for layer, works in needs.layers.items() if not works)
    sizes = (
        "of one size during training, with the default settings"
        if needs.one_size
        else "of any size, which may change during training"
    )
    shards = "the network as one unit" if needs.one_unit else "layer by layer, or the network as one unit"
    rows = [
        ("targets", targets),
        ("`attached.loss`", loss),
        ("optimizer made", learned),
        ("example input", example),
        ("trains small networks of", trains),
        *([("refuses", refused)] if refused else []),
        ("images", sizes),
        ("FSDP shards", f"{shards} ([several machines](../multi_node.md))"),
    ]
    return f"## What it needs\n\n{table(('', ''), rows)}"


def _measured(name: str) -> str:
    lines = ["## What was measured", ""]
    learning = facts.accuracy(name)
    if learning:
        best, shallow = facts.accuracy("bp"), facts.accuracy("shallow")
        assert best
        assert shallow
        lines += [
            f"- Test accuracy on MNIST, 784-256-256-256-10 tanh, two epochs: **{learning[0]}** (`bp` {best[0]}, `shallow` "
            f"{shallow[0]}). ± is one standard deviation over {facts.seeds()} seeds. The learning rate is tuned in the same way "
            "for every rule (`benchmarks/learning.py`).",
            f"- Angle between the gradients of the rule and of backpropagation in that network, by hidden layer from the input: "
            f"{learning[1]}. 90° is chance.",
        ]
    for net, time, flops in facts.cost(name):
        lines.append(
            f"- A step of {net} takes {time:.2f} of the time and {flops:.2f} of the operations of backpropagation (batch 128, "
            "two CPU cores, `benchmarks/speed.py`)."
        )
    saved = facts.memory(name)
    if saved:
        lines.append(
            f"- Between the forward and the backward pass, 50 layers hold {saved:.2f} of the bytes that they hold under "
            "backpropagation (batch 1024, `benchmarks/memory.py`)."
        )
    lines.append("- The [leaderboard](../leaderboard.md) compares the rule with backpropagation on other tasks.")
    return "\n".join(lines)


def _code(name: str, rule: type[fa.Rule]) -> str:
    needs = facts.needs(name)
    plain = ["import lightning_fa as fa", "", f'attached = fa.attach(model, "{name}"{", example=x" * needs.example})']
    if needs.learned:
        plain.append("optimizer = torch.optim.AdamW(model.parameters())  # after `attach`")
    if needs.targets:
        plain.append("attached.targets = y")
    loss = "attached.loss(criterion(model(x), y))" if needs.loss else "criterion(model(x), y)"
    plain.append(f"{loss}.backward()")
    return "\n".join(
        [
            "## Code",
            "",
            "With the Trainer, any LightningModule:",
            "",
            "```python",
            "import lightning_fa as fa",
            "from lightning.pytorch import Trainer",
            "",
            f'Trainer(strategy="{name}")  # or "{name}_ddp", "{name}_fsdp", "{name}_fsdp2"',
            f"Trainer(strategy=fa.FeedbackStrategy(fa.{rule.__name__}()))  # with settings",
            "```",
            "",
            "A module that names its own rule, under any stock strategy:",
            "",
            "```python",
            "class Net(fa.FeedbackMixin, LightningModule):  # the mixin first",
            f'    rule = "{name}"',
            "```",
            "",
            "Plain PyTorch:",
            "",
            "```python",
            *plain,
            "```",
        ]
    )


def _settings(found: dict[str, str]) -> str:
    return f"## Settings\n\n{listed(found['Args'])}" if "Args" in found else "## Settings\n\nNone."


def _where(name: str, rule: type[fa.Rule], found: dict[str, str]) -> str:
    lines = ["## Source", ""]
    if "References" in found:
        lines += [" ".join(found["References"].split()), ""]
    module = (rule.__module__ or "").replace(".", "/")
    lines.append(f"Code: [`{module}.py`](../../{module}.py).")
    papers = facts.replicated(name)
    if papers:
        lines.append(f"Replicated here: {', '.join(f'[{paper}](../papers/{paper}.md)' for paper in papers)}.")
    return "\n".join(lines)


def _index() -> str:
    head = ["rule", "family", "what it does", "targets", "`attached.loss`", "feedback learns"]
    rows = []
    for name, rule in fa.RULES.items():
        what = (sys.modules[rule.__module__].__doc__ or "").strip().splitlines()[0]
        what = (what.partition(": ")[2] or what).rstrip(".")
        needs = facts.needs(name)
        marks = ("yes" if needed else "" for needed in (needs.targets, needs.loss, needs.learned))
        rows.append([f"[`{name}`]({name}.md)", family(rule)[0], what, *marks])
    what = "two networks are each other's feedback"
    rows.append(["[`bidirectional`](bidirectional.md)", "transport", what, "", "", ""])
    text = [
        "# The rules",
        "![Where the error travels under each family of rules](../assets/families.svg)",
        "In Lightning the strategy and the mixin provide the targets and call `attached.loss`. Plain PyTorch code must do both. "
        "If feedback learns, make the optimizer after the rule is attached, as `configure_optimizers` does.",
        table(head, rows),
        "The [README](../../README.md#rules) has the accuracy of each rule on one small network. The "
        "[leaderboard](../leaderboard.md) has other tasks, and says why some published rules are not here (PEPITA, "
        "Forward-Forward).",
    ]
    return "\n\n".join(text) + "\n"
