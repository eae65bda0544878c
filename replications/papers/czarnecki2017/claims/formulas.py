"""Table 1, appendix A, theorem 1, proposition 2 with corollary 1: statements that have a proof."""

from replications.judging.claims import Claim
from replications.papers.czarnecki2017.claims.common import ANY_DATA, Measure, defined
from replications.papers.czarnecki2017.plan import NOT_RANDOM

RULES = (("sg", "SG"), ("sgprop", "SG+prop"), ("bp", "Bprop"), ("dfa", "DFA"), ("fa", "FA"), ("kickback", "Kickback"))


SOURCES = {
    "table1": "table 1; evidence: exact",
    "fig6": "figure 6, appendix A; evidence: figure-6",
    "thm1": "theorem 1; evidence: exact",
    "prop2": "proposition 2, corollary 1; evidence: tracking",
}


def _of(run: str, name: str) -> Measure:
    return lambda runs: runs[run][name]


def _largest(run: str, *names: str) -> Measure:
    return lambda runs: max(defined([runs[run][name] for name in names]))


def _exact(
    name: str, experiment: str, statement: str, expected: str, bound: tuple[float, float] | None, measure: Measure
) -> Claim:
    return Claim(
        name,
        experiment,
        statement,
        expected,
        bound,
        SOURCES[experiment],
        measure,
        over_seeds="every",
        judged_from="smoke",
        datasets=ANY_DATA,
        seeds=1 if experiment in NOT_RANDOM else None,
    )


FORMULAS = (
    *(
        _exact(
            f"table1-{rule}",
            "table1",
            f"{name}: signal at h by the column of table 1, largest difference to the library's rule",
            "the column of table 1",
            (0, 1e-10),
            _of("table1", f"difference/{rule}"),
        )
        for rule, name in RULES
    ),
    _exact(
        "table1-flags",
        "table1",
        "cells of the rows 'SG trains', 'update locked', 'backward locked', 'direct error' that differ from the paper",
        "no or yes in 24 cells; SG+prop's yes* counts as yes",
        (0, 0),
        _of("table1", "wrong_flags"),
    ),
    _exact(
        "table1-kickback-softmax",
        "table1",
        "Kickback under softmax and cross-entropy: largest signal",
        "not in the paper: exactly zero, since the errors sum to zero",
        None,
        _of("table1", "kickback_softmax"),
    ),
    _exact(
        "fig6-stays",
        "fig6",
        "SG system from (1, 0), (1, 0.5), (0.3, 0): largest distance it ever moves",
        '"solutions ... are clearly not critical points of the original system"',
        (0, 1e-9),
        _largest("fig6", "moved/0", "moved/1", "moved/2"),
    ),
    _exact(
        "fig6-bp",
        "fig6",
        "backprop from the same starts: largest final loss (6, 6 and 1.8 at the start)",
        '"a unique minimum ... standard gradient based methods will converge"',
        (0, 0.05),
        _largest("fig6", "bp_loss/0", "bp_loss/1", "bp_loss/2"),
    ),
    _exact(
        "fig6-fourth",
        "fig6",
        "SG system from (1, 2.5), where the loss is 10: final loss, at another spurious point",
        "not in the paper: the whole cone |b| < |a| is spurious",
        (0.1, 9.9),
        _of("fig6", "sg_loss/3"),
    ),
    _exact(
        "fig6-fourth-moves",
        "fig6",
        "the same: largest |SG| on the way (0.74 after the six steps that b takes from 2.5 to 2)",
        "not in the paper: a module that never learns stays at 0",
        (0.5, 1),
        _of("fig6", "sg_largest/3"),
    ),
    _exact(
        "fig6-fourth-critical",
        "fig6",
        "the same: final |SG|, largest of the last tenth",
        "0 at a critical point",
        (0, 0.02),
        _of("fig6", "sg_signal/3"),
    ),
    _exact(
        "thm1-weights",
        "thm1",
        "distance of the weights from least squares",
        '"converges to the global solution"',
        (0, 1e-8),
        _of("thm1", "distance"),
    ),
    _exact(
        "thm1-error",
        "thm1",
        "norm of the SG module's error",
        '"converge to the real gradient"',
        (0, 1e-8),
        _of("thm1", "sg_error"),
    ),
    _exact(
        "thm1-control",
        "thm1",
        "SG module that does not learn: distance of the weights from least squares",
        "control, not in the paper: SG begins at zero, so nothing moves",
        (0.1, 1e3),
        _of("thm1", "distance_untrained"),
    ),
    _exact(
        "prop2-gap",
        "prop2",
        "deep linear, main step only while SG tracks the gradient: loss above the global optimum",
        '"converges to the critical point of the original problem"',
        (-1e-9, 1e-4),
        _of("prop2", "gap"),
    ),
    _exact(
        "prop2-cosine",
        "prop2",
        "the same: smallest cosine of an applied step to the true gradient",
        '"uniformly bounded away from zero" (0.943 for a noise of 1/3)',
        (0.94, 1.0000001),
        _of("prop2", "least_cosine"),
    ),
    _exact(
        "prop2-share",
        "prop2",
        "the same: share of iterations in which the main model moved",
        "not in the paper: both must happen, waiting and moving",
        (0.01, 0.999),
        _of("prop2", "applied"),
    ),
    *(
        Claim(
            f"step-time-{rule}",
            "step-time",
            f"{name} at 50 hidden layers: time per step over that of plain PyTorch backprop",
            "not in the paper",
            None,
            "ours, median of process time",
            _of("step-time", f"ratio/{rule}"),
            datasets=ANY_DATA,
            seeds=1,
        )
        for rule, name in (("sg-mid", "one SG"), ("sg-all", "an SG after every layer"), ("dfa", "DFA"))
    ),
)
