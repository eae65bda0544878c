"""Oracle: results that are kept with the code are found, all of them, under the paper and preset they are of."""

import json
from html import escape

import pytest

from replications.errors import ReplicationError
from replications.experiment import registry
from replications.experiment.results import FILE
from replications.reporting.committed import RESULTS, committed, folders
from replications.reporting.finding import find
from replications.reporting.page import page
from replications.reporting.prose import html as shown
from replications.reporting.readme import BANDS, PAGES, ROOT
from tests.replications.test_readme import named


def keep(root, *places):
    for paper, preset in places:
        folder = root / paper / preset
        folder.mkdir(parents=True)
        (folder / FILE).write_text(json.dumps(named(paper, preset)))
    return root


@pytest.fixture
def root(tmp_path):
    return keep(tmp_path / "results", ("toy2001", "quick"), *(("toy2000", name) for name in ("smoke", "quick", "full")))


def test_papers_come_by_name_and_presets_from_the_longest_to_the_shortest(root):
    places = [(result["paper"], result["preset"]) for result in committed(root)]
    assert places == [("toy2000", "full"), ("toy2000", "quick"), ("toy2000", "smoke"), ("toy2001", "quick")]
    assert [folder.name for folder in folders(root, "toy2000")] == ["full", "quick", "smoke"]


def test_results_in_the_folder_of_another_preset_are_refused(root):
    """A quick result under full would hide the claims that only full has judged."""
    (root / "toy2001" / "quick").rename(root / "toy2001" / "full")
    with pytest.raises(ReplicationError, match=r"toy2001/full/results.json .* preset quick"):
        committed(root)


def test_every_committed_result_lies_where_it_is_looked_for():
    assert set(RESULTS.rglob(FILE)) == {folder / FILE for folder in folders()}
    assert {folder.parent.name for folder in folders()} >= {"czarnecki2017", "gilmer2017", "lillicrap2014"}
    assert len(committed()) == len(folders())


def test_a_report_has_every_committed_preset_of_a_paper_and_the_newest_run_instead_if_there_is_one(root, tmp_path):
    nowhere = tmp_path / "runs"
    assert [found.content["preset"] for found in find(["toy2000"], nowhere, root)] == ["full", "quick", "smoke"]
    assert [found.anchor for found in find([], nowhere, root)][-2:] == ["toy2000-smoke", "toy2001-quick"]
    own = keep(tmp_path / "runs", ("toy2000", "quick"))
    assert [found.folder for found in find(["toy2000"], own, root)] == [own / "toy2000" / "quick"]


def test_the_page_links_to_each_preset_of_a_paper(root, tmp_path):
    """Two articles of one name would both be out of reach but the first."""
    html = page(find(["toy2000"], tmp_path / "runs", root))
    for preset in ("full", "quick", "smoke"):
        assert html.count(f'href="#toy2000-{preset}"') == html.count(f'id="toy2000-{preset}"') == 1


def test_the_committed_results_make_a_page_and_a_description(tmp_path):
    """A metric may be null: a run that diverged has no loss, and one too short did not reach a level."""
    results = find([], tmp_path / "no-runs")
    assert len(results) == len(committed())
    assert any(value is None for found in results for run in found.content["runs"] for value in run["metrics"].values())
    text = page(results)
    for found in results:
        assert f'id="{found.anchor}"' in text
        assert all(shown(claim["statement"]) in text for claim in found.content["claims"])
    assert "undefined" in text


def test_no_committed_figure_is_larger_than_what_is_looked_at():
    """Two grids of matrices, each as PNG and as SVG, were half of 18 MB that every clone pays for."""
    sizes = {path: path.stat().st_size for path in RESULTS.glob("*/*/figures/*")}
    assert sizes
    assert {path: size for path, size in sizes.items() if size > 400_000} == {}
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 12_000_000


def test_every_committed_figure_has_a_caption_on_its_page_and_in_the_report(tmp_path):
    """A figure without a word on what it shows, and on what its bands are, is evidence of nothing."""
    for found in find([], tmp_path / "no-runs"):
        assert {path.stem for path in found.figures} <= set(registry.load(found.name).captions)
        text = (ROOT / PAGES / f"{found.name}.md").read_text(encoding="utf-8")
        assert BANDS in text
        report = page([found])
        assert escape(BANDS) in report
        for path in found.figures:
            assert found.caption(path.stem) in text
            assert shown(found.caption(path.stem)) in report
