"""What targets mean to rules that read them: classes, values, or nothing at all where the user masks them away."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import assert_close, assert_same, distance, own, read

EPS = torch.finfo(torch.float64).eps
N, K = 6, 4
LAFS = fa.LinearAlignedFeedback
reading = pytest.mark.parametrize("rule", ["lafs", "local", "drtp", "sg", "sgprop"])


def network(outputs: int = K) -> nn.Sequential:
    """The same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, outputs)]
        return nn.Sequential(*layers).double()


def attach(model: nn.Module, rule: str | fa.Rule, **settings) -> fa.Attached:
    """With learned feedback that says something."""
    attached = fa.attach(model, rule, **settings)
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for b in attached.feedback.values():
            if isinstance(b, nn.Parameter):
                b.copy_(0.3 * torch.randn(b.shape, generator=rng))
    return attached


def step(attached: fa.Attached, x: Tensor, y: Tensor, loss) -> dict[str, Tensor]:
    attached.model.zero_grad()
    attached.targets = y
    attached.loss(loss(attached.model(x))).backward()
    return read(attached.model)


@pytest.mark.parametrize("rule", ["lafs", LAFS(loss="cross_entropy"), "local", fa.LocalLosses(loss="sim")], ids=str)
def test_one_output_has_no_classes_and_is_refused_before_training(rule):
    """The softmax of one output is 1 whatever it is: all hidden gradients would be exactly zero, and the head learn alone."""
    with pytest.raises(ValueError, match=r"one output.*LinearAlignedFeedback\(loss=\"binary_cross_entropy\"\)"):
        fa.attach(network(1), rule)
    maps = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 1))
    with pytest.raises(ValueError, match="one output"):
        fa.attach(maps, rule, example=torch.randn(2, 1, 4, 4))
    assert type(maps[0]) is nn.Conv2d


@pytest.mark.parametrize("rule", ["lafs", "local"])
def test_values_are_not_taken_for_class_probabilities(rule):
    """Cross-entropy accepts any floats as a distribution, negative ones too, and blocks would descend nonsense."""
    for y in (torch.randn(N, K).double(), torch.rand(N, K).double()):
        attached = fa.attach(network(), rule)
        with pytest.raises(ValueError, match=r"probabilities.*LinearAlignedFeedback\(loss=\"mse\"\)"):
            step(attached, torch.randn(N, 7).double(), y, lambda out: out.square().mean())
        attached.detach()


@pytest.mark.parametrize("rule", ["lafs", "local"])
def test_class_probabilities_stay_targets_of_a_cross_entropy(rule):
    """Label smoothing and mixup make them; one-hot rows must give what the classes give."""
    x, y = torch.randn(N, 7).double(), torch.randint(K, (N,))
    by_class = step(attach(network(), rule), x, y, lambda out: F.cross_entropy(out, y))
    for rows in (F.one_hot(y, K).double(), F.one_hot(y, K)):
        by_row = step(attach(network(), rule), x, rows, lambda out: F.cross_entropy(out, y))
        assert_close(by_row, by_class, EPS)


@pytest.mark.parametrize("loss", ["mse", "binary_cross_entropy"])
@pytest.mark.parametrize("shape", [(N,), (N, 1)])
@pytest.mark.parametrize("whole", [False, True], ids=["float", "int"])
def test_one_output_learns_from_values_under_a_loss_for_values(loss, shape, whole):
    """Labels of a binary problem come as integers or floats, in a column or not; each row has one value in every case."""
    function = {"mse": F.mse_loss, "binary_cross_entropy": F.binary_cross_entropy_with_logits}[loss]
    model, x, y = network(1), torch.randn(N, 7).double(), torch.randint(2, (N,)).double()
    attached = fa.attach(model, LAFS(loss=loss))
    given = (y.long() if whole else y).reshape(shape)
    ours = step(attached, x, given, lambda out: function(out, y[:, None]))
    W, b = model[0].weight, model[0].bias
    readout = torch.tanh(F.linear(x, W, b)) @ attached.feedback["0"]
    expected = torch.autograd.grad(function(readout, y[:, None]), [W, b])
    assert_close({n: ours[f"0.{n}"] for n in ("weight", "bias")}, dict(zip(("weight", "bias"), expected)), EPS)


