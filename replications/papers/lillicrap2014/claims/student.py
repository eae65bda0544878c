"""Claims about figure 2d: 3- and 4-layer students of a nonlinear teacher. All depend on the regime of the teacher."""

from replications.judging.claims import Claim
from replications.judging.measured import difference
from replications.papers.lillicrap2014.claims.linear import ANY_DATA

ORDER = "figure 2d and its t tests; evidence: fig2d-regime"
CLAIMS = (
    Claim(
        "student-fa-depth",
        "fig2d",
        "feedback alignment: log10 error of 3 layers above that of 4 (t test)",
        "8.8e-4 against 2.1e-3, p = 9e-13",
        (0, 6),
        ORDER,
        difference("log10_nse", "student-fa-3", "student-fa-4"),
        over_seeds="t-test",
        judged_from="full",
        datasets=ANY_DATA,
    ),
    Claim(
        "student-bp-depth",
        "fig2d",
        "backpropagation: the same (t test)",
        "1.05e-3 against 2.1e-3, p = 3e-12",
        (0, 12),
        ORDER,
        difference("log10_nse", "student-bp-3", "student-bp-4"),
        over_seeds="t-test",
        judged_from="full",
        datasets=ANY_DATA,
    ),
    Claim(
        "student-fa4-bp3",
        "fig2d",
        "log10 error of backpropagation in 3 layers above that of feedback alignment in 4",
        "8.8e-4 against 2.1e-3",
        (0, 6),
        ORDER,
        difference("log10_nse", "student-bp-3", "student-fa-4"),
        judged_from="full",
        datasets=ANY_DATA,
    ),
    Claim(
        "student-shallow",
        "fig2d",
        "log10 error where only the last layer learns above that of feedback alignment in 3",
        "0.13 against 2.1e-3",
        (0.398, 4),  # 0.398 is a factor of 2.5
        ORDER,
        difference("log10_nse", "student-shallow", "student-fa-3"),
        judged_from="full",
        datasets=ANY_DATA,
    ),
    Claim(
        "student-fa4-bp4",
        "fig2d",
        "log10 error of backpropagation in 4 layers above that of feedback alignment in 4",
        "8.8e-4 against 1.05e-3: feedback alignment is fastest",
        None,
        ORDER,
        difference("log10_nse", "student-bp-4", "student-fa-4"),
        datasets=ANY_DATA,
    ),
)
