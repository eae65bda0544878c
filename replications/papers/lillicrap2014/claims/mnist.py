"""Claims about figures 2a and 2b: one hidden layer of 1000 logistic units on MNIST."""

from functools import partial

from replications.judging.claims import Claim
from replications.judging.measured import difference, of

EPOCH_15 = "evidence: fig2a-pilot"
TEXT = "text; evidence: fig2a-text"

fig2a = partial(Claim, experiment="fig2a", source=TEXT, judged_from="full")
fig2b = partial(Claim, experiment="fig2b", source="figure 2b; evidence: fig2b")

# fmt: off
ERRORS = (
    fig2a("mnist-bp", "backpropagation: test error (%)", of("mnist-bp", "test_error"), expected="2.4 (n=20)",
        tolerance=(1.5, 2.7)),
    fig2a("mnist-fa", "feedback alignment: test error (%)", of("mnist-fa", "test_error"), expected="2.1 (n=20)",
        tolerance=(1.4, 2.6)),
    fig2a("mnist-fa-bp", "test errors of the two, distance (points)",
        lambda runs: abs(difference("test_error", "mnist-fa", "mnist-bp")(runs)), expected="2.4 and 2.1",
        tolerance=(0.0, 0.5), possible=(0, 100)),
    fig2a("mnist-shallow", "only the last layer learns: test error (%)", of("mnist-shallow", "test_error"),
        expected="7.2", tolerance=(6.0, 9.5), source="figure 2a; evidence: fig2a-text"),
    fig2a("mnist-fa-sparse", "feedback alignment, half of W and of B removed: test error (%)",
        of("mnist-fa-sparse-w", "test_error"), expected="2.4 (n=20)", tolerance=(1.5, 2.9)),
    fig2a("mnist-sparse-fa", "test error of the sparse variant above that of the full one (points)",
        difference("test_error", "mnist-fa-sparse-w", "mnist-fa"), expected="2.4 against 2.1", tolerance=(-0.6, 0.6)),
    fig2a("mnist-bp-15", "backpropagation: test error after 15 epochs (%)", of("mnist-bp", "test_error_15"),
        expected="no number", tolerance=(4.0, 7.0), source=EPOCH_15, judged_from="quick"),
    fig2a("mnist-fa-15", "feedback alignment: test error after 15 epochs (%)", of("mnist-fa", "test_error_15"),
        expected="no number", tolerance=(3.0, 6.0), source=EPOCH_15, judged_from="quick"),
)

ANGLES = (
    fig2b("mnist-angle-1", "angle of B e to W^T e, first epoch (degrees)", of("mnist-fa", "angle_epoch_1"),
        expected="falls from 90", tolerance=(74, 90)),
    fig2b("mnist-angle-10", "the same, tenth epoch", of("mnist-fa", "angle_epoch_10"), expected="falls",
        tolerance=(20, 50)),
    fig2b("mnist-angle", "the same, at the end", of("mnist-fa", "angle"), expected="stays low", tolerance=(20, 42),
        judged_from="full"),
    fig2b("mnist-sparse-angle", "the same of the sparse variant, at the end", of("mnist-fa-sparse-w", "angle"),
        expected="no number", tolerance=(44, 64), source="evidence: fig2b", judged_from="full"),
    fig2b("mnist-control-angle", "control: the same angle in a network trained by backpropagation, at the end",
        of("mnist-bp", "angle"), expected="90 is chance", tolerance=(80, 97), source="ours; evidence: fig2b",
        over_seeds="every"),
)
CLAIMS = (*ERRORS, *ANGLES)
