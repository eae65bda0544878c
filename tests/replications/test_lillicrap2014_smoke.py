"""Oracle: what a new user gets from the command, without data and network."""

import json

from replications.cli import main
from replications.experiment.loggers import read_curve


def test_smoke_end_to_end(tmp_path, capsys):
    out = tmp_path / "out"
    target = "lillicrap2014/fig1d,fig1e,fig2a,fig2b,figS1,fig2d,fig3,thm2"
    arguments = [target, "--preset", "smoke", "--seeds", "1", "--wandb", "off", "--out", str(out)]
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    verdicts = {claim["id"]: claim["verdict"] for claim in results["claims"]}
    holds = {claim["id"] for claim in results["claims"] if "it holds" in claim["expected"]}
    # without MNIST nothing is said about MNIST, and what is about no data is judged all the same
    assert {verdicts[name] for name in verdicts if name.startswith("mnist")} == {"reported"}
    assert {"flow-w", "thm2-angle", "linear-fa-ahead"} <= holds
    assert "reproduced" not in verdicts.values()

    # the rule was on, and the monitors of the library logged it
    logs = out / "logs" / "fig2a"
    curve = read_curve(logs / "mnist-fa-seed0" / "metrics.csv")
    assert 60 < curve["align/layers.0/angle"][0] < 120
    assert read_curve(logs / "mnist-bp-seed0" / "metrics.csv")["align/layers.0/angle"][0] < 0.1
    for name in ("fig1d", "fig1e", "fig2a", "fig2b", "fig2d", "fig3", "figS1", "thm2"):
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    capsys.readouterr()
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("not repeated") == len(results["runs"])
