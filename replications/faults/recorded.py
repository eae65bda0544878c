"""Faults that are planted in recorded numbers. Nothing is trained."""

import re
from collections.abc import Mapping, Sequence

from replications.faults.planted import Pairs
from replications.judging.claims import Claim, Metrics, judge, measured

Runs = Mapping[str, Metrics]


def replaced(runs: Runs, pairs: Pairs) -> dict[str, dict[str, float]]:
    """The runs, where the left of each pair has the numbers of the right. Pairs that the runs lack are ignored."""
    changed = {name: dict(metrics) for name, metrics in runs.items()}
    for (run, key), (other, other_key) in matches(runs, pairs):
        if key is None:
            changed[run] = dict(runs[other])
        else:
            changed[run][key] = runs[other][other_key or key]
    return changed


def exchanged(runs: Runs, pairs: Pairs) -> dict[str, dict[str, float]]:
    """The runs, where the two of each pair have exchanged numbers."""
    return replaced(runs, [*pairs, *((right, left) for left, right in pairs)])


def matches(runs: Runs, pairs: Pairs) -> list[tuple[tuple[str, str | None], tuple[str, str | None]]]:
    """The ((run, number), (partner, number)) that match the patterns and exist in `runs`; None for number means the whole run."""
    found = []
    for left, right in pairs:
        run_pattern, _, key = left.partition(":")
        other_pattern, _, other_key = right.partition(":")
        for name in runs:
            match = re.fullmatch(re.escape(run_pattern).replace(r"\*", "(.*)"), name)
            other = other_pattern.replace("*", match.group(1)) if match and match.groups() else other_pattern
            if match and other in runs and other != name and not key:
                found.append(((name, None), (other, None)))
            elif match and other in runs and key and key in runs[name] and other_key in runs[other]:
                found.append(((name, key), (other, other_key)))
    return found


def caught(claim: Claim, honest: Sequence[Runs], faulty: Sequence[Runs]) -> bool | None:
    """Whether the claim is not reproduced under the fault; None if the fault does not change the claim's values."""
    values = [[measured(claim, runs) for runs in seeds[: claim.seeds]] for seeds in (honest, faulty)]
    if repr(values[0]) == repr(values[1]) or all(value is None for value in values[1]):
        return None
    return not reproduced(claim, faulty)


def reproduced(claim: Claim, seeds: Sequence[Runs]) -> bool:
    """Whether the claim is reproduced if these runs count as runs of preset full on the claim's own data."""
    return judge(claim, seeds[: claim.seeds], "full", claim.datasets[0])["verdict"] == "reproduced"
