"""The leaderboard's protocol, on a task of 60 samples: what makes its rows comparable, and re-runnable."""

import json
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

pytest.importorskip("scipy")
from scipy import stats

import lightning_fa as fa
from benchmarks.leaderboard import page, protocol, row, table
from benchmarks.leaderboard.angle import to_backprop
from benchmarks.leaderboard.cost import saved_bytes
from benchmarks.leaderboard.interval import of_ratio, recovery
from benchmarks.leaderboard.protocol import begin, train
from benchmarks.leaderboard.task import IGNORED, Preset, Split, Splits, Task, cross_entropy, loss
from benchmarks.leaderboard.tasks import TASKS
from replications.experiment.sharing import claimed


def splits() -> Splits:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(90, 5, generator=rng)
    y = (x @ torch.randn(5, 3, generator=rng)).argmax(1)
    return Splits(*[Split(x[i : i + 30], y[i : i + 30]) for i in (0, 30, 60)], "drawn")


def task(**changes) -> Task:
    tiny = Task(
        name="tiny",
        title="tiny",
        data=lambda preset, data_dir: splits(),
        build=lambda splits: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)),
        kind="classes",
        head="2.",
        batch=10,
        presets={"quick": Preset(samples=None, epochs=3, tuning_epochs=2, rates=(1e-3, 1e-2), seeds=3)},
    )
    return replace(tiny, **changes)


def numbers(done):
    """Of a row, what must not depend on time and machine."""
    return {key: done[key] for key in ("status", "settings", "tried", "runs", "rate")}


def test_the_limits_of_recovery_are_where_a_paired_t_test_says_so():
    """Fieller's interval inverts the test: any other limits would claim more or less than the seeds show."""
    a, b = np.array([0.8, 1.1, 0.7, 0.9]), np.array([1.4, 1.7, 1.6, 1.2])
    found = of_ratio(a.tolist(), b.tolist())
    assert found.low < found.value < found.high
    for limit in (found.low, found.high):
        assert stats.ttest_1samp(a - limit * b, 0).pvalue == pytest.approx(0.05, abs=1e-9)
    assert found.value == pytest.approx(a.mean() / b.mean())


def test_recovery_is_unbounded_where_backprop_is_not_told_from_the_control():
    """A ratio to a difference that may be zero says nothing, however sharp the rule's own score is."""
    found = recovery([5.0, 5.0, 5.1], [1.0, 9.0, 5.0], [5.0, 4.0, 6.0])
    assert found.low == -np.inf
    assert found.high == np.inf


@pytest.mark.parametrize(("backprop", "frozen", "nothing"), [(41.0, 50.0, True), (50.0, 41.0, False)])
def test_nothing_is_recovered_where_the_frozen_control_is_better_than_backprop(backprop, frozen, nothing):
    """The ratio would turn round: the worst rule of all would have recovered most."""
    rows = {
        rule: {"status": "finished", "runs": {str(seed): {"test": score + seed} for seed in range(3)}}
        for rule, score in (("bp", backprop), ("shallow", frozen), ("dfa", 30.0))
    }
    assert (table.recovered(task(), "dfa", rows) is None) == nothing
    assert table.order(task(), ["dfa"], rows) == ([] if nothing else ["dfa"])


def test_the_overview_tells_a_rule_that_failed_from_one_that_was_not_run():
    """An empty cell for both would hide what the library refuses."""
    finished = {
        rule: {"status": "finished", "runs": {str(seed): {"test": score + seed} for seed in range(3)}}
        for rule, score in (("bp", 90.0), ("shallow", 40.0), ("dfa", 65.0))
    }
    rows = finished | {"ifa": {"status": "refused"}, "sg": {"status": "diverged"}}
    lines = [line.split("|") for line in table.overview({"tiny": (task(), rows)}).splitlines() if "`" in line]
    found = {rule.strip(): cell.strip() for _, rule, cell, _ in lines}
    assert found.pop("`dfa`") == "0.50"
    assert found.pop("`ifa`") == "no"
    assert found.pop("`sg`") == "diverged"
    assert set(found.values()) == {""}


def test_recovery_is_one_for_backprop_and_zero_for_the_control():
    """The two ends of the scale, for scores that fall as well as for those that rise."""
    backprop, frozen = [9.0, 9.5, 9.2], [30.0, 29.0, 31.0]
    assert tuple(recovery(backprop, backprop, frozen)) == pytest.approx((1, 1, 1))
    assert tuple(recovery(frozen, backprop, frozen)) == pytest.approx((0, 0, 0))


