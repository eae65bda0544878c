"""Claims about figures 2a and 2b: one hidden layer of 1000 logistic units on MNIST."""

from replications.claims import Claim
from replications.measured import difference, of

FULL = ("full",)
EPOCH_15 = "bound: pilot at 0.9 million examples"
TEXT = "text; bound: spec"

ERRORS = (
    Claim(
        "mnist-bp",
        "fig2a",
        "backpropagation: test error (%)",
        "2.4 (n=20)",
        (1.5, 2.7),
        TEXT,
        of("mnist-bp", "test_error"),
        judged_in=FULL,
    ),
    Claim(
        "mnist-fa",
        "fig2a",
        "feedback alignment: test error (%)",
        "2.1 (n=20)",
        (1.4, 2.6),
        TEXT,
        of("mnist-fa", "test_error"),
        judged_in=FULL,
    ),
    Claim(
        "mnist-fa-bp",
        "fig2a",
        "test errors of the two, distance (points)",
        "2.4 and 2.1",
        (0.0, 0.5),
        TEXT,
        lambda runs: abs(difference("test_error", "mnist-fa", "mnist-bp")(runs)),
        judged_in=FULL,
    ),
    Claim(
        "mnist-shallow",
        "fig2a",
        "only the last layer learns: test error (%)",
        "7.2",
        (6.0, 9.5),
        "figure 2a; bound: spec",
        of("mnist-shallow", "test_error"),
        judged_in=FULL,
    ),
    Claim(
        "mnist-fa-sparse",
        "fig2a",
        "feedback alignment, half of W and of B removed: test error (%)",
        "2.4 (n=20)",
        (1.5, 2.9),
        TEXT,
        of("mnist-fa-sparse", "test_error"),
        judged_in=FULL,
    ),
    Claim(
        "mnist-sparse-fa",
        "fig2a",
        "test error of the sparse variant above that of the full one (points)",
        "2.4 against 2.1",
        (-0.6, 0.6),
        TEXT,
        difference("test_error", "mnist-fa-sparse", "mnist-fa"),
        judged_in=FULL,
    ),
    Claim(
        "mnist-bp-15",
        "fig2a",
        "backpropagation: test error after 15 epochs (%)",
        "no number",
        (4.0, 7.0),
        EPOCH_15,
        of("mnist-bp", "test_error_15"),
    ),
    Claim(
        "mnist-fa-15",
        "fig2a",
        "feedback alignment: test error after 15 epochs (%)",
        "no number",
        (3.0, 6.0),
        EPOCH_15,
        of("mnist-fa", "test_error_15"),
    ),
)

ANGLES = (
    Claim(
        "mnist-angle-1",
        "fig2b",
        "angle of B e to W^T e, first epoch (degrees)",
        "falls from 90",
        (74, 90),
        "figure 2b; bound: pilot",
        of("mnist-fa", "angle_epoch_1"),
    ),
    Claim(
        "mnist-angle-10",
        "fig2b",
        "the same, tenth epoch",
        "falls",
        (20, 50),
        "figure 2b; bound: pilot",
        of("mnist-fa", "angle_epoch_10"),
    ),
    Claim(
        "mnist-angle",
        "fig2b",
        "the same, at the end",
        "stays low",
        (20, 42),
        "figure 2b; bound: pilot",
        of("mnist-fa", "angle"),
        judged_in=FULL,
    ),
    Claim(
        "mnist-sparse-angle",
        "fig2b",
        "the same of the sparse variant, at the end",
        "no number",
        (44, 64),
        "bound: pilot",
        of("mnist-fa-sparse", "angle"),
        judged_in=FULL,
    ),
    Claim(
        "mnist-control-angle",
        "fig2b",
        "control: the same angle in a network trained by backpropagation, at the end",
        "90 is chance",
        (80, 97),
        "ours",
        of("mnist-bp", "angle"),
        over_seeds="every",
    ),
)
CLAIMS = (*ERRORS, *ANGLES)
