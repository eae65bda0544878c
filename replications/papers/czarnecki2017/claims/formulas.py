"""Claims about table 1, appendix A, theorem 1, proposition 2 and corollary 1, which have proofs."""

from functools import partial

from replications.judging.claims import ANY_DATA, Claim
from replications.judging.measured import Measure, defined, needed

RULES = (("sg", "SG"), ("sgprop", "SG+prop"), ("bp", "Bprop"), ("dfa", "DFA"), ("fa", "FA"), ("kickback", "Kickback"))


def _largest(run: str, *names: str) -> Measure:
    return lambda runs: max(defined([runs[run][name] for name in names]))


exact = partial(Claim, over_seeds="every", judged_from="smoke", datasets=ANY_DATA)
table1 = partial(exact, experiment="table1", source="table 1; evidence: exact")
fig6 = partial(exact, experiment="fig6", source="figure 6, appendix A; evidence: figure-6", seeds=1)
thm1 = partial(exact, experiment="thm1", source="theorem 1; evidence: exact")
prop2 = partial(exact, experiment="prop2", source="proposition 2, corollary 1; evidence: tracking")
step_time = partial(Claim, experiment="step-time", source="ours, median of process time", datasets=ANY_DATA, seeds=1)
# fmt: off
FORMULAS = (
    *(
        table1(f"table1-{rule}",
            f"{name}: signal at h by the column of table 1, largest difference to the library's rule",
            needed("table1", f"difference/{rule}"), expected="the column of table 1", tolerance=(0, 1e-10))
        for rule, name in RULES
    ),
    table1("table1-flags",
        "cells of the rows 'SG trains', 'update locked', 'backward locked', 'direct error' that differ from the paper",
        needed("table1", "wrong_flags"), expected="no or yes in 24 cells; SG+prop's yes* counts as yes", tolerance=(0, 0)),
    table1("table1-kickback-softmax", "Kickback under softmax and cross-entropy: largest signal",
        needed("table1", "kickback_softmax"), expected="not in the paper: exactly zero, since the errors sum to zero"),
    fig6("fig6-stays", "SG system from (1, 0), (1, 0.5), (0.3, 0): largest distance it ever moves",
        _largest("fig6", "moved/0", "moved/1", "moved/2"),
        expected='"solutions ... are clearly not critical points of the original system"', tolerance=(0, 1e-9)),
    fig6("fig6-bp", "backprop from the same starts: largest final loss (6, 6 and 1.8 at the start)",
        _largest("fig6", "bp_loss/0", "bp_loss/1", "bp_loss/2"),
        expected='"a unique minimum ... standard gradient based methods will converge"', tolerance=(0, 0.05)),
    fig6("fig6-fourth", "SG system from (1, 2.5), where the loss is 10: final loss, at another spurious point",
        needed("fig6", "sg_loss/3"), expected="not in the paper: the whole cone |b| < |a| is spurious",
        tolerance=(0.1, 9.9)),
    fig6("fig6-fourth-moves", "the same: largest |SG| on the way (0.74 after the six steps that b takes from 2.5 to 2)",
        needed("fig6", "sg_largest/3"), expected="not in the paper: a module that never learns stays at 0",
        tolerance=(0.5, 1)),
    fig6("fig6-fourth-critical", "the same: final |SG|, largest of the last tenth", needed("fig6", "sg_signal/3"),
        expected="0 at a critical point", tolerance=(0, 0.02)),
    thm1("thm1-weights", "distance of the weights from least squares", needed("thm1", "distance"),
        expected='"converges to the global solution"', tolerance=(0, 1e-8)),
    thm1("thm1-error", "norm of the SG module's error", needed("thm1", "sg_error"),
        expected='"converge to the real gradient"', tolerance=(0, 1e-8)),
    thm1("thm1-control", "SG module that does not learn: distance of the weights from least squares",
        needed("thm1", "distance_untrained"), expected="control, not in the paper: SG begins at zero, so nothing moves",
        tolerance=(0.1, 1e3)),
    prop2("prop2-gap", "deep linear, main step only while SG tracks the gradient: loss above the global optimum",
        needed("prop2", "gap"), expected='"converges to the critical point of the original problem"',
        tolerance=(-1e-9, 1e-4)),
    prop2("prop2-cosine", "the same: smallest cosine of an applied step to the true gradient",
        needed("prop2", "least_cosine"), expected='"uniformly bounded away from zero" (0.943 for a noise of 1/3)',
        tolerance=(0.94, 1.0000001)),
    prop2("prop2-share", "the same: share of iterations in which the main model moved", needed("prop2", "applied"),
        expected="not in the paper: both must happen, waiting and moving", tolerance=(0.01, 0.999)),
    *(
        step_time(f"step-time-{rule}", f"{name} at 50 hidden layers: time per step over that of plain PyTorch backprop",
            needed("step-time", f"ratio/{rule}"))
        for rule, name in (("sg-mid", "one SG"), ("sg-all", "an SG after every layer"), ("dfa", "DFA"))
    ),
)
