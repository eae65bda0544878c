"""Oracle: the README and the papers' pages say what the result files say."""

import json
from pathlib import Path

import pytest

from replications.cli import main
from replications.errors import ReplicationError
from replications.papers.launay2019 import PAGES
from replications.reporting import readme
from replications.reporting.committed import RESULTS, committed, judge_again

RESULT = {
    "paper": "toy2000",
    "preset": "quick",
    "dataset": "mnist",
    "environment": {"machine": {"cpu": "Some CPU", "gpu": None, "threads": 1}, "wall_time_s": 240.0},
    "claims": [
        {
            "id": "a",
            "statement": "error",
            "expected": "2.4 %",
            "tolerance": [2.0, 2.7],
            "value": 2.5123,
            "std": 0.1,
            "interval": [2.26, 2.76],
            "n": 3,
            "verdict": "failed",
            "source": "table 1",
        }
    ],
    "runs": [],
}


def named(paper, preset, *claims):
    """The same results of another paper and preset."""
    return {**RESULT, "paper": paper, "preset": preset, "claims": list(claims or RESULT["claims"])}


def page_of(*results):
    """The page of the paper that `results` are of."""
    (text,) = readme.render_pages(results).values()
    return text


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{readme.BEGIN}\nold\n{readme.END}\n\nThe end.\n")
    page = tmp_path / next(iter(PAGES))
    page.parent.mkdir()
    page.write_text("<!-- launay2019:begin -->\n<!-- launay2019:end -->\n")
    return path


def test_the_section_between_the_markers_is_rewritten_and_the_rest_is_kept(page):
    assert not readme.update(page, [RESULT], check=False)
    text = page.read_text()
    assert text.startswith(f"# Title\n\n{readme.BEGIN}\n")
    assert text.endswith(f"{readme.END}\n\nThe end.\n")
    assert "| [toy2000](docs/papers/toy2000.md) | `quick` on mnist | 0 | 0 | 1 | 0 | 0 | 0 |" in text
    assert "old" not in text
    assert readme.update(page, [RESULT], check=True)


def test_the_papers_page_lists_what_the_readme_counts(page):
    """A count without its rows could not be checked by a reader."""
    readme.update(page, [RESULT], check=False)
    text = (page.parent / readme.PAGES / "toy2000.md").read_text()
    assert text.startswith("# toy2000\n")
    assert "| failed | error | 2.4 % | 2 to 2.7 | 2.51 [2.26, 2.76] (n=3) | quick |" in text
    assert "0 reproduced, 1 failed, 0 reported" in text
    assert not readme.update(page, [{**RESULT, "dataset": "digits"}], check=True)


def test_a_row_of_the_readme_counts_every_claim_once_and_says_how_many_verdicts_are_of_one_seed():
    """Two presets that judge one claim must not count as two reproductions, nor one seed as many."""
    single = {**RESULT["claims"][0], "id": "b", "n": 1, "interval": None, "verdict": "reproduced"}
    results = [named("toy2000", "full"), named("toy2000", "quick", RESULT["claims"][0], single)]
    assert "| `full` on mnist | 1 | 0 | 1 | 0 | 0 | 1 |" in readme.render(results)


def test_a_row_of_the_readme_names_no_data_set_that_the_runs_did_not_use():
    """czarnecki2017 was once "`full` on mnist", although its longest runs on MNIST were `reduced`."""
    artificial = {**RESULT["claims"][0], "id": "thm1-weights"}
    images = {**RESULT["claims"][0], "id": "fig4-relu-train"}
    results = [named("czarnecki2017", "full", artificial), named("czarnecki2017", "reduced", images)]
    assert "| `full` on artificial data, `reduced` on mnist |" in readme.render(results)
    assert "- `full` on artificial data: " in readme.render_pages(results)["czarnecki2017"]
    assert "| `full` on mnist |" in readme.render([named("czarnecki2017", "full", artificial, images)])


def test_a_paper_that_can_be_run_says_on_its_page_how_it_was_done():
    text = readme.render_pages([named("gilmer2017", "quick")])["gilmer2017"]
    assert text.startswith("# Gilmer et al. 2017, Explaining")
    assert "\n## Differences\n" in text
    assert "B<sup>i</sup> e<sup>y</sup>" in text


def test_a_failed_claim_stays_visible_and_the_others_fold_away(page):
    """Whoever skims the page must not take the failures for missing."""
    kept = {**RESULT["claims"][0], "id": "b", "statement": "kept", "verdict": "reproduced"}
    readme.update(page, [{**RESULT, "claims": [*RESULT["claims"], kept]}], check=False)
    visible, _, folded = (page.parent / readme.PAGES / "toy2000.md").read_text().partition("<details")
    assert "| error |" in visible
    assert "| kept |" not in visible
    assert "| kept |" in folded


