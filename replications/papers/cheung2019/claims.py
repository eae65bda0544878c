"""The claims of cheung2019, fixed before the runs that judge them.

The paper prints no numbers. Every bound has its source in `evidence.json`. Every layer has claims of its own.
The null distribution of a cosine between two random matrices of 1024 x 1024 has the standard deviation 1/1024.
"""

from functools import partial
from typing import Any

from replications.judging.claims import Claim
from replications.judging.measured import Measure, minus, of
from replications.papers.cheung2019.training import BACKWARD, BOTH, STANDARD

CIFAR = ("cifar10",)
NULL = 1 / 1024
LAYERS = (1, 2, 3)
TASKS = {"forward": "CIFAR-10", "reverse": "MNIST"}
POINTS = {"forward": 2.5, "reverse": 1.5}
RATE = '"converges at the same rate"'
fig2 = partial(Claim, experiment="fig2", source="figure 2; evidence: same-rate", datasets=CIFAR)
fig3 = partial(Claim, experiment="fig3", source="figure 3; evidence: null-of-a-cosine", datasets=CIFAR)


def distance(run: str, net: str) -> Measure:
    """The distance between the test accuracies of a coupled run and the standard run."""
    return lambda runs: abs(of(run, f"{net}_accuracy")(runs) - of(STANDARD, f"{net}_accuracy")(runs))


def slowdown(run: str, net: str) -> Measure:
    """The steps to 90 % of the standard run's final accuracy, divided by the standard run's steps."""
    return lambda runs: of(run, f"{net}_steps")(runs) / of(STANDARD, f"{net}_steps")(runs)


# fmt: off
def _learns(net: str, bounds: tuple[float, float]) -> Claim:
    return fig2(f"standard-{net}", f"uncoupled feedback alignment, {TASKS[net]}: test accuracy (%)",
        of(STANDARD, f"{net}_accuracy"), expected="no number", tolerance=bounds,
        source="figure 2; evidence: uncoupled-accuracy")


def _fig2(pairing: str) -> list[Claim]:
    """Claims about the networks that coupling changes. Coupled backward feedback does not change the reverse network."""
    claims = []
    for name, nets in ((BACKWARD, ("forward",)), (BOTH, ("forward", "reverse"))):
        run = f"{name}-{pairing}"
        for net in nets:
            text = f"{name}, {pairing} pairing, {TASKS[net]}"
            claims += [
                fig2(f"{run}-{net}", f"{text}: distance of the test accuracy to the uncoupled one (points)",
                    distance(run, net), expected=RATE, tolerance=(0, POINTS[net]),
                    possible=(0, 100)),
                fig2(f"{run}-{net}-steps",
                    f"{text}: steps to 90 % of the uncoupled accuracy, over those of the uncoupled run",
                    slowdown(run, net), expected=RATE, tolerance=(0.67, 1.5)),
            ]
    return claims


def _fig3(pairing: str) -> list[Claim]:
    both, backward = f"{BOTH}-{pairing}", f"{BACKWARD}-{pairing}"
    rises = '"increases as training progresses"'

    def change(run: str, layer: int, quantity: str = "change") -> Measure:
        return of(run, f"{quantity}/{pairing}/{layer}")

    def claim(name: str, statement: str, measure: Measure, **more: Any) -> Claim:
        return fig3(f"{name}-{pairing}", f"{pairing} pairing, {statement}", measure, **more)

    of_layer = [
        one
        for layer in LAYERS
        for one in (
            claim(f"uncoupled-{layer}", f"layer {layer}: uncoupled, largest change of the cosine at any time (control)",
                change(STANDARD, layer, "largest_change"), expected='"nearly zero"', tolerance=(0, 3 * NULL),
                over_seeds="every"),
            claim(f"backward-rises-{layer}", f"layer {layer}: coupled backward, change of the cosine since the start",
                change(backward, layer), expected=rises, tolerance=(5 * NULL, 0.5)),
            claim(f"backward-trend-{layer}",
                f"layer {layer}: coupled backward, rank correlation of the cosine with time",
                change(backward, layer, "trend"), expected=rises, tolerance=(0.9, 1),
                source="figure 3; evidence: trend", possible=(-1, 1)),
            claim(f"both-above-backward-{layer}",
                f"layer {layer}: change of the cosine since the start, coupled in both above coupled backward",
                minus(change(both, layer), change(backward, layer)), expected='"greatest alignment"',
                tolerance=(1e-6, 0.5), source="figure 3; 0 is no difference"),
        )
    ]
    order = [
        claim(f"earlier-larger-{name}-{layer}",
            f"{words}: change of the cosine since the start in layer {layer} above that in layer {layer + 1}",
            minus(change(run, layer), change(run, layer + 1)), expected='"larger in the earlier layers"',
            tolerance=(1e-6, 0.5),
            source="figure 3; 0 is no difference; judged at the paper's length: evidence: earlier-layers",
            judged_from="full")
        for run, name, words in ((backward, "backward", "coupled backward"), (both, "both", "coupled in both"))
        for layer in LAYERS[:-1]
    ]
    return [*of_layer, *order]


CLAIMS = (
    _learns("forward", (35, 58)),
    _learns("reverse", (88, 99)),
    *_fig2("reversed"),
    *_fig2("same"),
    *_fig3("reversed"),
    *_fig3("same"),
)
