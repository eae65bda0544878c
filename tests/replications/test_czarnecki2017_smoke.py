"""Oracle: what a new user gets who has neither data nor network."""

import json

from replications.cli import main
from replications.experiment.loggers import read_curve

CHOSEN = "table1,table2,fig2,fig6,thm1,fig3,fig8"


def test_smoke_end_to_end(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [f"czarnecki2017/{CHOSEN}", "--preset", "smoke", "--wandb", "off", "--out", str(out)]
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    by_id = {claim["id"]: claim for claim in results["claims"]}

    # what needs no images is judged, what does is not
    assert "it holds" in by_id["table1-sgprop"]["expected"]
    assert "it holds" in by_id["thm1-weights"]["expected"]
    assert "not judged" in by_id["fig3-bp-static"]["expected"]
    assert not [name for name, claim in by_id.items() if claim["verdict"] == "reproduced"]
    assert "STAND-IN DATA" in capsys.readouterr().out

    # the rules were on: SG teaches nothing in its first step, and the networks differ in the end
    metrics = {run["name"]: run["metrics"] for run in results["runs"]}
    assert metrics["sg-all-relu-4"]["rsa/1"] != metrics["bp-relu-4"]["rsa/1"]
    watched = read_curve(out / "logs" / "mnist" / "sg-mid-relu-4-seed0" / "metrics.csv")
    assert watched["sg/layers.hidden2/relative_error"][0] == 1  # as good as sending nothing
    assert watched["sg/layers.hidden2/relative_error"][20] < 1
    curve = read_curve(out / "logs" / "thm1" / "thm1-seed0" / "metrics.csv")
    assert curve["distance"][0] == curve["distance_untrained"][0]
    assert curve["distance"][max(curve["distance"])] < 1e-8

    for name in ("fig2", "fig2-correlation", "fig3", "fig3-likeness", "fig6-sg", "fig8-right", "thm1", "table2-2"):
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    # started again, nothing is repeated, and the verdicts on the rest are kept
    assert main(["czarnecki2017/table1,thm1", *arguments[1:]]) == 0
    assert capsys.readouterr().out.count("finished earlier") == 2
    assert json.loads((out / "results.json").read_text())["claims"] == results["claims"]
