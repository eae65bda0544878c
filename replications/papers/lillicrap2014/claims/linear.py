"""Claims about task 1: figures 1d, 1e and 4, and the comparison of pseudobackpropagation with backpropagation."""

import math
from functools import partial

from replications.judging.claims import ANY_DATA, Claim
from replications.judging.measured import Measure, Runs, difference, of
from replications.judging.statistics import spearman
from replications.papers.lillicrap2014.settings import OMEGAS


def omega(value: float) -> str:
    """The run of figure 4 with this size of the initial weights."""
    return f"omega-{value:g}"


def ahead(at: str, faster: str, slower: str) -> Measure:
    """1 if the error of one run is below that of another, else 0."""
    return lambda runs: float(of(faster, at)(runs) < of(slower, at)(runs))


def least_gap(runs: Runs) -> float:
    """The angle to backpropagation minus the angle to pseudobackpropagation (degrees), the least over omega up to 0.2."""
    gaps = [of(omega(w), "bp_angle_2000")(runs) - of(omega(w), "pbp_angle_2000")(runs) for w in OMEGAS if w <= 0.2]
    return math.nan if any(map(math.isnan, gaps)) else min(gaps)


def rank_correlation(quantity: str) -> Measure:
    """Spearman's rank correlation between omega, from 0.05 on, and an angle."""
    chosen = [w for w in OMEGAS if w >= 0.05]

    return lambda runs: spearman([of(omega(w), quantity)(runs) for w in chosen])


def largest_when_learnt(runs: Runs) -> float:
    """The angle to pseudobackpropagation when the error falls below 1e-10, the largest over omega up to 0.01."""
    angles = [of(omega(w), "pbp_angle_learnt")(runs) for w in OMEGAS if w <= 0.01]
    return math.nan if any(map(math.isnan, angles)) else max(angles)


fig1d = partial(Claim, experiment="fig1d", source="figure 1d, read off; evidence: fig1d-read-off", datasets=ANY_DATA)
fig1e = partial(Claim, experiment="fig1e", source="text on figure 1e; evidence: fig1e", datasets=ANY_DATA)
fig4 = partial(Claim, experiment="fig4", source="figure 4; evidence: fig4", datasets=ANY_DATA)
pbp = partial(Claim, experiment="pbp", datasets=ANY_DATA, judged_from="smoke")

# fmt: off
FIG1D = (
    fig1d("linear-fa", "feedback alignment: log10 of the error after 2000 examples", of("linear-fa", "log10_nse"),
        expected="-11.7", tolerance=(-14, -8)),
    fig1d("linear-bp", "backpropagation: the same", of("linear-bp", "log10_nse"), expected="-11", tolerance=(-14, -8)),
    fig1d("linear-fa-ahead",
        "fraction of seeds in which feedback alignment is ahead of backpropagation after 500 examples",
        ahead("nse_500", "linear-fa", "linear-bp"), expected="2.5e-4 against 3e-3", tolerance=(0.9, 1),
        judged_from="smoke"),
    fig1d("linear-shallow", "only W learns: error after 2000 examples", of("linear-shallow", "nse"),
        expected="0.5; a random projection to 20 of 30 dimensions leaves 1/3", tolerance=(0.2, 0.7)),
    fig1d("linear-node-perturbation", "node perturbation: log10 of the error after 2000 examples",
        of("linear-node-perturbation", "log10_nse"), expected="-2.3", tolerance=(-6, -0.7)),
)

FIG1E = (
    fig1e("linear-angle-first", "angle of B e to W^T e, first 3 examples (degrees)", of("linear-fa", "angle_first"),
        expected='"about 90"', source="text on figure 1e; not judged, since untrained networks have about 90 as well",
        judged_from="smoke"),
    fig1e("linear-angle-last", "the same, last 100 examples", of("linear-fa", "angle_last"),
        expected='"they soon shrink"', tolerance=(10, 40)),
    fig1e("linear-angle-below-90", "the same, largest mean over 10 examples after 300 of them",
        of("linear-fa", "angle_largest"), expected="below 90", tolerance=(5, 90), over_seeds="every",
        judged_from="smoke"),
    fig1e("linear-angle-bp-control",
        "control: the same angle in networks trained by backpropagation, last 100 examples",
        of("linear-bp", "angle_last"), expected="90 is chance", tolerance=(80, 100), source="ours; evidence: fig1e",
        judged_from="smoke"),
    fig1e("linear-angle-shallow-control", "control: the same where only W learns", of("linear-shallow", "angle_last"),
        expected="90 is chance", tolerance=(80, 100), source="ours; evidence: fig1e", judged_from="smoke"),
)

FIG4_CLAIMS = (
    fig4("omega-gap",
        "after 2000 examples, angle to backpropagation above that to pseudobackpropagation, worst omega up to 0.2 (degrees)",
        least_gap, expected='"quickly becomes smaller"', tolerance=(5, 60)),
    fig4("omega-bp-monotone",
        "rank correlation of omega, from 0.05 on, and the angle to backpropagation after 2000 examples",
        rank_correlation("bp_angle_2000"), expected="larger weights align less", tolerance=(0.9, 1)),
    fig4("omega-pbp-monotone", "the same of the angle to pseudobackpropagation", rank_correlation("pbp_angle_2000"),
        expected="larger weights align less", tolerance=(0.9, 1)),
    fig4("omega-pbp-learnt",
        "angle to pseudobackpropagation when the error falls below 1e-10, worst omega up to 0.01 (degrees)",
        largest_when_learnt, expected="falls towards 0", tolerance=(0.01, 10)),
)

PBP = (
    pbp("gauss-newton", "relative distance of W^+ e from the Gauss-Newton step",
        of("matched-pbp", "gauss_newton_distance"), expected="0", tolerance=(0, 1e-10),
        source="proof 2; evidence: rounding", over_seeds="every"),
    pbp("gauss-newton-control", "control: angle of W^T e to the Gauss-Newton step (degrees)",
        of("matched-pbp", "bp_gauss_newton_angle"), expected="not 0", tolerance=(5, 90),
        source="ours; evidence: not-zero"),
    pbp("pbp-faster",
        "examples to an error of 1e-6, backpropagation minus pseudobackpropagation with steps of the same length",
        difference("learnt_at", "matched-bp", "matched-pbp"), expected='"second order updates"', tolerance=(1, 3000),
        source="proof 2; evidence: faster", over_seeds="every", judged_from="quick"),
)
CLAIMS = (*FIG1D, *FIG1E, *FIG4_CLAIMS, *PBP)