def test_targets_of_another_number_are_named():
    """Integer classes under a loss for values, and maps of classes, ended in an error of PyTorch's that names no rule."""
    x = torch.randn(N, 7).double()
    cases = [
        (LAFS(loss="mse"), torch.randint(K, (N,)), r"loss=\"mse\".*values.*\(6, 4\).*got.*\(6,\)"),
        (LAFS(loss="mse"), torch.randn(N).double(), r"\(6, 4\).*got.*\(6,\)"),
        ("lafs", torch.randint(K, (N, 3, 3)), r"one class per row.*got.*\(6, 3, 3\)"),
        ("drtp", torch.randn(N, 3).double(), r"\(6, 4\).*got.*\(6, 3\)"),
        ("local", torch.randint(K, (N - 1,)), r"got.*\(5,\)"),
    ]
    for rule, y, message in cases:
        with pytest.raises(ValueError, match=message):
            step(fa.attach(network(), rule), x, y, lambda out: out.sum())


def test_target_projection_takes_one_output_by_its_value():
    """One-hot needs more than one class: the labels 0 and 1 would be classes 0 and 'out of range'."""
    model, x, y = network(1), torch.randn(N, 7).double(), torch.randn(N).double()
    attached = fa.attach(model, "drtp")
    ours = step(attached, x, y, lambda out: F.mse_loss(out, y[:, None]))
    h = torch.tanh(F.linear(x, model[0].weight, model[0].bias))
    delta = y[:, None] @ attached.feedback["0"].T / N * (1 - h**2)
    assert distance(ours["0.weight"], delta.T @ x) <= 64 * EPS
    with pytest.raises(ValueError, match=r"one output.*float"):
        step(attached, x, torch.randint(2, (N,)), lambda out: out.sum())


@reading
@pytest.mark.parametrize("label", [K, -1])
def test_labels_that_are_no_class_are_named(rule, label):
    """A label -1 is the last class to an index and a row of zeros to a comparison: neither is what the data says."""
    y = torch.tensor([0, 1, 2, 3, label, 0])
    with pytest.raises(ValueError, match=rf"{label}.*0 \.\. {K - 1}.*-100"):
        step(fa.attach(network(), rule), torch.randn(N, 7).double(), y, lambda out: out.sum())


@reading
def test_ignored_labels_count_for_nothing(rule):
    """Padding must not train: gradients are those of the rows that count, and the mean divides by their number."""
    x, y = torch.randn(N, 7).double(), torch.randint(K, (N,))
    keep = torch.tensor([True, False, True, True, False, True])
    masked = y.masked_fill(~keep, -100)
    ours = step(attach(network(), rule), x, masked, lambda out: F.cross_entropy(out, masked))
    expected = step(attach(network(), rule), x[keep], y[keep], lambda out: F.cross_entropy(out, y[keep]))
    assert_close(ours, expected, EPS)


@reading
def test_a_batch_of_ignored_labels_alone_trains_no_block(rule):
    """0/0 in a mean over no rows would put NaN into every weight."""
    y = torch.full((N,), -100)
    ours = step(attach(network(), rule), torch.randn(N, 7).double(), y, lambda out: 0 * out.sum())
    assert not any(g.any() for g in ours.values())


@pytest.mark.parametrize("rule", ["drtp", "sg", "sgprop"])
def test_a_row_without_any_value_counts_for_nothing(rule):
    """One NaN in the targets once put NaN into every weight that a predictor trains."""
    x, y, gone = torch.randn(N, 7).double(), torch.randn(N, K).double(), torch.arange(N) % 3 == 1
    y[0, 2] = torch.nan  # a row that counts

    def loss(out: Tensor, y: Tensor) -> Tensor:
        rows = ~y.isnan().all(1)
        return F.mse_loss(out[rows], y[rows].nan_to_num())

    masked = y.masked_fill(gone[:, None], torch.nan)
    ours = step(attach(network(), rule), x, masked, lambda out: loss(out, masked))
    for others in (y[~gone], y[~gone].nan_to_num()):
        expected = step(attach(network(), rule), x[~gone], others, lambda out: loss(out, y[~gone]))
        assert_close(ours, expected, EPS)