def test_networks_of_one_seed_are_equal_under_every_rule():
    """Paired differences need pairs: a rule that draws before the network would shift its weights."""
    first = [begin(task(), rule, 7, splits())[0].state_dict() for rule in ("bp", "dfa", "sg", "shallow")]
    for other in first[1:]:
        for name, weight in first[0].items():
            assert torch.equal(weight, other[name])


def test_the_choice_of_a_rate_does_not_read_the_test_data():
    """Tuning on test data would make each row an upper bound, and of tuned rules most of all."""
    unreadable = splits()._replace(test=None)
    assert train(task(), "dfa", 1e-2, 0, unreadable, 2, test=False).test is None
    with pytest.raises(AttributeError):
        train(task(), "dfa", 1e-2, 0, unreadable, 2, test=True)


def test_a_cut_row_goes_on_to_the_numbers_of_an_uncut_one(tmp_path, monkeypatch):
    """The reported seeds must not depend on where a machine was stopped, and the row re-run gives the same."""
    whole = row.run(task(), "dfa", "quick", splits(), tmp_path / "whole")
    calls = []

    def cut(*arguments, **options):
        calls.append(arguments[3])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(row, "train", cut)
    with pytest.raises(KeyboardInterrupt):
        row.run(task(), "dfa", "quick", splits(), tmp_path / "cut")
    resumed = row.run(task(), "dfa", "quick", splits(), tmp_path / "cut")
    assert numbers(resumed) == numbers(whole)
    assert calls == [1000, 1000, 0, 1, 1, 2], "a run was repeated, or a reported seed is the tuning seed"
    row.run(task(), "dfa", "quick", splits(), tmp_path / "cut")
    assert len(calls) == 6


def test_costs_are_measured_again_and_nothing_else(tmp_path, monkeypatch):
    """Rows that were trained on a busy machine would keep its times; trained again they would cost hours."""
    assert row.cost_again(task(), "dfa", "quick", splits(), tmp_path) is None
    done = row.run(task(), "dfa", "quick", splits(), tmp_path)
    monkeypatch.setattr(row.cost, "measure", lambda *_: {"time": 0.5})
    again = row.cost_again(task(), "dfa", "quick", splits(), tmp_path)
    assert again == done | {"cost": {"time": 0.5}}
    assert json.loads((tmp_path / "quick" / again["task"] / "dfa.json").read_text()) == again


def test_a_row_trained_once_more_says_whether_its_numbers_are_the_same(tmp_path):
    """A page whose rows cannot be had again is no reference; the note must be able to say no."""
    done = row.run(task(), "dfa", "quick", splits(), tmp_path)
    noted = row.again(task(), "dfa", "quick", splits(), tmp_path)
    assert noted == done | {"again": {"same": True, "commit": done["environment"]["commit"]}}
    done["runs"]["0"]["test"] += 1e-6
    row.write(row.path_of(tmp_path, "tiny", "dfa", "quick"), done)
    assert not row.again(task(), "dfa", "quick", splits(), tmp_path)["again"]["same"]
    assert row.again(task(), "fa", "quick", splits(), tmp_path) is None


def test_perplexity_is_that_of_the_network_and_ignores_what_is_not_scored(tmp_path):
    """It decides the order of readouts on the page; a mean over padding too would be too low."""
    done = row.run(task(readouts=True), "bp", "quick", splits(), tmp_path)
    net = train(task(), "bp", done["rate"], 0, splits(), 3, test=True).net
    x, y = splits().test
    expected = nn.functional.cross_entropy(net(x), y).item()
    assert done["runs"]["0"]["cross_entropy"] == pytest.approx(expected, rel=1e-6)
    padded = Split(torch.cat([x, x]), torch.cat([y, torch.full_like(y, IGNORED)]))
    assert cross_entropy(net, padded) == pytest.approx(expected, rel=1e-6)
    other = row.run(task(readouts=True), "shallow", "quick", splits(), tmp_path)
    pairs = zip(other["runs"].values(), done["runs"].values())
    differences = [mine["cross_entropy"] - theirs["cross_entropy"] for mine, theirs in pairs]
    low, high = stats.t.interval(0.95, 2, np.mean(differences), stats.sem(differences))
    assert tuple(table.further(other, done)) == pytest.approx((np.mean(differences), low, high))
    mean = sum(run["cross_entropy"] for run in done["runs"].values()) / 3
    assert table.perplexity(done).value == pytest.approx(np.exp(mean))


