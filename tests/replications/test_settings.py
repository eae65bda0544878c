"""Oracle: the dataclasses of the papers say which settings there are, and of which type; what was changed is not judged."""

import json
import re
import shlex
from dataclasses import dataclass, field

import pytest

from replications.cli import main, parse
from replications.experiment import registry
from replications.experiment.registry import Paper
from replications.experiment.run import Run
from replications.experiment.settings import with_changes
from replications.judging.presets import LOOK, PRESETS, base, changed, options
from replications.reporting.committed import committed, judged_again
from replications.reporting.finding import find
from replications.reporting.page import page
from replications.reporting.readme import render, render_pages
from tests.replications.test_claims import a_claim
from tests.replications.test_readme import named


@dataclass(frozen=True)
class Network:
    hidden: tuple[int, ...] = (8, 8)
    activation: str = "tanh"


@dataclass(frozen=True)
class Settings:
    learning_rate: float = 0.1
    steps: int = -1
    bound: float | None = None
    net: Network = field(default_factory=Network)
    others: dict[str, Network] = field(default_factory=lambda: {"a-b": Network(activation="relu")})


def run(session):
    session.loop.finish([Run("fig1", "run", "bp", seed, session.settings) for seed in session.seeds], train)


def train(run):
    return {"value": 10.0 + run.settings.learning_rate}


CLAIMS = (a_claim(datasets=("digits",), judged_from=LOOK),)
PAPER = Paper(
    "toy2000",
    "A toy",
    {"fig1": ""},
    {"quick": Settings(), "smoke": Settings(steps=1)},
    {"quick": 1, "smoke": 1},
    ("digits",),
    CLAIMS,
    run,
)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A call of the command for a toy paper, which keeps its results in one folder; returns the status."""
    for module in ("experiment.registry", "reporting.committed"):
        monkeypatch.setattr(f"replications.{module}.load", lambda name: PAPER)
        monkeypatch.setattr(f"replications.{module}.names", lambda: ["toy2000"])
    return lambda *more, out="out": main(["toy2000", "--wandb", "off", "--out", str(tmp_path / out), *more])


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"learning_rate": "0.05"}, Settings(learning_rate=0.05)),
        ({"steps": "-1"}, Settings()),
        ({"bound": "2"}, Settings(bound=2.0)),
        ({"net.hidden": "[4]"}, Settings(net=Network(hidden=(4,)))),
        ({"net.activation": "relu", "steps": "3"}, Settings(steps=3, net=Network(activation="relu"))),
        ({"others.a-b.hidden": "[4]"}, Settings(others={"a-b": Network((4,), "relu")})),
    ],
)
def test_one_field_is_changed_and_no_other(changes, expected):
    """jsonargparse itself makes a nested object anew: a change to one field put all others back to the class's defaults."""
    name, settings = with_changes(PAPER, "quick", list(changes.items()))
    assert settings == expected
    assert (name == "quick") is (expected == Settings())


def test_every_field_of_every_paper_can_be_given_its_own_value():
    """A field of a type that cannot be typed would only be found by whoever needs it."""
    for name in registry.names():
        paper = registry.load(name)
        for preset, settings in paper.presets.items():
            given = list(_typed_in(settings))
            assert len(given) >= 10
            assert with_changes(paper, preset, given) == (preset, settings)


def _typed_in(settings, path=""):
    items = settings.items() if isinstance(settings, dict) else vars(settings).items()
    for name, value in items:
        if hasattr(value, "__dataclass_fields__") or isinstance(value, dict):
            yield from _typed_in(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("--settings.learning_rat", "1"),
            r"toy2000 out of learning_rate, steps, .*a-b\.hidden.* Did you mean learning_rate",
        ),
        (("--settings.net", "1"), "Expected a setting of toy2000 out of"),
        (("--settings.learning_rate", "fast"), "--settings.learning_rate to be of type float but got 'fast'"),
        (("--settings.learning_rate=.nan",), "--settings.learning_rate to be of type float but got '.nan'"),
        (("--settings.steps", "2.5"), "--settings.steps to be of type int but got '2.5'"),
        (("--settings.steps", "null"), "--settings.steps to be of type int but got 'null'"),
        (("--settings.net.hidden", "[a]"), r"--settings.net.hidden to be of type tuple\[int, ...\] but got '\[a\]'"),
        (("--settings.bound", "x"), r"to be of type float \| None but got 'x'"),
    ],
)
def test_what_is_no_setting_or_of_another_type_is_refused_before_any_training(toy, monkeypatch, given, message, capsys):
    monkeypatch.setattr(f"{__name__}.train", lambda run: pytest.fail("training began"))
    assert toy(*given) == 2
    assert re.search(message, capsys.readouterr().err)


