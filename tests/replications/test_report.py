"""The report: one page that needs nothing, the same for W&B, and what happens when W&B fails."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser

import pytest

from lightning_fa import figures
from replications.cli import main
from replications.errors import ReplicationError
from replications.experiment.results import FILE
from replications.reporting.finding import find
from replications.reporting.page import page
from tests.commands import ROOT, run
from tests.wandb_server import KEY, rows, serving

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb_workspaces")
CLAIM = {
    "id": "c",
    "statement": "angle <90 & falling | always",
    "expected": '"well aligned"',
    "tolerance": [0.1, 89.0],
    "value": 24.7,
    "std": 1.5,
    "interval": [20.97, 28.43],
    "n": 3,
    "verdict": "reproduced",
    "source": "figure 1",
}
RUN = {"experiment": "fig1", "name": "dfa", "rule": "dfa", "settings": {"lr": 0.1, "hidden": [8]}, "seconds": 4.5}
CONTENT = {
    "paper": "gilmer2017",
    "preset": "quick",
    "dataset": "mnist",
    "environment": {
        "torch": "2.15.0",
        "commit": "abc-dirty",
        "machine": {"cpu": "a <cpu>", "gpu": None},
        "wall_time_s": 9.0,
    },
    "claims": [CLAIM, CLAIM | {"verdict": "failed", "value": None, "std": None, "interval": None}],
    "runs": [
        RUN
        | {
            "seed": seed,
            "metrics": {"error_angle/1": 20.5, "initial_error_angle/1": 2.0, "initial_error_angle/2": None},
        }
        for seed in range(2)
    ]
    + [RUN | {"name": "lafs", "seed": 0, "settings": {"lr": 0.2, "hidden": [8]}, "metrics": {"error_angle/1": 10.25}}],
}


@pytest.fixture
def runs(tmp_path):
    """A folder of results with two figures."""
    folder = tmp_path / "runs" / "gilmer2017" / "20260101-000000"
    folder.mkdir(parents=True)
    (folder / FILE).write_text(json.dumps(CONTENT))
    drawn = figures.alignment_over_time({"layer 1": {0: 90.0, 10: 45.0}})
    figures.save(drawn, folder / "figures" / "fig1-left")
    figures.save(figures.rdm_grid({"dfa": {"layer 1": [[0.0, 1.0], [1.0, 0.0]]}}), folder / "figures" / "rdm")
    return tmp_path / "runs"


class Reader(HTMLParser):
    """Tags that are opened and not closed, everything that is fetched, and all text."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader, " ".join(" ".join(reader.text).split())


def test_the_page_is_well_formed_and_fetches_nothing(runs):
    """It must open from a disk without network in ten years."""
    html = page(find([], runs, runs / "none"))
    reader, _ = read(html)
    assert len(reader.sources) == 3
    assert all(source.startswith(("data:image/", "#")) for source in reader.sources)
    assert "<script" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_the_page_shows_claims_verdicts_settings_differences_environment_and_the_command(runs):
    _, text = read(page(find([], runs, runs / "none")))
    for shown in (
        "angle <90 & falling | always",
        "✓ reproduced",
        "✗ failed",
        "(1 reproduced, 1 failed)",
        "24.70 [20.97, 28.43] (n=3)",
        "0.1 to 89",
        "0.1 : fig1/dfa 0.2 : fig1/lafs".replace(" :", ":"),
        "a <cpu>",
        "whereas",  # of the paper's section "Differences"
        "git checkout abc python -m replications gilmer2017 --preset quick --seeds 2 --dataset mnist",
        "changes that are not in the commit",
        "error_angle/1 20.5",
    ):
        assert shown in text, shown


def test_the_figures_of_the_page_are_the_files(runs):
    html = page(find([], runs, runs / "none"))
    inside = [base64.b64decode(data) for data in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)]
    assert inside == [path.read_bytes() for path in sorted(runs.glob("*/*/figures/*.svg"))]


def test_the_newest_results_of_a_paper_are_shown_and_a_folder_can_be_named(runs):
    older, newer = runs / "gilmer2017" / "20260101-000000", runs / "gilmer2017" / "20251231-000000"
    shutil.copytree(older, newer)
    os.utime(newer / FILE, (time.time() + 60,) * 2)
    assert find(["gilmer2017"], runs)[0].folder == newer
    assert find([str(older)], runs)[0].folder == older


