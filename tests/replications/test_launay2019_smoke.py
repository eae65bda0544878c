"""Oracle: what a new user gets who has neither data nor network, and that each rule was on."""

import json

from replications.cli import main
from replications.experiment.loggers import read_curve

ALL = ("best-practices/fc-tanh", "best-practices/bp-fc-tanh", "pre-alignment/fc-pai", "recipes/vgg-dfa")


def test_smoke_end_to_end(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["launay2019", "--preset", "smoke", "--dataset", "digits", "--wandb", "off", "--out", str(out)]
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    by_id = {claim["id"]: claim for claim in results["claims"]}
    # the control needs no CIFAR-10; what is about CIFAR-10 is not judged
    assert "it holds" in by_id["backprop-is-backprop"]["expected"]
    # what a size or a network is missing for was not run, and nothing is judged on so short a run
    assert {claim["verdict"] for claim in by_id.values()} == {"reported", "not run yet"}
    assert [name for name, claim in by_id.items() if "it holds" in claim["expected"]] == ["backprop-is-backprop"]

    metrics = {run["name"]: run["metrics"] for run in results["runs"]}
    assert metrics["bp-fc-tanh"]["cosine/2"] > 0.99999
    assert metrics["fc-tanh"]["cosine/2"] < 0.9
    curves = {name: read_curve(out / "logs" / f"{name}-seed0" / "metrics.csv") for name in ALL}
    # monitored at the end of epochs, of which a run of 8 steps has several: the data are few
    pre_aligned = curves["pre-alignment/fc-pai"]["align/blocks.1/cosine"]
    assert pre_aligned[min(pre_aligned)] > curves["best-practices/fc-tanh"]["align/blocks.1/cosine"][min(pre_aligned)]
    assert "align/blocks.7/cosine" in curves["recipes/vgg-dfa"]
    for name in ("cosines-fc", "cosines-conv", "bottleneck-accuracy", "bottleneck-cosine", "recipes-vgg"):
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    capsys.readouterr()
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("finished earlier") == len(results["runs"])


def test_what_is_tuned_is_chosen_by_held_out_samples(tmp_path):
    """Of two rates, one of which cannot learn, the other is taken, and the final run is judged on test samples."""
    out = tmp_path / "out"
    arguments = ["launay2019/conv", "--preset", "smoke", "--dataset", "digits", "--wandb", "off", "--out", str(out)]
    settings = ["--settings.baseline.rates=[1e-9,0.03]", "--settings.conv.max_steps=8", "--settings.conv.batch_size=16"]
    assert main([*arguments, *settings]) == 0
    runs = {run["name"]: run for run in json.loads((out / "results.json").read_text())["runs"]}
    tried = {name: run["metrics"]["held-out/accuracy"] for name, run in runs.items() if "/tuning-" in name}
    assert list(tried) == ["bp-conv-tanh/tuning-tanh-1e-09", "bp-conv-tanh/tuning-tanh-0.03"]
    chosen = runs["bp-conv-tanh"]
    assert chosen["settings"]["learning_rate"] == (
        1e-9 if tried["bp-conv-tanh/tuning-tanh-1e-09"] >= max(tried.values()) else 0.03
    )
    assert chosen["settings"]["held_out"] == 0
    assert "test/accuracy" in chosen["metrics"]
