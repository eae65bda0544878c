"""Claims about figure 3 and theorems 1 and 2, derived from closed forms or exact statements."""

import math
from functools import partial

from replications.judging.claims import ANY_DATA, Claim
from replications.judging.measured import Runs, of

END = 2 ** (1 / 3)


def above_best(runs: Runs) -> float:
    """The error divided by the least error that a product W A with 8 hidden units can have."""
    return of("mean-flow-narrow", "error")(runs) / of("mean-flow-narrow", "least_error_of_rank")(runs)


fig3 = partial(
    Claim,
    experiment="fig3",
    source="figure 3; evidence: closed-form",
    judged_from="smoke",
    datasets=ANY_DATA,
    seeds=1,
)
thm1 = partial(Claim, experiment="thm1", source="evidence: thm1", over_seeds="every", datasets=ANY_DATA)
thm2 = partial(Claim, experiment="thm2", over_seeds="every", judged_from="smoke", datasets=ANY_DATA)

# fmt: off
FIG3 = (
    fig3("flow-w", "from the origin: W at the end", of("flow", "w"), expected="2^(-1/3) = 0.7937 (closed form)",
        tolerance=(1 / END - 1e-3, 1 / END + 1e-3)),
    fig3("flow-w0", "from the origin: W0 at the end", of("flow", "w0"), expected="2^(1/3) = 1.2599 (closed form)",
        tolerance=(END - 1e-3, END + 1e-3)),
    fig3("flow-bad-start", "from W0 = -1, W = -1.5: W at the end", of("flow", "w_bad_start"), expected="below 0",
        tolerance=(-5, -1e-6)),
    fig3("flow-bad-fraction", "fraction of the square [-2, 2]^2 that flows to the branch W < 0",
        of("flow", "bad_fraction"), expected="a small region", tolerance=(0.08, 0.18), source="figure 3; evidence: fig3"),
    fig3("flow-invariant", "largest drift of W - W0^2 / 2", of("flow", "invariant_drift"), expected="0",
        tolerance=(0, 1e-3), source="ours; evidence: closed-form"),
)

THM1 = (
    thm1("thm1-error", "log10 of the norm of E at the end over that before", of("mean-flow", "log10_error_ratio"),
        expected="E goes to 0", tolerance=(-18, -10), source="theorem 1; evidence: thm1", judged_from="smoke"),
    thm1("thm1-lyapunov", "largest rise of V = tr(B E E^T B^T) in a step, over V before",
        of("mean-flow", "lyapunov_rise"), expected="never rises",
        source="theorem 1; not judged, since it does not rise where nothing moves, or where E stays",
        judged_from="smoke"),
    thm1("thm1-invariant", "largest entry of B W + W^T B^T - A A^T", of("mean-flow", "invariant_drift"), expected="0",
        source="theorem 1; not judged, since it is 0 where nothing moves"),
    thm1("thm1-repeated-column", "control, two columns of B equal: norm of E at the end",
        of("mean-flow-repeated-column", "error"), expected="does not go to 0", tolerance=(1, 5)),
    thm1("thm1-narrow",
        "control, 8 hidden and 10 output units: norm of E at the end over the least possible for W A of rank 8",
        above_best, expected="above 1", tolerance=(1.001, 3)),
)

THM2 = (
    thm2("thm2-angle", "largest angle of B e to W^+ e (degrees)", of("single-pair", "largest_pbp_angle"), expected="0",
        tolerance=(0, 1e-4), source="theorem 2; evidence: rounding"),
    thm2("thm2-control", "control, W and A not 0 at the start: the same",
        of("single-pair-not-from-0", "largest_pbp_angle"), expected="not 0", tolerance=(5, 180),
        source="ours; evidence: not-zero"),
    thm2("thm2-constant", "constant s of (y (B y)^T)^+ y = s B y, times the square of the norm of B y",
        of("single-pair", "constant_over_ours"), expected="1, by our derivation", tolerance=(1 - 1e-6, 1 + 1e-6),
        source="ours; evidence: erratum"),
    thm2("thm2-printed-constant", "the same divided by that square, which the paper prints (log10)",
        lambda runs: math.log10(of("single-pair", "constant_over_papers")(runs)), expected="0, as printed",
        source="proof 3", over_seeds="mean", judged_from="quick"),
)
CLAIMS = (*FIG3, *THM1, *THM2)
