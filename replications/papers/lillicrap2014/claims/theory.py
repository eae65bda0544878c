"""Claims about figure 3 and theorems 1 and 2: all have closed forms or exact statements behind them."""

import math

from replications.judging.claims import Claim
from replications.judging.measured import Runs, of
from replications.papers.lillicrap2014.claims.linear import ANY_DATA

END = 2 ** (1 / 3)


def above_best(runs: Runs) -> float:
    """The error over the least that a product W A of 8 hidden units can have."""
    return of("mean-flow-narrow", "error")(runs) / of("mean-flow-narrow", "least_error_of_rank")(runs)


FIG3 = tuple(
    Claim(
        name,
        "fig3",
        statement,
        expected,
        tolerance,
        source,
        of("flow", quantity),
        judged_from="smoke",
        datasets=ANY_DATA,
        seeds=1,
    )
    for name, statement, expected, tolerance, source, quantity in (
        (
            "flow-w",
            "from the origin: W at the end",
            "2^(-1/3) = 0.7937 (closed form)",
            (1 / END - 1e-3, 1 / END + 1e-3),
            "figure 3; evidence: closed-form",
            "w",
        ),
        (
            "flow-w0",
            "from the origin: W0 at the end",
            "2^(1/3) = 1.2599 (closed form)",
            (END - 1e-3, END + 1e-3),
            "figure 3; evidence: closed-form",
            "w0",
        ),
        (
            "flow-bad-start",
            "from W0 = -1, W = -1.5: W at the end",
            "below 0",
            (-5, -1e-6),
            "figure 3; evidence: closed-form",
            "w_bad_start",
        ),
        (
            "flow-bad-fraction",
            "fraction of the square [-2, 2]^2 that flows to the branch W < 0",
            "a small region",
            (0.08, 0.18),
            "figure 3; evidence: fig3",
            "bad_fraction",
        ),
        (
            "flow-invariant",
            "largest drift of W - W0^2 / 2",
            "0",
            (0, 1e-3),
            "ours; evidence: closed-form",
            "invariant_drift",
        ),
    )
)

THM1 = (
    Claim(
        "thm1-error",
        "thm1",
        "log10 of the norm of E at the end over that before",
        "E goes to 0",
        (-18, -10),
        "theorem 1; evidence: thm1",
        of("mean-flow", "log10_error_ratio"),
        over_seeds="every",
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "thm1-lyapunov",
        "thm1",
        "largest rise of V = tr(B E E^T B^T) in a step, over V before",
        "never rises",
        None,
        "theorem 1; not judged, since it does not rise where nothing moves, or where E stays",
        of("mean-flow", "lyapunov_rise"),
        over_seeds="every",
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "thm1-invariant",
        "thm1",
        "largest entry of B W + W^T B^T - A A^T",
        "0",
        None,
        "theorem 1; not judged, since it is 0 where nothing moves",
        of("mean-flow", "invariant_drift"),
        over_seeds="every",
        datasets=ANY_DATA,
    ),
    Claim(
        "thm1-repeated-column",
        "thm1",
        "control, two columns of B equal: norm of E at the end",
        "does not go to 0",
        (1, 5),
        "evidence: thm1",
        of("mean-flow-repeated-column", "error"),
        over_seeds="every",
        datasets=ANY_DATA,
    ),
    Claim(
        "thm1-narrow",
        "thm1",
        "control, 8 hidden and 10 output units: norm of E at the end over the least possible for W A of rank 8",
        "above 1",
        (1.001, 3),
        "evidence: thm1",
        above_best,
        over_seeds="every",
        datasets=ANY_DATA,
    ),
)

THM2 = (
    Claim(
        "thm2-angle",
        "thm2",
        "largest angle of B e to W^+ e (degrees)",
        "0",
        (0, 1e-4),
        "theorem 2; evidence: rounding",
        of("single-pair", "largest_pbp_angle"),
        over_seeds="every",
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "thm2-control",
        "thm2",
        "control, W and A not 0 at the start: the same",
        "not 0",
        (5, 180),
        "ours; evidence: not-zero",
        of("single-pair-not-from-0", "largest_pbp_angle"),
        over_seeds="every",
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "thm2-constant",
        "thm2",
        "constant s of (y (B y)^T)^+ y = s B y, times the square of the norm of B y",
        "1, by our derivation",
        (1 - 1e-6, 1 + 1e-6),
        "ours; evidence: erratum",
        of("single-pair", "constant_over_ours"),
        over_seeds="every",
        datasets=ANY_DATA,
        judged_from="smoke",
    ),
    Claim(
        "thm2-printed-constant",
        "thm2",
        "the same divided by that square, which the paper prints (log10)",
        "0, as printed",
        None,
        "proof 3",
        lambda runs: math.log10(of("single-pair", "constant_over_papers")(runs)),
        datasets=ANY_DATA,
    ),
)
CLAIMS = (*FIG3, *THM1, *THM2)