def test_several_papers_have_no_settings_in_common(capsys):
    assert main(["gilmer2017", "lillicrap2014", "--settings.learning_rate", "1"]) == 2
    assert (
        "Expected one paper with --settings.learning_rate but got gilmer2017, lillicrap2014" in capsys.readouterr().err
    )


def test_a_setting_without_a_value_ends_with_status_2(capsys):
    with pytest.raises(SystemExit) as error:
        main(["gilmer2017", "--settings.learning_rate"])
    assert error.value.code == 2
    assert "--settings.learning_rate: expected one argument" in capsys.readouterr().err


def test_the_results_are_those_of_another_preset_and_no_claim_is_judged(toy, tmp_path, capsys):
    """The paper's word on its own settings would be given to settings that it never had."""
    assert toy() == 0
    assert toy("--settings.learning_rate", "20", out="changed") == 0
    plain, other = results(tmp_path / "out"), results(tmp_path / "changed")
    assert (plain["preset"], other["preset"]) == ("quick", "quick+learning_rate=20.0")
    assert [r["settings"]["learning_rate"] for r in (*plain["runs"], *other["runs"])] == [0.1, 20.0]
    assert [c["verdict"] for c in (*plain["claims"], *other["claims"])] == ["reproduced", "reported"]
    assert other["claims"][0]["value"] == 30.0  # outside of the tolerance, and no failure of the paper's either
    assert "[not judged: settings of preset quick were changed]" in other["claims"][0]["expected"]
    assert "preset quick+learning_rate=20.0: CHANGED SETTINGS, so no claim is judged" in capsys.readouterr().out


def test_results_of_changed_settings_are_not_merged_with_the_presets(toy, capsys):
    assert toy() == 0
    assert toy("--settings.learning_rate", "20") == 2
    assert "of preset 'quick+learning_rate=20.0' but they are of 'quick'" in capsys.readouterr().err
    assert toy("--settings.learning_rate", "0.1") == 0  # which is the preset itself


def test_the_order_and_the_spelling_of_changes_do_not_matter():
    """The same request, typed in another way, must go on in the same folder."""
    one, _ = with_changes(PAPER, "quick", [("net.hidden", "[4, 5]"), ("learning_rate", "5e-2")])
    other, _ = with_changes(PAPER, "quick", [("learning_rate", "0.05"), ("net.hidden", "[4,5]")])
    assert one == other == "quick+learning_rate=0.05+net.hidden=[4, 5]"


def test_a_name_with_changes_becomes_the_options_that_ask_for_it():
    """A report names the command that repeats a result: it must ask for the same settings."""
    asked = [("net.hidden", "[4, 5]"), ("others.a-b.activation", "a=b c"), ("steps", "-3"), ("learning_rate", "1e+30")]
    name, settings = with_changes(PAPER, "quick", asked)
    assert base(name) == "quick"
    again = parse(["toy2000", *shlex.split(options(name))])
    assert with_changes(PAPER, again.preset, again.settings) == (name, settings)
    assert [options(preset) for preset in PRESETS] == [f"--preset {preset}" for preset in PRESETS]


def test_kept_results_of_changed_settings_stand_under_their_own_name_and_behind_all_presets(toy, tmp_path):
    """A page on which they came first would show their numbers in place of the paper's."""
    toy("--settings.learning_rate", "20")
    other = results(tmp_path / "out")
    assert judged_again(other) == other
    kept = tmp_path / "kept" / "toy2000" / other["preset"]
    kept.mkdir(parents=True)
    (kept / "results.json").write_text(json.dumps(other))
    assert [result["preset"] for result in committed(tmp_path / "kept")] == [other["preset"]]
    (found,) = find([], tmp_path / "none", tmp_path / "kept")
    assert "--preset quick --settings.learning_rate 20.0" in found.command
    assert "Changed settings: no claim is judged." in page([found])
    full = named("toy2000", "smoke") | {"dataset": "digits"}
    assert "| `smoke` on digits | 0 | 0 | 1 | 1 |" in render([other, full])
    lines = [line for line in render_pages([other, full])["toy2000"].splitlines() if line.startswith("- `")]
    assert lines[0].startswith("- `smoke`")
    assert lines[1].startswith("- `quick+learning_rate=20.0` on digits, beyond `smoke`")


def test_a_preset_with_changes_is_no_preset():
    assert changed("full", {}) == "full"
    assert changed("full", {"a": None, "b": "relu"}) == "full+a=null+b=relu"
