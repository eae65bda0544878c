"""Claims about task 1: figures 1d, 1e and 4, and the comparison of pseudobackpropagation with backpropagation."""

import math

from replications.judging.claims import Claim
from replications.judging.measured import Measure, Runs, difference, of
from replications.judging.statistics import spearman
from replications.papers.lillicrap2014.settings import OMEGAS

ANY_DATA = ("mnist", "digits", "digits (stand-in)")  # none of these claims is about data
READ_OFF = "figure 1d, read off; evidence: fig1d-read-off"
TEXT_1E = "text on figure 1e; evidence: fig1e"
FIG4 = "figure 4; evidence: fig4"


def omega(value: float) -> str:
    """The run of figure 4 with this size of the initial weights."""
    return f"omega-{value:g}"


def ahead(at: str, faster: str, slower: str) -> Measure:
    """1 if the error of one run is below that of another, else 0."""
    return lambda runs: float(of(faster, at)(runs) < of(slower, at)(runs))


def least_gap(runs: Runs) -> float:
    """How far pseudobackpropagation is closer than backpropagation, at the worst omega up to 0.2."""
    gaps = [of(omega(w), "bp_angle_2000")(runs) - of(omega(w), "pbp_angle_2000")(runs) for w in OMEGAS if w <= 0.2]
    return math.nan if any(map(math.isnan, gaps)) else min(gaps)


def rank_correlation(quantity: str) -> Measure:
    """Spearman's between omega, from 0.05 on, and an angle."""
    chosen = [w for w in OMEGAS if w >= 0.05]

    return lambda runs: spearman([of(omega(w), quantity)(runs) for w in chosen])


def largest_when_learnt(runs: Runs) -> float:
    """The angle to pseudobackpropagation once the error is below 1e-10, at the worst omega up to 0.01."""
    angles = [of(omega(w), "pbp_angle_learnt")(runs) for w in OMEGAS if w <= 0.01]
    return math.nan if any(map(math.isnan, angles)) else max(angles)


FIG1D = (
    Claim(
        "linear-fa",
        "fig1d",
        "feedback alignment: log10 of the error after 2000 examples",
        "-11.7",
        (-14, -8),
        READ_OFF,
        of("linear-fa", "log10_nse"),
        datasets=ANY_DATA,
    ),
    Claim(
        "linear-bp",
        "fig1d",
        "backpropagation: the same",
        "-11",
        (-14, -8),
        READ_OFF,
        of("linear-bp", "log10_nse"),
        datasets=ANY_DATA,
    ),
    Claim(
        "linear-fa-ahead",
        "fig1d",
        "fraction of seeds in which feedback alignment is ahead of backpropagation after 500 examples",
        "2.5e-4 against 3e-3",
        (0.9, 1),
        READ_OFF,
        ahead("nse_500", "linear-fa", "linear-bp"),
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "linear-shallow",
        "fig1d",
        "only W learns: error after 2000 examples",
        "0.5; a random projection to 20 of 30 dimensions leaves 1/3",
        (0.2, 0.7),
        READ_OFF,
        of("linear-shallow", "nse"),
        datasets=ANY_DATA,
    ),
    Claim(
        "linear-node-perturbation",
        "fig1d",
        "node perturbation: log10 of the error after 2000 examples",
        "-2.3",
        (-6, -0.7),
        READ_OFF,
        of("linear-node-perturbation", "log10_nse"),
        datasets=ANY_DATA,
    ),
)

FIG1E = (
    Claim(
        "linear-angle-first",
        "fig1e",
        "angle of B e to W^T e, first 3 examples (degrees)",
        '"about 90"',
        None,
        "text on figure 1e; not judged, since untrained networks have about 90 as well",
        of("linear-fa", "angle_first"),
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "linear-angle-last",
        "fig1e",
        "the same, last 100 examples",
        '"they soon shrink"',
        (10, 40),
        TEXT_1E,
        of("linear-fa", "angle_last"),
        datasets=ANY_DATA,
    ),
    Claim(
        "linear-angle-below-90",
        "fig1e",
        "the same, largest mean over 10 examples after 300 of them",
        "below 90",
        (5, 90),
        TEXT_1E,
        of("linear-fa", "angle_largest"),
        over_seeds="every",
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "linear-angle-bp-control",
        "fig1e",
        "control: the same angle in networks trained by backpropagation, last 100 examples",
        "90 is chance",
        (80, 100),
        "ours; evidence: fig1e",
        of("linear-bp", "angle_last"),
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "linear-angle-shallow-control",
        "fig1e",
        "control: the same where only W learns",
        "90 is chance",
        (80, 100),
        "ours; evidence: fig1e",
        of("linear-shallow", "angle_last"),
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
)

FIG4_CLAIMS = (
    Claim(
        "omega-gap",
        "fig4",
        "after 2000 examples, angle to backpropagation above that to pseudobackpropagation, worst omega up to 0.2 (degrees)",
        '"quickly becomes smaller"',
        (5, 60),
        FIG4,
        least_gap,
        datasets=ANY_DATA,
    ),
    Claim(
        "omega-bp-monotone",
        "fig4",
        "rank correlation of omega, from 0.05 on, and the angle to backpropagation after 2000 examples",
        "larger weights align less",
        (0.9, 1),
        FIG4,
        rank_correlation("bp_angle_2000"),
        datasets=ANY_DATA,
    ),
    Claim(
        "omega-pbp-monotone",
        "fig4",
        "the same of the angle to pseudobackpropagation",
        "larger weights align less",
        (0.9, 1),
        FIG4,
        rank_correlation("pbp_angle_2000"),
        datasets=ANY_DATA,
    ),
    Claim(
        "omega-pbp-learnt",
        "fig4",
        "angle to pseudobackpropagation when the error falls below 1e-10, worst omega up to 0.01 (degrees)",
        "falls towards 0",
        (0.01, 10),
        FIG4,
        largest_when_learnt,
        datasets=ANY_DATA,
    ),
)

PBP = (
    Claim(
        "gauss-newton",
        "pbp",
        "relative distance of W^+ e from the Gauss-Newton step",
        "0",
        (0, 1e-10),
        "proof 2; evidence: rounding",
        of("matched-pbp", "gauss_newton_distance"),
        over_seeds="every",
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "gauss-newton-control",
        "pbp",
        "control: angle of W^T e to the Gauss-Newton step (degrees)",
        "not 0",
        (5, 90),
        "ours; evidence: not-zero",
        of("matched-pbp", "bp_gauss_newton_angle"),
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "pbp-faster",
        "pbp",
        "examples to an error of 1e-6, backpropagation minus pseudobackpropagation with steps of the same length",
        '"second order updates"',
        (1, 3000),
        "proof 2; evidence: faster",
        difference("learnt_at", "matched-bp", "matched-pbp"),
        over_seeds="every",
        datasets=ANY_DATA,
    ),
)
CLAIMS = (*FIG1D, *FIG1E, *FIG4_CLAIMS, *PBP)
