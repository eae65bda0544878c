"""Claims about figure 2d: 3- and 4-layer students of a nonlinear teacher. All depend on the weights of the teacher."""

from functools import partial

from replications.judging.claims import ANY_DATA, Claim
from replications.judging.measured import difference

fig2d = partial(
    Claim,
    experiment="fig2d",
    source="figure 2d and its t tests; evidence: fig2d-regime",
    judged_from="full",
    datasets=ANY_DATA,
)

# fmt: off
CLAIMS = (
    fig2d("student-fa-depth", "feedback alignment: log10 error of 3 layers above that of 4 (t test)",
        difference("log10_nse", "student-fa-3", "student-fa-4"), expected="8.8e-4 against 2.1e-3, p = 9e-13",
        tolerance=(0, 6), over_seeds="t-test"),
    fig2d("student-bp-depth", "backpropagation: the same (t test)",
        difference("log10_nse", "student-bp-3", "student-bp-4"), expected="1.05e-3 against 2.1e-3, p = 3e-12",
        tolerance=(0, 12), over_seeds="t-test"),
    fig2d("student-fa4-bp3", "log10 error of backpropagation in 3 layers above that of feedback alignment in 4",
        difference("log10_nse", "student-bp-3", "student-fa-4"), expected="8.8e-4 against 2.1e-3", tolerance=(0, 6)),
    fig2d("student-shallow", "log10 error where only the last layer learns above that of feedback alignment in 3",
        difference("log10_nse", "student-shallow", "student-fa-3"), expected="0.13 against 2.1e-3",
        tolerance=(0.398, 4)),
    fig2d("student-fa4-bp4", "log10 error of backpropagation in 4 layers above that of feedback alignment in 4",
        difference("log10_nse", "student-bp-4", "student-fa-4"),
        expected="8.8e-4 against 1.05e-3: feedback alignment is fastest", judged_from="quick"),
)
