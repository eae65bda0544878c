"""The claims of cheung2019, fixed before the runs that judge them.

The paper prints no number of its results. Every bound has its source in `evidence.json`. Every layer is judged by itself.
The null distribution of a cosine between two random matrices of 1024 x 1024 has the standard deviation 1/1024.
"""

from typing import Any

from replications.judging.claims import Claim
from replications.judging.measured import Measure, of
from replications.papers.cheung2019.runs import BACKWARD, BOTH, STANDARD

CIFAR = ("cifar10",)
NULL = 1 / 1024
LAYERS = (1, 2, 3)
TASKS = {"forward": "CIFAR-10", "reverse": "MNIST"}
POINTS = {"forward": 2.5, "reverse": 1.5}
RATE = '"converges at the same rate"'


def distance(run: str, net: str) -> Measure:
    """Between the test accuracies of a coupled and of the standard run."""
    return lambda runs: abs(of(run, f"{net}_accuracy")(runs) - of(STANDARD, f"{net}_accuracy")(runs))


def slowdown(run: str, net: str) -> Measure:
    """Steps to 90 % of the standard run's final accuracy, over the standard run's."""
    return lambda runs: of(run, f"{net}_steps")(runs) / of(STANDARD, f"{net}_steps")(runs)


def _learns(net: str, bounds: tuple[float, float]) -> Claim:
    return Claim(
        f"standard-{net}",
        "fig2",
        f"uncoupled feedback alignment, {TASKS[net]}: test accuracy (%)",
        "no number",
        bounds,
        "figure 2; evidence: uncoupled-accuracy",
        of(STANDARD, f"{net}_accuracy"),
        datasets=CIFAR,
    )


def _fig2(pairing: str) -> list[Claim]:
    """Of every network that coupling touches: under coupled backward feedback the reverse one is that of the standard run."""
    claims = []
    for name, nets in ((BACKWARD, ("forward",)), (BOTH, ("forward", "reverse"))):
        run = f"{name}-{pairing}"
        for net in nets:
            text = f"{name}, {pairing} pairing, {TASKS[net]}"
            claims += [
                Claim(
                    f"{run}-{net}",
                    "fig2",
                    f"{text}: distance of the test accuracy to the uncoupled one (points)",
                    RATE,
                    (0, POINTS[net]),
                    "figure 2; evidence: same-rate",
                    distance(run, net),
                    datasets=CIFAR,
                    possible=(0, 100),
                ),
                Claim(
                    f"{run}-{net}-steps",
                    "fig2",
                    f"{text}: steps to 90 % of the uncoupled accuracy, over those of the uncoupled run",
                    RATE,
                    (0.67, 1.5),
                    "figure 2; evidence: same-rate",
                    slowdown(run, net),
                    datasets=CIFAR,
                ),
            ]
    return claims


def _fig3(pairing: str) -> list[Claim]:
    both, backward = f"{BOTH}-{pairing}", f"{BACKWARD}-{pairing}"
    rises = '"increases as training progresses"'

    def change(run: str, layer: int, quantity: str = "change") -> Measure:
        return of(run, f"{quantity}/{pairing}/{layer}")

    def claim(
        name: str, statement: str, expected: str, bounds: tuple[float, float], measure: Measure, **more: Any
    ) -> Claim:
        return Claim(
            f"{name}-{pairing}",
            "fig3",
            f"{pairing} pairing, {statement}",
            expected,
            bounds,
            measure=measure,
            datasets=CIFAR,
            **{"source": "figure 3; evidence: null-of-a-cosine", **more},
        )

    of_layer = [
        one
        for layer in LAYERS
        for one in (
            claim(
                f"uncoupled-{layer}",
                f"layer {layer}: uncoupled, largest change of the cosine at any time (control)",
                '"nearly zero"',
                (0, 3 * NULL),
                change(STANDARD, layer, "largest_change"),
                over_seeds="every",
            ),
            claim(
                f"backward-rises-{layer}",
                f"layer {layer}: coupled backward, change of the cosine since the start",
                rises,
                (5 * NULL, 0.5),
                change(backward, layer),
            ),
            claim(
                f"backward-trend-{layer}",
                f"layer {layer}: coupled backward, rank correlation of the cosine with time",
                rises,
                (0.9, 1),
                change(backward, layer, "trend"),
                source="figure 3; evidence: trend",
                possible=(-1, 1),
            ),
            claim(
                f"both-above-backward-{layer}",
                f"layer {layer}: change of the cosine since the start, coupled in both above coupled backward",
                '"greatest alignment"',
                (1e-6, 0.5),
                _minus(change(both, layer), change(backward, layer)),
                source="figure 3; 0 is no difference",
            ),
        )
    ]
    order = [
        claim(
            f"earlier-larger-{name}-{layer}",
            f"{words}: change of the cosine since the start in layer {layer} above that in layer {layer + 1}",
            '"larger in the earlier layers"',
            (1e-6, 0.5),
            _minus(change(run, layer), change(run, layer + 1)),
            source="figure 3; 0 is no difference; judged at the paper's length: evidence: earlier-layers",
            judged_from="full",
        )
        for run, name, words in ((backward, "backward", "coupled backward"), (both, "both", "coupled in both"))
        for layer in LAYERS[:-1]
    ]
    return [*of_layer, *order]


def _minus(larger: Measure, smaller: Measure) -> Measure:
    return lambda runs: larger(runs) - smaller(runs)


CLAIMS = (
    _learns("forward", (35, 58)),
    _learns("reverse", (88, 99)),
    *_fig2("reversed"),
    *_fig2("same"),
    *_fig3("reversed"),
    *_fig3("same"),
)
