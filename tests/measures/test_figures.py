"""Figures: legible on white and on black, told apart by any colour vision, and with the numbers that they were given."""

import hashlib
import pickle
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from lightning_fa import figures
from lightning_fa.figures.bands import mean_and_band
from lightning_fa.figures.style import INK, STYLES

STEPS = {0: 90.0, 1: 88.0, 10: 70.0, 100: 50.0}
SEEDS = [{step: value + k for step, value in STEPS.items()} for k in range(3)]
LAYERS = {"net.0": 13.0, "net.2": 14.0, "net.4": 12.0}
X = np.linspace(-2, 2, 9)
EVERY = {
    "alignment": lambda: figures.alignment_over_time({"net.0": SEEDS, "net.2": STEPS}),
    "curves": lambda: figures.learning_curves({"dfa": SEEDS, "bp": STEPS}, title="MNIST"),
    "bottleneck": lambda: figures.bottleneck({"layer 2": {1: 0.1, 46: 0.5, 800: 0.9}}),
    "probes": lambda: figures.probe_accuracy_by_depth({"dfa": [LAYERS, LAYERS], "bp": LAYERS}),
    "norms": lambda: figures.weight_norms_by_depth({"dfa": {f"net.{i}": 1.0 + i for i in range(20)}}),
    "rdm": lambda: figures.rdm_grid({"dfa": {"a": np.eye(5), "b": 1 - np.eye(5)}, "bp": {"a": np.eye(5)}}, title="t"),
    "surface": lambda: figures.loss_surface(X, X, X[:, None] ** 2 + X**2, paths={"fa": [(1, 1), (0, 0)]}),
}


def luminance(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#0d1117"])
def test_lines_and_text_have_contrast_with_white_and_with_black(ground):
    """WCAG asks 3 of graphics; text on both grounds at once can reach 4.2 at most."""
    assert contrast(INK, ground) > 4
    assert min(contrast(style["color"], ground) for style in STYLES) >= 2.9


# Machado, Oliveira, Fernandes 2009, severity 1: what a deuteranope and a protanope see.
BLIND = {
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
}


@pytest.mark.parametrize("kind", BLIND)
def test_the_first_colours_differ_for_the_colour_blind_and_every_style_differs_in_grey(kind):
    seen = [np.clip(np.array(BLIND[kind]) @ to_rgb(style["color"]), 0, 1) for style in STYLES[:4]]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 0.12
    assert len({style["marker"] for style in STYLES}) == len(STYLES)


@pytest.mark.parametrize("name", EVERY)
def test_every_figure_is_written_as_svg_and_png_on_a_transparent_ground(name, tmp_path):
    before = dict(matplotlib.rcParams)
    svg, png = figures.save(EVERY[name](), tmp_path / "sub" / f"{name}.v1")
    assert (svg.name, png.name) == (f"{name}.v1.svg", f"{name}.v1.png")
    assert ET.parse(svg).getroot().tag.endswith("svg")
    image = imread(png)
    assert image[0, 0, 3] == 0
    assert (image[..., 3] > 0).mean() > 0.01
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", EVERY)
def test_the_same_figure_is_the_same_bytes(name, tmp_path):
    """Committed figures must not change when nothing has."""
    digests = []
    for folder in ("a", "b"):
        digests.append(
            [hashlib.sha256(p.read_bytes()).hexdigest() for p in figures.save(EVERY[name](), tmp_path / folder)]
        )
    assert digests[0] == digests[1]


def test_bands_are_student_t_intervals_and_standard_deviations():
    import scipy.stats

    steps, mean, half = mean_and_band(SEEDS, "ci95")
    assert steps == list(STEPS)
    assert mean == pytest.approx(np.array(list(STEPS.values())) + 1)
    assert half == pytest.approx(np.full(4, scipy.stats.t.ppf(0.975, 2) * 1 / np.sqrt(3)), rel=1e-3)
    assert mean_and_band(SEEDS, "std")[2] == pytest.approx(np.ones(4))
    assert mean_and_band([STEPS], "ci95")[2] == pytest.approx(np.zeros(4))
    assert mean_and_band([{0: 1.0, 5: 2.0}, {0: 3.0}], "std")[0] == [0]
    with pytest.raises(ValueError, match="ci95"):
        mean_and_band(SEEDS, "sem")


def test_what_is_drawn_is_what_was_given():
    ax = EVERY["alignment"]().axes[0]
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["net.2"].get_xydata().tolist() == [[step, value] for step, value in STEPS.items()]
    assert lines["net.0"].get_ydata().tolist() == [value + 1 for value in STEPS.values()]
    assert ax.get_ylim()[0] == 0
    ax = EVERY["bottleneck"]().axes[0]
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "46", "800"]
    assert ax.get_xlim()[0] > 0.1
    grid = EVERY["rdm"]()
    images = [image for ax in grid.axes for image in ax.get_images()]
    assert len(images) == 3
    assert {image.get_clim() for image in images} == {(0.0, 1.0)}
    assert all(float(t).is_integer() for t in EVERY["norms"]().axes[0].get_xticks())


@pytest.mark.parametrize("name", EVERY)
def test_a_notebook_shows_the_figure_and_not_its_name(name, tmp_path):
    """Without a magic command a cell that ended with `monitor.draw()` showed "<Figure size 560x390 with 1 Axes>"."""
    figure = pickle.loads(pickle.dumps(EVERY[name]()))  # as loggers and other processes hand it on
    assert type(figure) is Figure  # W&B asks for the name of the class
    (tmp_path / "shown.png").write_bytes(figure._repr_png_())
    shown = imread(tmp_path / "shown.png")
    assert shown.shape[1] > shown.shape[0] / 2 > 50
    assert shown[..., 3].max() == 1  # something is drawn on the transparent ground
    ipython = pytest.importorskip("IPython.core.formatters")
    assert "image/png" in ipython.DisplayFormatter().format(figure)[0]
