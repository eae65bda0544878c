"""Oracle: every wrong request is refused before any training, with what was expected, what was given, what to do."""

from contextlib import suppress

import pytest

from replications.cli import main
from replications.experiment import fit, registry


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("training began")

    monkeypatch.setattr("replications.papers.gilmer2017.training.fit", refuse)
    assert fit


def refused(capsys, *arguments: str) -> str:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.err.startswith("error: ")
    return printed.err


def test_an_unknown_paper_is_answered_with_the_known_ones(capsys):
    message = refused(capsys, "gilmer2016")
    assert "Expected a paper out of" in message
    assert "Did you mean gilmer2017?" in message


def test_an_unknown_experiment_is_answered_with_the_known_ones(capsys):
    message = refused(capsys, "gilmer2017/fig2")
    assert "fig1, b-scale, discussion but got 'fig2'" in message


@pytest.mark.parametrize("seeds", ["0", "-1"])
def test_fewer_than_one_seed_is_refused(capsys, seeds):
    assert f"--seeds to be at least 1 but got {seeds}" in refused(capsys, "gilmer2017", f"--seeds={seeds}")


def test_a_data_set_that_the_paper_does_not_use_is_refused(capsys):
    assert "mnist, digits but got 'cifar10'" in refused(capsys, "gilmer2017", "--dataset", "cifar10")


def test_a_preset_that_the_paper_does_not_have_is_refused(capsys):
    message = refused(capsys, "gilmer2017", "--dataset", "digits", "--preset", "reduced")
    assert "gilmer2017 out of full, quick, smoke but got reduced" in message


def test_an_output_folder_that_cannot_be_made_is_refused(capsys, tmp_path):
    (tmp_path / "file").touch()
    message = refused(capsys, "gilmer2017", "--dataset", "digits", "--out", str(tmp_path / "file" / "out"))
    assert "Expected --out to be a folder" in message


@pytest.mark.parametrize(
    "option", [("--accelerator", "abacus"), ("--precision", "7"), ("--devices", "many"), ("--accelerator", "tpu")]
)
def test_hardware_that_lightning_refuses_is_refused_before_training(capsys, option):
    assert " ".join(option) in refused(capsys, "gilmer2017", "--dataset", "digits", *option)


def test_damaged_data_are_refused_with_the_name_of_the_file(capsys, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"half")
    message = refused(capsys, "gilmer2017", "--data-dir", str(tmp_path))
    assert "47040016 bytes but it has 4" in message


def test_wandb_online_without_a_key_is_refused_before_training(capsys, monkeypatch):
    monkeypatch.setattr("replications.experiment.loggers._has_key", lambda: False)
    message = refused(capsys, "gilmer2017", "--dataset", "digits", "--wandb", "online")
    assert "wandb login" in message


def test_wandb_is_off_where_it_is_not_installed_and_an_error_where_it_was_asked_for(capsys, monkeypatch):
    from replications.experiment.loggers import check_wandb

    assert check_wandb(None) == "offline"
    monkeypatch.setattr("replications.experiment.loggers.find_spec", lambda _: None)
    assert check_wandb(None) == "off"
    assert "pip install wandb" in refused(capsys, "gilmer2017", "--dataset", "digits", "--wandb", "offline")


@pytest.mark.parametrize("arguments", [["gilmer2017", "--preset", "huge"], ["gilmer2017", "--seeds", "many"], []])
def test_what_argparse_refuses_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: python -m replications" in capsys.readouterr().err


def test_list_shows_every_paper_and_experiment(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "Gilmer et al. 2017" in printed
    for experiment in ("fig1", "b-scale", "discussion"):
        assert f"gilmer2017/{experiment}: " in printed


def test_the_article_fits_the_word(capsys):
    assert main(["lillicrap2014/fig99"]) == 2
    assert "Expected an experiment of lillicrap2014 out of" in capsys.readouterr().err


def test_no_name_is_suggested_that_is_far_from_what_was_typed(capsys):
    """A reader who follows "Did you mean fig4?" runs something else than was asked for."""
    assert main(["lillicrap2014/fig99"]) == 2
    assert "Did you mean" not in capsys.readouterr().err
    assert main(["lillicrap2014/fig2c"]) == 2
    assert "Did you mean fig2" in capsys.readouterr().err


def test_papers_with_a_comma_between_them_are_told_to_be_separated_by_spaces(capsys):
    assert main(["gilmer2017,lillicrap2014"]) == 2
    message = capsys.readouterr().err
    assert "Separate papers by spaces (gilmer2017 lillicrap2014)" in message
    assert "Did you mean" not in message


@pytest.mark.parametrize("arguments", [["list"], ["--help"]])
def test_list_and_help_say_how_long_every_paper_takes(arguments, capsys):
    """Whoever starts 14 hours of one core unawares does not start a second replication."""
    with suppress(SystemExit):  # of --help
        assert main(arguments) == 0
    said = " ".join(capsys.readouterr().out.split())
    for name in registry.names():
        assert len(registry.cost(name)) > 40
        assert registry.cost(name) in said, name


@pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # of wandb_workspaces, on import
def test_the_report_of_committed_results_is_written_by_the_command(tmp_path, capsys):
    """The command broke once while the functions that it calls passed all their tests."""
    page = tmp_path / "report.html"
    assert main(["report", "gilmer2017", "--runs", str(tmp_path / "none"), "--out", str(page)]) == 0
    assert "Gilmer" in page.read_text()