def test_what_was_not_replicated_is_said_with_the_command_that_would_do_it(runs, capsys, tmp_path):
    assert main(["report", "nobody1999", "--runs", str(runs), "--out", str(tmp_path / "r.html")]) == 2
    assert "python -m replications nobody1999" in capsys.readouterr().err


def test_a_folder_in_which_no_run_is_finished_is_no_name_of_a_paper(runs, tmp_path):
    """A cut run was told to replicate the paper "cut", which is the name of its folder."""
    (tmp_path / "cut").mkdir()
    with pytest.raises(ReplicationError, match=r"results.json in the folder .*cut.*no run there is finished.*--out"):
        find([str(tmp_path / "cut")], runs)


def test_the_page_and_the_wandb_description_are_written_without_key_or_network(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert main(["report", "--runs", str(runs), "--out", str(tmp_path / "sub" / "r.html"), "gilmer2017"]) == 0
    assert (tmp_path / "sub" / "r.html").exists()
    assert "--publish --entity E --project P" in capsys.readouterr().out
    described = json.loads((tmp_path / "sub" / "r.wandb.json").read_text())
    blocks = described["spec"]["blocks"]
    assert {block["type"] for block in blocks} >= {"heading", "markdown-block", "panel-grid", "code-block"}
    (table,) = [b["content"] for b in blocks if b["type"] == "markdown-block" and b["content"].startswith("| claim")]
    assert r"| angle <90 & falling \| always |" in table
    assert table.count("\n") == 3
    (grid,) = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    (runset,) = grid["runSets"]
    assert [f["value"] for f in runset["filters"]["filters"]] == ["gilmer2017/fig1"]
    panels = [panel["config"] for panel in grid["panelBankSectionConfig"]["panels"]]
    assert panels[0]["metrics"] == ["error_angle/1"]
    assert (panels[0]["groupBy"], panels[0]["groupAgg"], panels[0]["groupArea"]) == ("run.value", "mean", "stddev")
    assert "align/figure" in panels[-1]["mediaKeys"]
    assert len(panels) == 2


# -- a browser ---------------------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ASK = """<script>addEventListener("load", () => {
  const shown = [...document.images].map(i => i.complete && i.naturalWidth > 0 && i.getBoundingClientRect().width > 100);
  const style = getComputedStyle(document.body);
  document.body.dataset.found = JSON.stringify([shown, style.color, style.backgroundColor, document.documentElement.scrollWidth]);
})</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_every_figure_and_has_nothing_to_complain_about(runs, tmp_path, scheme):
    """Broken markup, a figure that is not decoded, text in the colour of its ground: none of it shows in the source."""
    html = page(find([], runs, runs / "none"))
    asked = re.sub(r"<meta http-equiv[^>]*>", "", html).replace("</body>", f"{ASK}</body>")
    (tmp_path / "asked.html").write_text(asked)
    (tmp_path / "page.html").write_text(html)
    plain = _browse(tmp_path / "page.html", scheme, f"--screenshot={tmp_path / 'shot.png'}")
    assert "CONSOLE" not in plain.stderr
    assert (tmp_path / "shot.png").stat().st_size > 10_000
    found = _browse(tmp_path / "asked.html", scheme, "--dump-dom", "--virtual-time-budget=3000")
    shown, ink, ground, width = json.loads(re.search(r'data-found="([^"]*)"', found.stdout)[1].replace("&quot;", '"'))
    assert shown == [True, True]
    assert width <= 1100
    contrast = _contrast(ink, ground)
    assert contrast > 7
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (scheme == "light")


def _browse(path, scheme, *options):
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    theme = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    command = [CHROMIUM, *quiet, theme, "--enable-logging=stderr", "--window-size=1100,1800", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def _luminance(colour):
    parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one, other):
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# -- publication -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """An offline run with a number and an image."""
    folder = tmp_path_factory.mktemp("offline")
    code = f"""
import wandb
from lightning_fa import figures
with wandb.init(project="p", group="gilmer2017/fig1", mode="offline", dir={str(folder)!r},
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True)) as run:
    for step in range(3):
        run.log({{"error_angle/1": 30.0 - step, "trainer/global_step": step}})
    run.log({{"align/figure": wandb.Image(figures.alignment_over_time({{"a": {{0: 90.0, 1: 45.0}}}}))}})
"""
    run("-c", code, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return folder / "wandb"


def publish(runs, tmp_path, service, timeout=90.0, **env):
    command = ["-m", "replications", "report", "--runs", str(runs), "--out", str(tmp_path / "r.html")]
    command += ["gilmer2017", "--publish", "--entity", "me", "--project", "proj", "--timeout", str(timeout)]
    env = {**os.environ, "WANDB_BASE_URL": service.url, "WANDB_API_KEY": KEY, "PYTHONPATH": str(ROOT), **env}
    env |= {"WANDB_DIR": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path), "WANDB_CACHE_DIR": str(tmp_path)}
    return run(*command, env=env, timeout=240)


