"""Oracle: the page says what the results say, and says how long the runs were."""

from dataclasses import asdict

from replications.cli import main
from replications.papers.launay2019 import PAGES
from replications.papers.launay2019.page import render
from replications.papers.launay2019.settings import Training
from replications.reporting import readme


def run(name, accuracy, seed=0, cosines=(0.5, 0.25), **settings):
    metrics = {"test/accuracy": accuracy, **{f"cosine/{i}": c for i, c in enumerate(cosines, start=1)}}
    return {"name": name, "seed": seed, "metrics": metrics, "settings": asdict(Training(**settings))}


def result(*runs):
    return {"paper": "launay2019", "preset": "quick", "dataset": "cifar10", "runs": list(runs)}


def line(text, start):
    return next(each for each in text.splitlines() if each.startswith(start))


def seeds(name, *accuracies, **settings):
    return [run(name, accuracy, seed, **settings) for seed, accuracy in enumerate(accuracies)]


def test_a_practice_is_recommended_by_the_interval_of_its_gain():
    runs = seeds("fc-tanh", 40.0, 42.0, 41.0, epochs=20) + seeds("fc-relu", 30.0, 32.0, 31.5, epochs=20)
    runs += seeds("fc-bn", 40.1, 42.2, 41.0, epochs=20) + seeds("fc-lrelu.5", 50.0, 52.0, 51.5, epochs=20)
    runs += [*seeds("fc-lrelu.1", 46.0, 42.0, 45.0, epochs=20), run("bp-fc-relu", 55.0)]
    text = render([result(*runs)])
    assert "Trained for 20 epochs, SGD. A gain is over the seeds" in text
    assert line(text, "| 3072") == "| 3072-800-800-800-10, tanh | 3 | 41.0 [38.5, 43.5] | | 0.50 0.25 | - | |"
    assert line(text, "| ReLU").endswith("| -9.8 | 0.50 0.25 | 55.0 | avoid it |")
    assert line(text, "| batch norm").endswith("| no difference |")
    assert line(text, "| leaky ReLU, slope 0.5").endswith("| use it |")
    assert line(text, "| leaky ReLU, slope 0.1").endswith("| undecided |")


def test_numbers_are_compared_on_the_seeds_that_both_have():
    """A gain was once the number of one seed minus the mean over two, under a line that gave two seeds for every row."""
    text = render([result(*seeds("fc-tanh", 40.0, 46.0), run("fc-relu", 41.0), run("fc-bn", 41.0, seed=2))])
    assert line(text, "| ReLU").startswith("| ReLU | 1 | 41.0 | +1.0 |")
    assert line(text, "| batch norm").startswith("| batch norm after the activation | 1 | 41.0 | - |")
    recipes = render([result(*seeds("conv-bp", 70.0, 60.0), run("conv-fa", 60.0))])
    assert "1 to 2 seeds each." in recipes
    assert line(recipes, "| feedback alignment").startswith("| feedback alignment | 60.0 | 10.0 |")


def test_one_seed_or_a_few_epochs_recommend_nothing():
    """One run of three epochs at one rate was once turned into "use it" and "avoid it"."""
    short = seeds("fc-tanh", 40.0, 40.1, 40.2, epochs=3) + seeds("fc-relu", 30.0, 30.1, 30.3, epochs=3)
    single = [run("fc-tanh", 40.0, epochs=50), run("fc-relu", 30.0, epochs=50)]
    for runs in (short, single):
        assert line(render([result(*runs)]), "| ReLU").endswith("| too few or too short runs |")


def test_recipes_name_their_effort_and_what_was_chosen():
    short = {"max_steps": 40, "held_out": 5000}
    runs = [run("conv-bp", 70.0, activation="relu", learning_rate=1e-3), run("conv-fa", 60.5)]
    runs += [run(f"conv-bp/tuning-tanh-{rate}", None, **short) for rate in (1, 2, 3)]
    text = render([result(*runs)])
    assert "Tuning effort: 3 runs of 40 steps for each rule, judged on 5000 held-out" in text
    assert line(text, "| backpropagation") == "| backpropagation | 70.0 | 0.0 | relu, 0.001 |"
    assert line(text, "| feedback alignment") == "| feedback alignment | 60.5 | 9.5 | tanh, 0.0005 |"


def test_the_cosine_of_a_bottleneck_is_that_of_the_second_hidden_layer():
    text = render([result(run("mask-18", 45.0, cosines=(0.1, 0.2)), run("repo-18", 46.0, cosines=(0.3, 0.4)))])
    assert line(text, "| 18") == "| 18 | - | - | 45.0 | 0.20 | 46.0 | 0.30 |"


def test_without_results_the_page_says_so():
    assert render([]) == "No results yet."


def test_the_table_command_finds_a_stale_page(tmp_path, capsys):
    (tmp_path / "README.md").write_text(f"{readme.BEGIN}\n{readme.END}\n")
    page = tmp_path / next(iter(PAGES))
    page.parent.mkdir()
    page.write_text("# Page\n<!-- launay2019:begin -->\n<!-- launay2019:end -->\nThe end.\n")
    arguments = ["table", "--readme", str(tmp_path / "README.md")]
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    page.write_text(
        page.read_text().replace("#", "##", 1).replace("\n<!-- launay2019:end", "\nmore\n<!-- launay2019:end")
    )
    assert main([*arguments, "--check"]) == 1
    assert "stale" in capsys.readouterr().err


def test_the_page_of_this_project_is_not_stale():
    assert main(["table", "--check"]) == 0
