"""Claims about table 2: the problems on which a linear SG reaches the global optimum."""

import math
from functools import partial

from replications.judging.claims import ANY_DATA, Claim, NotRunError
from replications.judging.measured import Measure, Runs, defined

PAPER = {
    ("linear2", "shallow"): 0.03842,
    ("linear100", "shallow"): 0.08554,
    ("noisy2", "shallow"): 0.00036,
    ("noisy100", "shallow"): 0.00442,
    ("random2", "shallow"): 0.0,
    ("random100", "shallow"): 0.00003,
    ("noisy2", "deep"): 0.0,
    ("noisy100", "deep"): 0.00293,
    ("random2", "deep"): 0.0,
    ("random100", "deep"): 0.00004,
}
"""Log loss above the global optimum."""
ROUNDING = -1e-6
"""A loss may be below the global optimum by this much, because of rounding."""
BOUNDS: dict[tuple[str, str], tuple[float, float]] = {
    ("linear2", "shallow"): (0.005, 0.2),
    ("linear100", "shallow"): (0.05, 0.13),
    ("noisy2", "shallow"): (ROUNDING, 0.001),
    ("noisy100", "shallow"): (0.001, 0.01),
    ("random2", "shallow"): (ROUNDING, 0.001),
    ("random100", "shallow"): (ROUNDING, 0.001),
    ("noisy2", "deep"): (ROUNDING, 0.001),
    ("noisy100", "deep"): (0.0005, 0.01),
    ("random2", "deep"): (ROUNDING, 0.001),
    ("random100", "deep"): (ROUNDING, 0.001),
}


def _excess(dataset: str, model: str) -> Measure:
    name = "deep-log-swept/sg" if model == "deep" else "shallow-log/sg"
    return lambda runs: runs[dataset][name]


def _squared(model: str) -> Measure:
    name = f"{model}-mse/sg"

    def worst(runs: Runs) -> float:
        found = [metrics[name] for metrics in runs.values() if name in metrics]
        if not found:
            raise NotRunError(name)
        return max(defined(found))

    return worst


table2 = partial(
    Claim,
    experiment="table2",
    source="table 2; evidence: table2-paper",
    judged_from="full",
    datasets=ANY_DATA,
    possible=(ROUNDING, math.inf),
)
# fmt: off
TABLE2 = (
    *(
        table2(f"table2-{model}-mse", f"{model}, MSE: loss above the global optimum, worst data set", _squared(model),
            expected=at_most, tolerance=(ROUNDING, 1e-3))
        for model, at_most in (("shallow", "0.00004"), ("deep", "0.00001"))
    ),
    *(
        table2(f"table2-{model}-log-{dataset}",
            f"{dataset}, {model}, log loss: above the global optimum"
            + (", mean of the last fifth of the steps over 3 starts and 3 rates" if model == "deep" else ""),
            _excess(dataset, model), expected=f"{value:.5f}", tolerance=BOUNDS[dataset, model])
        for (dataset, model), value in PAPER.items()
    ),
    table2("table2-linear2-ratio", "linear2, shallow, log loss: SG's excess over that of backprop after as many steps",
        lambda runs: runs["linear2"]["shallow-log/sg"] / runs["linear2"]["shallow-log/bp"],
        expected="control: the excess is SG's, not that of a training cut short", tolerance=(3, 1e4),
        source="ours; evidence: table2-pilot"),
    table2("table2-linear100-backprop", "linear100, shallow, log loss: backprop after as many steps",
        lambda runs: runs["linear100"]["shallow-log/bp"], expected="control, not in the paper", source="ours"),
)
