"""What users do wrong, and what they are told before training time is spent: one row each.

A row is (what the user does, the exception, the words that say what to do or what was expected).
"""

import re
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from lightning.fabric.utilities.exceptions import MisconfigurationException as Misconfigured
from lightning.pytorch import LightningModule, Trainer
from torch import nn

import lightning_fa as fa
from lightning_fa import callbacks, metrics
from tests.lightning_net import Net, OwnRule, batches, loader, trainer
from tests.problems import PROBLEMS, mlp

X, Y = PROBLEMS["mlp"].batch()
"""Eight samples, five classes."""

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own, on what is made to fail


# -- the users ------------------------------------------------------------------------------------------------------------


def step(model, rule="dfa", x=X, y=Y, loss=F.cross_entropy, **settings):
    attached = fa.attach(model, rule, **settings)
    attached.targets = y
    attached.loss(loss(model(x), y)).backward()


def total(output, _):
    """A loss that does not look at the targets, so that the rule has to."""
    return output.sum()


def scalar():
    return nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 1))


def values(rule):
    step(scalar(), rule, y=Y[:, None].float(), loss=F.mse_loss)


class Forked(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(10, 4), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        h = self.a(x)
        return self.b(h), self.c(h)


class Unfinished(fa.TransportRule):
    """Without a carrier."""


@dataclass(frozen=True, kw_only=True)
class Transposed(fa.DirectRule):
    def initial(self, name, width, outputs):
        return torch.zeros(outputs, width)

    def deliver(self, e, feedback):
        return e @ feedback.T


class Undecorated(fa.DirectRule):
    def initial(self, name, width, outputs):
        return torch.zeros(width, outputs)

    def deliver(self, e, feedback):
        return e @ feedback.T


class Manual(Net):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False


class Mapped(Net):
    def training_step(self, batch, batch_idx):
        return self.loss(batch["x"], batch["cls"])


class Ruleless(fa.FeedbackMixin, Net):
    pass


MAPPED = [{"x": X, "cls": Y}]


def twice():
    model = mlp()
    fa.attach(model, "dfa")
    fa.attach(model, "fa")


def optimizer_first():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    fa.attach(model, "kp")
    F.cross_entropy(model(X), Y).backward()
    optimizer.step()


class Distances(nn.Module):
    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return torch.cdist(x, self.centres)


def normed():
    model = mlp()
    nn.utils.parametrizations.weight_norm(model[0])
    fa.attach(model, "fa")


def loss_forgotten(rule):
    model = mlp()
    fa.attach(model, rule).targets = Y
    F.cross_entropy(model(X), Y).backward()


def targets_forgotten():
    model = mlp()
    attached = fa.attach(model, "lafs")
    attached.targets = Y
    for x in (X, -X):
        attached.loss(model(x).sum()).backward()


def continued(before, after, build=mlp):
    fa.attach(mlp(), after).load_state_dict(fa.attach(build(), before).state_dict())


class Called(Net):
    def forward(self, x):
        return self.net(x)


def fit(rule="dfa", data=None, module=None, monitors=(), **settings):
    run = trainer(fa.FeedbackStrategy(rule, **settings), callbacks=list(monitors))
    run.fit(module or Net(), loader(data or batches()))


def fit_mixin(module):
    trainer().fit(module, loader(batches()))


def mixin_behind():
    class Behind(LightningModule, fa.FeedbackMixin):
        rule = "dfa"


# -- what they are told ---------------------------------------------------------------------------------------------------

dfa = fa.DirectFeedbackAlignment

ROWS = {
    # attach
    "a rule that does not exist": (lambda: fa.attach(mlp(), "dfaa"), ValueError, "one of ['bidirectional', 'bp'"),
    "what is no module": (lambda: fa.attach([mlp()], "dfa"), TypeError, "a torch.nn.Module, but got list"),
    "a class in place of a rule": (lambda: fa.attach(mlp(), dfa), TypeError, "to be a rule or its name"),
    "no rule": (lambda: fa.attach(mlp(), None), TypeError, "to be a rule or its name"),
    "two rules": (twice, RuntimeError, "Call `attached.detach()` first"),
    "a network without weights": (lambda: fa.attach(nn.Sequential(nn.Tanh()), "dfa"), ValueError, "no weight matrix"),
    "a frozen teacher registered behind the network": (
        lambda: fa.attach(nn.ModuleDict({"net": mlp(), "teacher": mlp().requires_grad_(False)}), "dfa"),
        ValueError,
        "is registered last, so that its output would be scored, but all of it is frozen",
    ),
    "a block that is misspelt": (lambda: fa.attach(mlp(), "dfa", blocks=["layr*"]), ValueError, "matches no module"),
    "a block of another model": (
        lambda: fa.attach(mlp(), "dfa", blocks=[nn.Linear(2, 2)]),
        ValueError,
        "Linear given in `blocks` is not a module of the model",
    ),
    "a layer in no block": (lambda: fa.attach(mlp(), "dfa", blocks=["0", "4"]), ValueError, "Add their modules"),
    "a block in a block": (
        lambda: fa.attach(PROBLEMS["residual"].model(), "dfa", blocks=["stem", "units", "units.0", "head"]),
        ValueError,
        "Name one of the two in `blocks`",
    ),
    "blocks in the order of the way back": (
        lambda: step(mlp(), blocks=["4", "2", "0"]),
        RuntimeError,
        "Block '0' was called where '4' was expected",
    ),
    "an exception that is misspelt": (lambda: fa.attach(mlp(), "dfa", ungoverned="hed"), ValueError, "'hed' in `ungo"),
    "everything left out": (lambda: fa.attach(mlp(), "dfa", ungoverned="*"), ValueError, "no weight matrix to govern"),
    "a layer that nobody knows": (
        lambda: fa.attach(nn.Sequential(nn.Linear(4, 4), Distances()), "fa", example=torch.randn(2, 4)),
        RuntimeError,
        "cannot govern 1 (Distances)",
    ),
    "a weight that is normed": (normed, ValueError, "remove the parametrisation first"),
    "synthetic gradients of unknown width": (
        lambda: fa.attach(PROBLEMS["cnn"].model(), "sg"),
        ValueError,
        "Pass `example=`",
    ),
    "indirect feedback through pooling": (
        lambda: step(PROBLEMS["cnn"].model(), "ifa", *PROBLEMS["cnn"].batch()),
        ValueError,
        "Use strides instead, or another rule",
    ),
    "kickback with a softmax": (lambda: step(mlp(), "kickback"), RuntimeError, "a loss whose outputs are independent"),
    "a network of two outputs": (lambda: step(Forked()), RuntimeError, "Pass `example=`"),
    "a network of two outputs, shown": (
        lambda: fa.attach(Forked(), "dfa", example=torch.randn(2, 10)),
        ValueError,
        "ungoverned=['",
    ),
    "a recurrent head": (
        lambda: step(nn.Sequential(nn.Linear(4, 4), nn.GRU(4, 4)), x=torch.randn(2, 4)),
        TypeError,
        "returned a tuple, expected one tensor",
    ),
    "one network as a pair": (lambda: fa.attach(mlp(), "bidirectional"), ValueError, "Name them with `forward_net`"),
    # targets and losses
    "no targets": (lambda: step(mlp(), "lafs", y=None, loss=total), ValueError, "set `attached.targets = y`"),
    "lafs on one output": (lambda: values("lafs"), ValueError, 'Use LinearAlignedFeedback(loss="mse")'),
    "local losses on one output": (lambda: values("local"), ValueError, 'Use LinearAlignedFeedback(loss="mse")'),
    "lafs on values": (
        lambda: step(mlp(), "lafs", y=X[:, :5], loss=F.mse_loss),
        ValueError,
        'Use LinearAlignedFeedback(loss="mse")',
    ),
    "a class too many, lafs": (lambda: step(mlp(), "lafs", y=Y + 3, loss=total), ValueError, "the classes 0 .. 4"),
    "a class too many, sg": (lambda: step(mlp(), "sg", y=Y + 3, loss=total), ValueError, "the classes 0 .. 4"),
    "a negative class": (lambda: step(mlp(), "drtp", y=Y - 7, loss=total), ValueError, "ignored have the target -100"),
    "too few targets, lafs": (lambda: step(mlp(), "lafs", y=Y[:5], loss=total), ValueError, "targets for 8 rows"),
    "too few targets, sg": (lambda: step(mlp(), "sg", y=Y[:5], loss=total), ValueError, "targets for 8 samples"),
    "the targets of the last batch": (targets_forgotten, ValueError, "before every forward pass"),
    "lafs without the rule's loss": (lambda: loss_forgotten("lafs"), RuntimeError, "`loss = attached.loss(loss)`"),
    "signs without the rule's loss": (lambda: loss_forgotten("dfa_sign"), RuntimeError, "`loss = attached.loss(loss)`"),
    "a loss per sample": (lambda: fa.attach(mlp(), "lafs").loss(torch.ones(8)), ValueError, "to be a scalar"),
    # settings of rules
    "an initialiser that is misspelt": (lambda: dfa(init="unifrom"), ValueError, "one of ['gaussian', 'kaiming'"),
    "a number for an initialiser": (lambda: dfa(init=3), TypeError, "a name, a tensor or a tensor per layer name"),
    "numbers for initialisers": (lambda: dfa(init={"0": 3}), TypeError, "a name, a tensor or a tensor per layer name"),
    "feedback of a wrong shape": (
        lambda: fa.attach(mlp(), dfa(init=torch.zeros(3, 3))),
        ValueError,
        "has shape (3, 3), expected (12, 5)",
    ),
    "no feedback for a layer": (
        lambda: fa.attach(mlp(), dfa(init={"x": torch.zeros(3, 3)})),
        KeyError,
        "Add a tensor under that name",
    ),
    "shared orthogonal feedback": (lambda: dfa(init="orthogonal", shared=True), ValueError, "where feedback is shared"),
    "a scale that is a word": (lambda: fa.attach(mlp(), dfa(scale="big")), ValueError, "to be a finite number"),
    "a scale that is no number": (lambda: fa.attach(mlp(), dfa(scale=float("nan"))), ValueError, "a finite number"),
    "half a seed": (lambda: fa.attach(mlp(), dfa(seed=0.5)), TypeError, "`seed` to be an int"),
    "no seed": (lambda: fa.attach(mlp(), dfa(seed=None)), TypeError, "`seed` to be an int"),
    "a reduction that does not exist": (lambda: dfa(reduction="avg"), ValueError, "one of ['mean', 'sum']"),
    "a layout that does not exist": (lambda: dfa(spatial="conv"), ValueError, "one of ['dense', 'shared']"),
    "a setting that does not exist": (lambda: dfa(lr=1), TypeError, "unexpected keyword argument 'lr'"),
    "settings without names": (lambda: dfa(0), TypeError, "positional argument"),
    "settings changed in training": (lambda: setattr(dfa(), "seed", 1), AttributeError, "cannot assign to field"),
    "rank zero": (lambda: fa.LowRankDirectFeedbackAlignment(rank=0), ValueError, "an int of at least 1"),
    "half a rank": (lambda: fa.LowRankDirectFeedbackAlignment(rank=2.5), ValueError, "an int of at least 1"),
    "no connection": (lambda: fa.SparseDirectFeedbackAlignment(connections=0), ValueError, "to be at least 1"),
    "density zero": (lambda: fa.SparseFeedbackAlignment(density=0), ValueError, "to be in (0, 1]"),
    "density in percent": (lambda: fa.SparseFeedbackAlignment(density=50), ValueError, "to be in (0, 1]"),
    "a mirror without noise": (lambda: fa.WeightMirror(samples=0), ValueError, "to be at least 1"),
    "a readout loss that does not exist": (lambda: fa.LinearAlignedFeedback(loss="hinge"), ValueError, "'mse'"),
    "a local loss that does not exist": (
        lambda: fa.LocalLosses(loss="hinge"),
        ValueError,
        "['predsim', 'pred', 'sim']",
    ),
    "a predictor that does not exist": (lambda: fa.SyntheticGradient(predictor="cnn"), ValueError, "['linear', "),
    "predictor inputs that do not exist": (lambda: fa.SyntheticGradient(inputs="no"), ValueError, "['both', "),
    "a predictor of negative width": (lambda: fa.SyntheticGradient(hidden=-2), ValueError, "of the layer, or more"),
    "a negative warm-up": (lambda: fa.SyntheticGradient(warm_up=-1), ValueError, "0 forward passes or more"),
    "predictors at no block": (lambda: step(mlp(), fa.SyntheticGradient(at="x")), ValueError, "They are: 0, 2"),
    # rules of one's own
    "a rule without its function": (lambda: Unfinished(), TypeError, "abstract method"),
    "a rule of a wrong shape": (lambda: step(mlp(), Transposed()), ValueError, "Transposed.deliver for block '0'"),
    "a rule that is no dataclass": (lambda: fa.attach(mlp(), Undecorated()), TypeError, "`@dataclass(frozen=True"),
    "a rule with a name in capitals": (lambda: fa.register("My Rule", Transposed), ValueError, "lower case letters"),
    "a rule under a taken name": (lambda: fa.register("dfa", Transposed), ValueError, "Choose another"),
    "a rule object to register": (lambda: fa.register("mine", Transposed()), TypeError, "Expected a class of one of"),
    # checkpoints and optimizers
    "an optimizer older than the rule": (optimizer_first, RuntimeError, "Build the optimizer after the rule"),
    "another rule's checkpoint": (lambda: continued("fa", "dfa"), ValueError, "Use the same rule to continue"),
    "another seed's checkpoint": (lambda: continued(dfa(), dfa(seed=1)), ValueError, "seed: checkpoint 0, here 1"),
    "another network's checkpoint": (
        lambda: continued("fa", "fa", scalar),
        ValueError,
        "blocks: checkpoint ['0', '2']",
    ),
    # Lightning
    "a strategy of no rule": (lambda: Trainer(strategy="dfaa", logger=False), ValueError, "invalid strategy name"),
    "a strategy object of no rule": (lambda: fa.FeedbackStrategy("dfaa"), ValueError, "one of ['bidirectional', 'bp'"),
    "one device's strategy on two": (
        lambda: Trainer(strategy="dfa", accelerator="cpu", devices=2, logger=False),
        Misconfigured,
        "such as 'dfa_ddp'",
    ),
    "a rule in the module and one outside": (
        lambda: trainer("dfa").fit(OwnRule("dfa"), loader(batches())),
        Misconfigured,
        "or drop the mixin",
    ),
    "a rule's setting given to the strategy": (lambda: fa.FeedbackStrategy("dfa", seed=3), TypeError, "'seed'"),
    "the rule of a strategy before fit": (lambda: fa.FeedbackStrategy("dfa").attached, RuntimeError, "`Trainer.fit`"),
    "the rule of a module before fit": (lambda: OwnRule("dfa").attached, RuntimeError, "call `configure_model()`"),
    "the mixin behind the module": (mixin_behind, TypeError, "Name FeedbackMixin first"),
    "the mixin without a rule": (lambda: fit_mixin(Ruleless()), Misconfigured, "Set the attribute `rule`"),
    "the mixin with a rule that is misspelt": (lambda: fit_mixin(OwnRule("dfaa")), ValueError, "one of ['bid"),
    "a key that the batch lacks": (
        lambda: fit("lafs", MAPPED, Mapped(), targets="clas"),
        ValueError,
        "a dict with the keys ['x', 'cls']",
    ),
    "a batch without a usual key": (lambda: fit("lafs", MAPPED, Mapped()), ValueError, "Say where they are with"),
    "an index that the batch lacks": (lambda: fit("lafs", targets=5), ValueError, "a list of 2 items"),
    "a function that finds no targets": (lambda: fit("lafs", targets=lambda _: None), ValueError, "expected a tensor"),
    "a strategy's block that is misspelt": (lambda: fit(blocks=["nett.*"]), ValueError, "Names are: "),
    # callbacks and metrics
    "a monitor of no step": (lambda: callbacks.AlignmentMonitor(0), ValueError, "a positive int"),
    "a monitor of steps in words": (lambda: callbacks.AlignmentMonitor("often"), ValueError, "or 'log'"),
    "a monitor in manual optimisation": (
        lambda: fit(module=Manual(), monitors=[callbacks.AlignmentMonitor(1)]),
        Misconfigured,
        "Pass `loss=`",
    ),
    "a monitor of predictions without any": (
        lambda: fit(monitors=[callbacks.SyntheticGradientMonitor(1)]),
        Misconfigured,
        "such as 'sg' or 'sgprop'",
    ),
    "pre-alignment without direct feedback": (
        lambda: fit("fa", monitors=[callbacks.PreAlignment()]),
        Misconfigured,
        "expected a rule with direct feedback",
    ),
    "probes of a module that cannot be called": (
        lambda: fit(monitors=[callbacks.LinearProbes((X, Y), (X, Y), steps=1)]),
        Exception,
        "has no `forward`. Define one",
    ),
    "probes of a layer that is misspelt": (
        lambda: fit(module=Called(), monitors=[callbacks.LinearProbes((X, Y), (X, Y), steps=1, layers=["x"])]),
        ValueError,
        "The model has ['', 'net'",
    ),
    "probes without data": (
        lambda: fit(monitors=[callbacks.LinearProbes(3, (X, Y), steps=1)]),
        ValueError,
        "a pair of tensors (inputs, labels)",
    ),
    "an angle of two shapes": (
        lambda: metrics.angles(torch.zeros(2, 3), torch.zeros(3, 2)),
        ValueError,
        "two tensors of one shape with rows",
    ),
    "chance in no dimension": (lambda: metrics.chance(0), ValueError, "at least 1"),
    "matrices that are no similarities": (
        lambda: metrics.representation_similarity(torch.zeros(2, 3), torch.zeros(2, 3)),
        ValueError,
        "two square matrices",
    ),
    "a check without a loss": (lambda: fa.check(mlp(), "dfa", (X, Y)), ValueError, "Expected `loss`"),
    "a check without targets": (lambda: fa.check(mlp(), "dfa", X, F.cross_entropy), ValueError, "a pair (x, y)"),
}

COMMANDS = {
    "a paper that is misspelt": (["gilmer2018"], "Did you mean gilmer2017?"),
    "a preset that does not exist": (["gilmer2017", "--preset", "huge"], "invalid choice: 'huge'"),
    "an experiment that is misspelt": (["gilmer2017/figg"], "Did you mean fig1?"),
    "no seed": (["gilmer2017", "--preset", "smoke", "--seeds", "0"], "--seeds to be at least 1"),
    "a folder that cannot be made": (
        ["gilmer2017", "--preset", "smoke", "--out", "/proc/x"],
        "a folder that can be made",
    ),
    "data that is not there": (
        ["gilmer2017", "--preset", "smoke", "--data-dir", "/nowhere"],
        "there is none at /nowhere",
    ),
    "a data set of another field": (["gilmer2017", "--dataset", "imagenet"], "out of mnist, digits"),
    "two papers in one word": (["gilmer2017,lillicrap2014"], "Separate papers by spaces"),
    "an option that is misspelt": (["gilmer2017", "--prest", "smoke"], "unrecognized arguments"),
    "no paper": ([], "required"),
    "a machine that does not exist": (
        ["gilmer2017", "--preset", "smoke", "--accelerator", "abacus"],
        "hardware options that Lightning accepts",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_misuse_is_told_what_to_do(row):
    """Raw errors from inside PyTorch cost an afternoon each; no error costs a paper."""
    does, exception, words = ROWS[row]
    with pytest.raises(exception, match=re.escape(words)):
        does()


@pytest.mark.parametrize("row", COMMANDS)
def test_a_wrong_command_ends_with_one_line(row, capsys):
    """Before anything is trained, with the status that --help gives it."""
    pytest.importorskip("rich")
    from replications.cli import main

    arguments, words = COMMANDS[row]
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in last


def test_there_are_at_least_sixty():
    """A table that loses rows would still pass."""
    assert len(ROWS) + len(COMMANDS) >= 60