@pytest.fixture
def waiting(runs, offline):
    """The folder of results with the offline run beside it."""
    shutil.copytree(offline, runs / "gilmer2017" / "20260101-000000" / "wandb", symlinks=True)
    return runs


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_publishing_brings_the_runs_and_the_report_to_the_service(waiting, tmp_path):
    with serving() as service:
        done = publish(waiting, tmp_path, service)
        assert done.returncode == 0, done.stderr
        assert f"{service.url}/me/proj/reports/" in done.stdout
        (run,) = service.runs
        arrived = [row for row in rows(service, run) if "error_angle/1" in row]
        assert [(row["trainer/global_step"], row["error_angle/1"]) for row in arrived] == [(0, 30), (1, 29), (2, 28)]
        assert service.runs[run]["entity"] == "me"
        images = [data for name, data in service.files.items() if name.endswith(".png")]
        assert [data[:4] for data in images] == [b"\x89PNG"]
        (view,) = service.views
        assert (view["entityName"], view["projectName"], view["displayName"]) == (
            "me",
            "proj",
            "Replications: gilmer2017",
        )
        written = json.loads((tmp_path / "r.wandb.json").read_text())["spec"]["blocks"]
        assert [b["type"] for b in json.loads(view["spec"])["blocks"]] == [b["type"] for b in written]
        assert "proj" in service.projects
        # A second time the runs are there already.
        service.history.clear()
        assert publish(waiting, tmp_path, service).returncode == 0
        assert service.history == {}
        assert len(service.views) == 2


@pytest.mark.parametrize(
    ("mode", "timeout", "message"),
    [
        ("error", 3, r"W&B did not take the run offline-run-\S+: no answer within 3 seconds"),
        ("silent", 3, r"W&B did not take the run offline-run-\S+: no answer within 3 seconds"),
        ("locked", 60, r"W&B did not take the run offline-run-\S+: .*not logged in"),
    ],
)
def test_a_service_that_fails_gets_a_clear_message_and_leaves_what_is_on_disk(
    waiting, tmp_path, mode, timeout, message
):
    before = snapshot(waiting)
    with serving(mode) as service:
        done = publish(waiting, tmp_path, service, timeout)
        assert service.views == []
    assert done.returncode == 2
    assert re.search(f"error: {message}.*The local files are kept", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert {path: data for path, data in snapshot(waiting).items() if path in before} == before
    assert (tmp_path / "r.html").exists()
    assert json.loads((tmp_path / "r.wandb.json").read_text())["displayName"] == "Replications: gilmer2017"


@pytest.mark.parametrize(
    ("mode", "timeout", "message"),
    [
        ("error", 3, "did not (take the report|answer)"),
        ("silent", 3, "did not (take the report|answer)"),
        ("locked", 60, "not logged in"),
    ],
)
def test_a_report_that_is_not_taken_is_an_error_that_says_so(runs, tmp_path, mode, timeout, message):
    with serving(mode) as service:
        done = publish(runs, tmp_path, service, timeout)
    assert done.returncode == 2
    assert re.search(f"error: .*{message}.*The local files are kept", done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_publishing_without_a_key_or_an_entity_is_refused_at_once(runs, tmp_path, capsys):
    assert main(["report", "--runs", str(runs), "--out", str(tmp_path / "r.html"), "--publish"]) == 2
    assert "--entity" in capsys.readouterr().err
    with serving() as service:
        done = publish(runs, tmp_path, service, WANDB_API_KEY="", NETRC="/dev/null", HOME=str(tmp_path))
        assert "Expected an API key to publish" in done.stderr
        assert service.asked == []
    assert done.returncode == 2