def test_the_rate_of_a_row_is_the_best_on_held_out_data(tmp_path):
    """Each row is tuned alone: the rate of another, or the last one tried, would be no comparison."""
    done = row.run(task(), "dfa", "quick", splits(), tmp_path)
    assert done["rate"] == float(max(done["tried"], key=done["tried"].get))
    falling = task(kind="values")
    assert protocol.better(falling, {1.0: 3.0, 2.0: 2.0, 3.0: float("nan")}) == 2.0
    assert protocol.better(task(), {1.0: 3.0, 2.0: 2.0, 3.0: float("nan")}) == 1.0


def test_a_refused_rule_stays_with_the_words_of_the_library(tmp_path):
    """A rule that is missing from the table looks as if nobody had tried."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 5))

        def forward(self, x):
            return torch.cdist(x, self.weight)

    odd = task(build=lambda splits: nn.Sequential(nn.Linear(5, 5), Odd(), nn.Linear(8, 3)))
    rows = {rule: row.run(odd, rule, "quick", splits(), tmp_path) for rule in ("bp", "shallow", "fa")}
    refused = rows["fa"]
    assert refused["status"] == "refused"
    assert "cannot govern 1 (Odd)" in refused["reason"]
    (line,) = [line for line in table.table(odd, rows).splitlines() if line.startswith("| `fa` |")]
    assert "**refused**: The rule cannot govern 1 (Odd)" in line


def test_a_rule_that_diverges_stays_with_no_score(tmp_path):
    """A mean over the seeds that survived would hide the others."""
    wild = Preset(samples=None, epochs=3, tuning_epochs=2, rates=(1e36,), seeds=3)
    done = row.run(task(presets={"quick": wild}), "bp", "quick", splits(), tmp_path)
    assert done["status"] == "diverged"
    assert table.recovered(task(), "dfa", {"bp": done, "shallow": done, "dfa": done}) is None


def test_a_row_of_other_settings_is_not_taken_for_this_one(tmp_path):
    """Else a new budget would be reported with the numbers of the old one."""
    row.run(task(), "shallow", "quick", splits(), tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        row.run(task(decay=0.5), "shallow", "quick", splits(), tmp_path)


@pytest.mark.parametrize(("first", "wins"), [((1e-4, 1e-3), True), ((1e-3, 1e-2), False)])
def test_a_row_continues_with_the_learning_rates_that_were_added(first, wins, tmp_path):
    """A best rate at the edge of the list asks for a longer list; the runs that the new rates do not change are kept."""
    added = 1e-2 if wins else 1e-5
    every = tuple(sorted((*first, added)))

    def rated(*rates: float) -> Task:
        return task(presets={"quick": replace(task().presets["quick"], rates=rates)})

    row.run(rated(*first), "fa", "quick", splits(), tmp_path / "cut")
    before = row.again(rated(*first), "fa", "quick", splits(), tmp_path / "cut")
    after = row.run(rated(*every), "fa", "quick", splits(), tmp_path / "cut")
    assert numbers(after) == numbers(row.run(rated(*every), "fa", "quick", splits(), tmp_path / "whole"))
    assert (after["rate"] == added) == wins
    assert after["cost"] == before["cost"], "measured beside other work, perhaps"
    assert before["again"]["same"]
    assert "again" not in after, "no one has trained the longer list again"
    assert (after["runs"] == before["runs"]) != wins
    with pytest.raises(ValueError, match="other settings"):
        row.run(rated(*first), "fa", "quick", splits(), tmp_path / "cut")


def test_a_row_that_another_process_has_claimed_is_left_to_it(tmp_path):
    """Two machines on one folder would train every row twice."""
    with claimed(tmp_path, "quick-tiny-dfa"):
        assert row.run(task(), "dfa", "quick", splits(), tmp_path) is None


def test_the_angle_of_backprop_is_zero_and_another_rules_is_not():
    """The angle is the column that shows whether a rule was really in force."""
    for rule, most in (("bp", 0.1), ("dfa", 180)):
        done = train(task(), rule, 1e-3, 0, splits(), 1, test=False)
        found = to_backprop(task(), rule, done.net, done.attached, splits())
        assert list(found) == ["0.weight"], "the head has no angle"
        assert found["0.weight"] <= most
        assert rule == "bp" or found["0.weight"] > 5


def test_saved_bytes_are_those_that_pytorch_packs():
    """Backprop's are the denominator of a column: a storage counted twice, or a weight, would hide what a rule saves."""
    net, attached = begin(task(), "bp", 0, splits())
    kept = {p.untyped_storage().data_ptr() for p in net.parameters()}
    packed = {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in kept:
            packed[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    batch = splits().train
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        value = attached.loss(loss(task(), "bp", net(batch.x), batch.y))
    value.backward()
    expected = sum(tensor.untyped_storage().nbytes() for tensor in packed.values())
    assert saved_bytes(task(), "bp", *begin(task(), "bp", 0, splits()), batch) == expected > 0


@pytest.mark.parametrize("rule", ["bp", "kickback"])
def test_what_is_not_scored_has_no_gradient(rule):
    """The same for the loss itself, of the exceptional rule too."""
    output = torch.randn(3, 4, requires_grad=True)
    loss(task(), rule, output, torch.tensor([1, IGNORED, 3])).backward()
    assert output.grad[1].abs().max() == 0 < output.grad[0].abs().max()


@pytest.mark.parametrize("kind", ["", "-cheb", "-gat"])
def test_a_graph_trains_on_no_label_of_its_test_nodes(kind):
    """All nodes are inputs of every batch: one label too many in the targets, and a local rule has seen the test set."""
    pytest.importorskip("torch_geometric")
    from benchmarks.leaderboard.tasks import graphs

    rng = torch.Generator().manual_seed(0)
    edges = torch.randint(30, (2, 90), generator=rng)
    x, y = torch.rand(30, 6, generator=rng), torch.randint(3, (30,), generator=rng)
    order = torch.randperm(30, generator=rng)
    masks = [torch.zeros(30, dtype=torch.bool).index_fill(0, part, True) for part in order.split(10)]

    def weights(labels):
        parts = [Split(x, labels.where(mask, torch.tensor(IGNORED))) for mask in masks]
        tiny = task(build=partial(graphs._build, kind), batch=None, head="head.")
        net = train(tiny, "lafs", 1e-2, 0, Splits(*parts, "drawn", edges), 3, test=False).net
        return next(weight for weight in net.first.parameters() if weight.ndim == 2)

    expected = weights(y)
    assert torch.equal(weights(torch.where(masks[0], y, (y + 1) % 3)), expected)
    assert not torch.equal(weights(torch.where(masks[0], (y + 1) % 3, y)), expected)


def test_sums_that_are_kept_are_those_of_the_features_at_hand():
    """The Chebyshev tasks keep what never changes; kept for other features, it would be another network's."""
    pytest.importorskip("torch_geometric")
    from torch_geometric.nn import ChebConv

    from benchmarks.leaderboard.tasks import graphs

    edges = torch.randint(30, (2, 90), generator=torch.Generator().manual_seed(0))
    net = graphs.Graph("-cheb", 6, 3, edges)
    plain = ChebConv(6, graphs.HIDDEN, K=2)
    plain.load_state_dict(net.first.state_dict())
    x, other = torch.rand(2, 30, 6)
    for features in (x, other, x, x):
        assert torch.equal(net.first(features, edges), plain(features, edges))


@pytest.mark.parametrize("name", ["teacher2", "teacher100", "cue", "cue-cell"])
def test_drawn_tasks_score_a_network_that_knows_the_answer(name):
    """A teacher or cue whose labels are not a function of the inputs would show every rule at chance."""
    drawn = TASKS[name].data(Preset(samples=600, epochs=1, tuning_epochs=1), None)
    if name == "cue":
        assert all((y[:, :-1] == IGNORED).all() for _, y in drawn[:3])
    if name.startswith("cue"):
        assert all((x[:, 0].argmax(-1) == y.view(len(y), -1)[:, -1]).float().mean() > 0.99 for x, y in drawn[:3])
        return
    classes = int(name.removeprefix("teacher"))
    rng = torch.Generator().manual_seed(classes)
    torch.randn(600 + 5000, 64, generator=rng)
    first, second = torch.randn(64, 8, generator=rng), torch.randn(8, classes, generator=rng)
    assert all(((torch.tanh(x @ first / 4) @ second).argmax(1) == y).all() for x, y in drawn[:3])
    inputs = {tuple(row) for row in drawn.train.x.tolist()}
    assert not inputs & {tuple(row) for row in drawn.test.x.tolist()}


@pytest.fixture
def play(tmp_path):
    """A folder with a text of 300 short lines in the place of tiny Shakespeare."""
    rng = np.random.default_rng(0)
    lines = ["".join(rng.choice(list("abcdef "), size=rng.integers(3, 30))) for _ in range(300)]
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("\n\n".join(lines), encoding="utf-8")
    return tmp_path


def test_padded_lines_are_scored_up_to_their_end_and_by_tied_weights(play):
    """What is behind the end of a line must reach no gradient, and the embedding must be the head's own weight."""
    lines = TASKS["shakespeare-lines"]
    drawn = lines.data(Preset(samples=50, epochs=1, tuning_epochs=1), play)
    x, y = drawn.train
    inside = y != IGNORED
    assert inside.any(1).all()
    assert not inside.all(1).any()
    assert torch.equal(x[:, 1:][inside[:, 1:]], y[:, :-1][inside[:, 1:]]), (
        "the target of a step is the next step's input"
    )
    spoiled = Split(torch.where(inside, x, (x + 1) % 8), y)
    gradients = []
    for batch in (Split(x, y), spoiled):
        net, attached = begin(lines, "lafs", 0, drawn)
        assert net.head.weight is net.embedding.weight
        protocol.step(lines, "lafs", net, attached, batch)
        gradients.append([p.grad for p in net.parameters() if p.requires_grad])
    assert len(gradients[0]) > 10
    for mine, theirs in zip(*gradients):
        torch.testing.assert_close(mine, theirs)


def test_readouts_are_compared_under_one_normalisation(play):
    """The figure would compare two things at once if `solo`'s own normalisation changed what its readout sees."""
    shakespeare = TASKS["shakespeare"]
    drawn = shakespeare.data(Preset(samples=4, epochs=1, tuning_epochs=1), play)
    net = shakespeare.build(drawn)
    h = net.layers[0](net.embedding(drawn.train.x) + net.position).flatten(0, 1)
    y = drawn.train.y.flatten()
    feedback = {"W": net.head.weight}
    found = fa.SharedOutputLocalLearning().local_loss(h, y, feedback)
    torch.testing.assert_close(found, nn.functional.cross_entropy(h @ net.head.weight.T, y), rtol=1e-4, atol=1e-4)


def test_controls_of_another_task_are_those_of_this_one(play):
    """Sublayers borrow the rows of layers; if blocks changed them, recovery would be measured against another network."""
    few = Preset(samples=8, epochs=1, tuning_epochs=1)
    ends = {
        (name, rule): train(TASKS[name], rule, 1e-2, 0, TASKS[name].data(few, play), 1, test=False).net.state_dict()
        for name in ("shakespeare", "shakespeare-sublayers")
        for rule in table.CONTROLS
    }
    assert TASKS["shakespeare-sublayers"].controls == "shakespeare"
    for rule in table.CONTROLS:
        mine, theirs = ends["shakespeare-sublayers", rule], ends["shakespeare", rule]
        assert all(torch.equal(mine[name], weight) for name, weight in theirs.items())


@pytest.mark.parametrize(("name", "count"), [("shakespeare", 3), ("shakespeare-sublayers", 5)])
def test_blocks_are_layers_or_sublayers(name, count, play):
    """Else the two tasks would be one."""
    drawn = TASKS[name].data(Preset(samples=4, epochs=1, tuning_epochs=1), play)
    _, attached = begin(TASKS[name], "dfa", 0, drawn)
    assert len(attached.blocks) == count


def test_the_page_is_not_stale():
    """Run `python -m benchmarks.leaderboard table` after rows, tasks or rules change."""
    assert page.update(check=True)


def test_every_shown_row_has_three_seeds_and_the_settings_of_its_task():
    """A committed row whose preset has changed since would stand under a heading that is not its own."""
    for file in row.RESULTS.glob("*/*/*.json"):
        content = json.loads(file.read_text())
        name, preset = file.parent.name, file.parent.parent.name
        assert content["name"] in fa.RULES
        budget = json.loads(json.dumps(asdict(TASKS[name].presets[preset])))
        assert content["settings"] == content["settings"] | budget
        assert content["status"] != "finished" or len(content["runs"]) >= 3
        assert "dirty" not in content["environment"]["commit"]


@pytest.mark.parametrize("file", sorted(row.RESULTS.glob("*/*/bp.json")), ids=lambda file: file.parent.name)
def test_the_rate_of_backpropagation_is_not_at_the_edge_of_its_list(file):
    """Every recovery is a share of what backpropagation learns, which would be less than it can learn."""
    content = json.loads(file.read_text())
    rates = content["settings"]["rates"]
    assert min(rates) < content["rate"] < max(rates)