@pytest.mark.parametrize("loss", ["mse", "binary_cross_entropy"])
def test_values_that_are_not_a_number_count_for_nothing(loss):
    """Missing labels of one task must not silence the others of that sample."""
    function = {"mse": F.mse_loss, "binary_cross_entropy": F.binary_cross_entropy_with_logits}[loss]
    model, x, y = network(), torch.randn(N, 7).double(), torch.rand(N, K).double()
    keep = torch.rand(N, K) > 0.4
    attached = fa.attach(model, LAFS(loss=loss))
    ours = step(attached, x, y.masked_fill(~keep, torch.nan), lambda out: function(out[keep], y[keep]))
    readout = torch.tanh(F.linear(x, model[0].weight, model[0].bias)) @ attached.feedback["0"]
    (expected,) = torch.autograd.grad(function(readout[keep], y[keep]), model[0].weight)
    assert distance(ours["0.weight"], expected) <= 64 * EPS


class Graph(nn.Module):
    """Scores the nodes of a graph, whose edges mix their features between the layers."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.edges = edges
        self.low, self.top = nn.Linear(7, 8), nn.Linear(8, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.edges @ torch.tanh(self.low(self.edges @ x)))


@reading
def test_labels_of_masked_nodes_reach_no_block(rule):
    """Test labels of a graph lie in the batch: one that leaks into a local loss is training on the test set."""
    edges = torch.softmax(torch.randn(N, N), 1).double()
    x, y, train = torch.randn(N, 7).double(), torch.randint(K, (N,)), torch.arange(N) < 3
    results = []
    for labels in (y, torch.where(train, y, (y + 1) % K)):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            attached = attach(Graph(edges).double(), rule)

        def loss(out: Tensor, labels: Tensor = labels) -> Tensor:
            return F.cross_entropy(out[train], labels[train])

        results.append(step(attached, x, labels.masked_fill(~train, -100), loss))
    assert_same(*results)
    assert all(g.any() for g in own(results[0]).values())


def test_classes_per_pixel_are_refused_with_what_a_position_is():
    """PyTorch's own message spoke of 0D or 1D targets, and named neither the rule nor the block."""
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 4, 3, padding=1))
    attached = fa.attach(net, "lafs")
    attached.targets = torch.randint(4, (2, 6, 6))
    with pytest.raises(ValueError, match="the pixels of a convolution are no rows"):
        net(torch.randn(2, 2, 6, 6))


CLASSES, VALUES = torch.tensor([0, 1, 2, 3, 0, 1]), torch.linspace(-1, 1, N * K).reshape(N, K).double()
every_local = pytest.mark.parametrize("rule", ["lafs", "local", "drtp", "solo"])


def padded(out: Tensor) -> Tensor:
    return F.cross_entropy(out, CLASSES, ignore_index=0)


def masked(out: Tensor) -> Tensor:
    return ((out - VALUES).square() * (torch.arange(N * K).reshape(N, K) % 5 > 0)).sum()


@pytest.mark.parametrize(
    ("rule", "y", "loss", "lost"),
    [
        *((rule, CLASSES, padded, "2 of 6") for rule in ("lafs", "local", "drtp", "solo")),
        (LAFS(loss="mse"), VALUES, masked, "5 of 24"),
        (fa.SharedOutputLocalLearning(loss="mse"), VALUES, masked, "5 of 24"),
        ("drtp", VALUES, masked, "5 of 24"),
    ],
    ids=("lafs", "local", "drtp", "solo", "lafs-values", "solo-values", "drtp-values"),
)
def test_a_loss_that_leaves_out_what_the_blocks_learn_from_is_warned_of_once(rule, y, loss, lost):
    """`ignore_index=0` is how texts are padded: most rows of a batch would teach all hidden blocks the padding."""
    attached = attach(network(), rule, example=torch.randn(2, 7).double())
    x = torch.randn(N, 7).double()
    with pytest.warns(UserWarning, match=rf"{lost} targets have no error.*ignore_index"):
        step(attached, x, y, loss)
    step(attached, x, y, loss)  # a warning would be an error


@every_local
def test_targets_that_are_masked_for_the_rule_too_are_not_warned_of(rule):
    """Also where every row counts, and where the network's output is scored by something that all rows enter."""
    for targets, loss in (
        (CLASSES.masked_fill(CLASSES == 0, -100), padded),
        (CLASSES, lambda out: F.cross_entropy(out, CLASSES)),
        (CLASSES, lambda out: out.square().sum()),
    ):
        attached = attach(network(), rule, example=torch.randn(2, 7).double())
        step(attached, torch.randn(N, 7).double(), targets, loss)
