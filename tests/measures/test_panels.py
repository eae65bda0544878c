"""Figures of several plots: readable at the width of a page, with a legend that covers nothing."""

import numpy as np
import pytest
from matplotlib.image import imread

from lightning_fa import figures
from lightning_fa.figures.style import PAGE
from tests.measures.test_figures import EVERY

SEEDS = [{0: 1.0, 1: 2.0, 100: 3.0}, {0: 2.0, 1: 3.0, 100: 5.0}]


def panels(names, lines=None, **axes):
    curves = lines or {"layer 1": SEEDS, "layer 2": SEEDS}
    return figures.panels(dict.fromkeys(names, curves), title="toy", ylabel="angle", **axes)


SEVERAL = {
    "ten panels": lambda: panels("abcdefghij"),
    "two panels": lambda: panels("ab"),
    "nine lines": lambda: panels("a", {f"omega = {i / 10}": SEEDS for i in range(9)}, yscale="log", bottom=None),
    "long names": lambda: panels("abc", {f"a name of some thirty letters {i}": SEEDS for i in range(6)}),
    "deep": lambda: figures.rdm_grid(
        {r: {f"layer {i}": np.eye(9) for i in range(20)} for r in ("SG after every layer", "bp")}
    ),
}
SEVERAL["long title"] = lambda: figures.learning_curves(
    {"x": SEEDS}, title="the name of a paper, its data, a preset: and a model, " * 2
)
ALL = EVERY | SEVERAL


@pytest.mark.parametrize("name", ALL)
def test_no_figure_is_wider_than_a_page_and_no_text_is_too_small_to_read_there(name):
    """One of ten plots in a row was 6900 pixels wide: at the width of a page its numbers had 1.5 points."""
    figure = ALL[name]()
    assert figure.get_figwidth() <= PAGE
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in texts) >= 9


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("rdm", "deep")])
def test_the_legend_covers_no_plot_and_lies_within_the_figure(name):
    """Inside the axes it lay on the lines, wherever they happened to be."""
    figure = ALL[name]()
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(box.overlaps(ax.get_tightbbox()) for ax in figure.axes if ax.axison)
    assert not any(ax.get_legend() for ax in figure.axes)
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1 + 1
    assert box.y0 >= 0


def test_a_long_title_is_not_cut_off():
    figure = ALL["long title"]()
    figure.draw_without_rendering()
    box = figure.axes[0].title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_three_panels_are_in_a_row_and_the_rest_below():
    figure = panels("abcde", {"layer 1": SEEDS})
    figure.draw_without_rendering()
    boxes = [ax.get_position() for ax in figure.axes[:5]]
    assert [round(box.y0, 2) for box in boxes[:3]] == [round(boxes[0].y0, 2)] * 3
    assert boxes[3].y1 < boxes[0].y0
    assert [ax.get_title() for ax in figure.axes[:5]] == list("abcde")


def test_panels_share_an_axis_that_holds_the_lines_of_all():
    """Frozen after the first panel, it cut off what the others had above and below."""
    lines = {"first": {"a": [{0: 0.1, 1: 0.2}]}, "last": {"a": [{0: -0.3, 1: 0.9}]}}
    low, high = figures.panels(lines, title="", ylabel="", bottom=None).axes[0].get_ylim()
    assert low < -0.3
    assert high > 0.9
    assert figures.panels(lines, title="", ylabel="", bottom=0, top=1).axes[1].get_ylim() == (0, 1)


def test_a_label_has_one_style_in_all_panels():
    """By its place in each panel, the line of one layer had the colour of another where a panel lacked one."""
    figure = figures.panels({"x": {"a": SEEDS, "b": SEEDS}, "y": {"b": SEEDS}}, title="", ylabel="")
    (first, second), (alone,) = (ax.get_lines() for ax in figure.axes)
    assert alone.get_color() == second.get_color() != first.get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_on_a_log_axis_the_mean_is_that_of_the_logarithms():
    seeds = [{1: 1.0, 2: 10.0}, {1: 100.0, 2: 1000.0}]
    figure = panels("a", {"x": seeds}, yscale="log", bottom=None, xscale="linear")
    assert figure.axes[0].get_lines()[0].get_ydata() == pytest.approx([10.0, 100.0])


@pytest.mark.parametrize(
    ("draw", "note"),
    [
        (lambda: panels("a"), "mean of 2 seeds; band: 95 % interval of the mean"),
        (lambda: panels("a", {"x": SEEDS, "y": SEEDS[:1]}), "mean of 1 to 2 seeds; band: 95 % interval of the mean"),
        (lambda: panels("a", {"x": SEEDS[:1]}), "1 seed"),
        (lambda: figures.learning_curves({"x": SEEDS}, band="std"), "mean of 2 seeds; band: one standard deviation"),
        (lambda: figures.learning_curves({"x": SEEDS[0]}), ""),
        (SEVERAL["nine lines"], "mean of 2 seeds"),
    ],
)
def test_the_legend_says_what_a_band_is_and_of_how_many_seeds(draw, note):
    """A band of unknown meaning is read as whichever suits."""
    assert draw().legends[0].get_title().get_text() == note


def test_images_are_written_once(tmp_path):
    """Two grids of matrices, as PNG and as SVG, were half of all committed results."""
    assert [path.name for path in figures.save(EVERY["rdm"](), tmp_path / "rdm", svg=False)] == ["rdm.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["rdm.png"]
    figures.save(EVERY["rdm"](), tmp_path / "both")
    few, all_colours = (imread(tmp_path / name) for name in ("rdm.png", "both.png"))
    assert few[0, 0, 3] == 0
    shown = [image[..., :3] * image[..., 3:] for image in (few, all_colours)]
    assert np.abs(shown[0] - shown[1]).mean() < 0.01
