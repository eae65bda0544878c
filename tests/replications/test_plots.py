"""Oracle: figures hold the data they were given."""

from replications.reporting import plots
from replications.reporting.plots import draw


def test_a_figure_is_written_as_png_and_svg_with_a_line_per_layer_and_step_0_on_the_log_axis(tmp_path):
    seeds = [{0: 1.0, 1: 2.0, 100: 3.0}, {0: 2.0, 1: 3.0, 100: 5.0}]
    draw({"DFA": {"layer 1": seeds, "layer 2": seeds}}, tmp_path / "figure", title="toy", ylabel="angle", top=90)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "figure.svg").read_text()
    for text in ("layer 1", "layer 2", "DFA", "toy", "angle", "training step"):
        assert text in svg


def test_the_same_data_give_the_same_svg_so_that_a_committed_figure_changes_only_with_its_data(tmp_path):
    for name in ("a", "b"):
        draw({"DFA": {"layer 1": [{0: 1.0, 1: 2.0}]}}, tmp_path / name, title="toy", ylabel="angle")
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()


def test_panels_share_an_axis_that_holds_the_lines_of_all(tmp_path, monkeypatch):
    """Frozen after the first panel, it cut off what the others had above and below."""
    seen = []
    monkeypatch.setattr(plots.plt, "close", lambda figure: seen.append(figure))
    panels = {"first": {"a": [{0: 0.1, 1: 0.2}]}, "last": {"a": [{0: -0.3, 1: 0.9}]}}
    draw(panels, tmp_path / "figure", title="", ylabel="", bottom=None)
    low, high = seen[0].axes[0].get_ylim()
    assert low < -0.3
    assert high > 0.9
    draw(panels, tmp_path / "figure", title="", ylabel="", bottom=0, top=1)
    assert seen[1].axes[1].get_ylim() == (0, 1)