def test_what_was_not_run_is_named_once(page):
    """A paper of which half was run must not pass for a paper that was reproduced."""
    environment = {**RESULT["environment"], "rest": "python -m replications toy2000/fig2"}
    readme.update(page, [{**RESULT, "environment": environment}], check=False)
    text = (page.parent / readme.PAGES / "toy2000.md").read_text()
    assert text.count("Not run yet: `python -m replications toy2000/fig2`") == 1


def test_what_a_smaller_preset_has_not_run_is_named_only_where_no_larger_one_is():
    """Table 2 that `full` has run would be asked for again in `reduced`."""
    short = {"environment": {**RESULT["environment"], "rest": "python -m replications toy2000/table2"}}
    assert "Not run yet" in page_of(named("toy2000", "reduced") | short)
    assert "Not run yet" not in page_of(named("toy2000", "reduced") | short, named("toy2000", "full"))


def test_papers_are_sorted_by_name_and_presets_from_full_to_quick():
    results = [named(paper, preset) for paper in ("toy2001", "toy2000") for preset in ("smoke", "full", "quick")]
    text = "".join(readme.render_pages(results).values())
    lines = [line for line in text.splitlines() if line.startswith(("# ", "- `"))]
    assert [line.split("`")[1] if "`" in line else line for line in lines] == [
        "# toy2000",
        "full",
        "quick",
        "smoke",
        "# toy2001",
        "full",
        "quick",
        "smoke",
    ]


def test_a_claim_that_a_larger_preset_has_a_word_on_is_not_shown_again():
    """The verdict on short runs beside that on long ones would let a reader choose."""
    again, new = RESULT["claims"][0] | {"value": 9.0}, RESULT["claims"][0] | {"id": "b", "statement": "new"}
    text = page_of(named("toy2000", "quick", again, new), named("toy2000", "full"))
    assert "9.00" not in text
    assert "| failed | new | 2.4 % | 2 to 2.7 | 2.51 [2.26, 2.76] (n=3) | quick |" in text
    assert "- `full` on mnist: 0 reproduced, 1 failed, 0 reported (4 min; Some CPU, 1 thread)" in text
    assert "- `quick` on mnist, beyond `full`: 0 reproduced, 1 failed, 0 reported" in text


def test_other_data_have_no_word_on_a_claim():
    """Results on digits, however long the runs, must not hide those on MNIST."""
    on_digits = named("toy2000", "full") | {"dataset": "digits"}
    assert "| failed | error | 2.4 % | 2 to 2.7 | 2.51 [2.26, 2.76] (n=3) | quick |" in page_of(
        on_digits, named("toy2000", "quick")
    )


def test_a_check_changes_nothing_and_finds_a_stale_number(page):
    readme.update(page, [RESULT], check=False)
    changed = json.loads(json.dumps(RESULT))
    changed["claims"][0]["value"] = 2.6
    before = page.read_text()
    assert not readme.update(page, [changed], check=True)
    assert page.read_text() == before


def test_a_paper_without_full_results_names_the_command_for_them():
    command = "`full` was not run: `python -m replications toy2000 --preset full`"
    assert command in page_of(RESULT)
    assert command not in page_of(RESULT, named("toy2000", "full"))


def test_a_page_without_markers_is_an_error_that_names_them(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# Title\n")
    with pytest.raises(ReplicationError, match="replications:begin"):
        readme.update(path, [RESULT], check=False)


def test_the_command_checks_the_page_it_is_given(page, capsys):
    arguments = ["table", "--readme", str(page)]
    assert main([*arguments, "--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0


def test_an_undecided_claim_stays_visible_and_what_was_not_run_gives_way_to_what_was():
    """A claim without runs in the longest preset must not hide the verdict of a shorter one."""
    claim = RESULT["claims"][0]
    missing = claim | {"n": 0, "value": None, "std": None, "interval": None, "verdict": "not run yet"}
    text = page_of(named("toy2000", "full", missing), named("toy2000", "quick", claim | {"verdict": "undecided"}))
    assert "not run yet" not in text
    assert "| undecided | error | 2.4 % | 2 to 2.7 | 2.51 [2.26, 2.76] (n=3) | quick |" in text.partition("<details")[0]
    assert "| not run yet |" in page_of(named("toy2000", "full", missing))


def test_the_verdicts_of_committed_results_follow_from_their_runs():
    """A claim that is judged in another way later, or a number that was changed by hand, would otherwise stay."""
    assert judge_again(check=True)


def test_this_projects_readme_is_not_stale():
    """Run `python -m replications table` after results change."""
    assert readme.update(readme.ROOT / "README.md", committed(), check=True)


def test_committed_results_have_no_path_of_a_machine():
    paths = list(RESULTS.rglob("results.json"))
    assert len(paths) == len(committed())
    for path in paths:
        text = path.read_text()
        assert str(Path.home()) not in text
        assert str(readme.ROOT) not in text
