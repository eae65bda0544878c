"""What the Trainer offers, against a bare loop: nobody gives up a feature of Lightning's for a rule."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, ModelParallelStrategy, SingleDeviceStrategy
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities import grad_norm
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.optim.swa_utils import get_ema_avg_fn
from torch.utils.data import DataLoader

import lightning_fa as fa
from tests.cases import MECHANISMS
from tests.lightning_net import MLP, Net, batches, fit, loader, trainer, weights
from tests.oracles import ORACLES
from tests.problems import assert_close, assert_same, distance

EPS = torch.finfo(torch.float32).eps

every_kind = pytest.mark.parametrize("rule", [*MECHANISMS, "brsf", "shallow"])
"""One rule of each mechanism, one that draws from a stream and one that teaches the head alone: what the Trainer does to a
network does not depend on more. `tests/trainer/test_lightning.py` compares every rule with a bare loop."""


def criterion(output, y):
    """Its errors do not cancel over the classes, as Kickback asks."""
    return F.mse_loss(output, F.one_hot(y, output.shape[-1]).to(output.dtype))


class Plain(Net):
    """Without the losses on record, whose ``item()`` would break a graph."""

    def __init__(self, lr: float = 0.5, batch_size: int = 8) -> None:
        super().__init__()
        self.lr, self.batch_size = lr, batch_size
        self.example_input_array = MLP.batch(2)[0]

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return criterion(self.net(batch[0]), batch[1])

    def predict_step(self, batch, batch_idx):
        return self.net(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)

    def train_dataloader(self):
        x, y = MLP.batch(32)
        return DataLoader(list(zip(x, y)), batch_size=self.batch_size)


class Ruled(fa.FeedbackMixin, Plain):
    rule = "dfa"


class Validated(Plain):
    def validation_step(self, batch, batch_idx):
        self.log("loss", criterion(self.net(batch[0]), batch[1]), batch_size=len(batch[1]))


def by_hand(rule, data, after_backward=lambda module: None, after_step=lambda module: None):
    module = Plain()
    attached = fa.attach(module, rule)
    optimizer = module.configure_optimizers()
    for i, batch in enumerate(data):
        attached.targets = batch[1]
        optimizer.zero_grad()
        attached.loss(module.training_step(batch, i)).backward()
        after_backward(module)
        optimizer.step()
        after_step(module)
    state = attached.state_dict()["feedback"]
    attached.detach()
    return weights(module), state


@every_kind
def test_clipping_by_value_equals_the_loop(rule):
    """As clipping by norm: a gradient that is written elsewhere than in ``.grad`` is not clipped."""
    clipped = fit(Plain(), rule, gradient_clip_val=0.002, gradient_clip_algorithm="value")
    expected, _ = by_hand(rule, batches(), lambda m: nn.utils.clip_grad_value_(m.parameters(), 0.002))
    assert_close(clipped, expected, EPS)
    assert distance(clipped["net.4.weight"], by_hand(rule, batches())[0]["net.4.weight"]) > 1e-3


def fit_compiled(rule, backend="aot_eager"):
    module = Plain()
    fit(torch.compile(module, backend=backend), rule)
    return weights(module)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # at a graph break
@pytest.mark.parametrize("rule", MECHANISMS)
def test_a_compiled_module_is_one_graph_under_the_trainer(rule):
    """A break per layer costs what compiling gains; a recompile per step costs far more."""
    counter = CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()
    compiled = fit_compiled(rule, counter)
    assert counter.frame_count == 1  # one graph, for four steps: no break and no recompile
    assert_close(compiled, fit(Plain(), rule), EPS, rounds=512)


def test_the_trainer_does_not_run_code_compiled_for_another_rule():
    """The worst error of all: after a plain module was compiled, a rule on the same class silently ran backprop."""
    torch._dynamo.reset()
    expected = {rule: fit(Plain(), rule) for rule in ("bp", "dfa", "fa", "lafs")}
    compiled = {rule: fit_compiled(rule) for rule in ("bp", "dfa", "fa", "lafs")}
    for rule in expected:
        assert_close(compiled[rule], expected[rule], EPS, rounds=512)
    again = fit_compiled("auto")  # and without any strategy of ours, it is backprop again
    assert_close(again, expected["bp"], EPS, rounds=512)


@every_kind
def test_gradient_norms_are_logged_as_they_are(rule):
    """Norms are how people see that a network learns at all; they must be those of the gradients that are applied."""
    logged, norms = [], []

    class Logging(Plain):
        def on_before_optimizer_step(self, optimizer):
            logged.append(grad_norm(self.net, norm_type=2))

    def measure(module):
        found = {n: module.net.get_parameter(n).grad for n, _ in MLP.model().named_parameters()}
        norms.append({f"grad_2.0_norm/{n}": g.norm().item() for n, g in found.items() if g is not None})

    fit(Logging(), rule)
    by_hand(rule, batches(), measure)
    assert len(logged) == len(norms) == 4
    for ours, expected in zip(logged, norms):
        assert expected
        assert {n for n in ours if "_feedback" not in n} == {*expected, "grad_2.0_norm_total"}
        for name, value in expected.items():
            # `grad_norm` rounds to four digits or not at all, by version.
            assert ours[name].item() == pytest.approx(value, rel=64 * EPS, abs=6e-5)


@every_kind
def test_several_optimizers_under_manual_optimisation(rule):
    """Each optimizer of its own part: the errors of one backward pass must reach the parts of both."""

    class Two(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self):
            head = list(self.net[4].parameters())
            body = [p for p in self.parameters() if all(p is not q for q in head)]
            return [torch.optim.SGD(part, lr=0.5, momentum=0.9) for part in (body, head)]

        def training_step(self, batch, batch_idx):
            for optimizer in self.optimizers():
                optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            for optimizer in self.optimizers():
                optimizer.step()

    assert_close(fit(Two(), rule), by_hand(rule, batches())[0], EPS)


@every_kind
def test_validate_and_predict_know_nothing_of_the_rule(rule):
    """Evaluation under a rule's strategy must measure the network and nothing else."""
    module, data = Validated(), batches(2)
    run = trainer(rule)
    expected = [module.net(x).detach() for x, _ in data]
    assert all(torch.equal(a, b) for a, b in zip(run.predict(module, loader(data)), expected))
    measured = run.validate(module, loader(data), verbose=False)[0]["loss"]
    assert measured == pytest.approx(sum(criterion(o, y).item() for o, (_, y) in zip(expected, data)) / 2, rel=1e-6)
    assert type(module.net[0]) is nn.Linear


@every_kind
def test_fast_dev_run_and_overfit_batches_train_as_ever(rule):
    """The first thing anyone runs."""
    assert_same(fit(Plain(), rule, fast_dev_run=True), by_hand(rule, batches()[:1])[0])
    repeated = fit(Plain(), rule, overfit_batches=2, max_epochs=2)
    assert_same(repeated, by_hand(rule, batches()[:2] * 2)[0])


@every_kind
def test_an_average_of_weights_is_that_of_the_loop(rule):
    """Averaging pairs the parameters of a copy with the module's by position: feedback that comes later shifts them."""
    run = trainer(rule, callbacks=[WeightAveraging(avg_fn=get_ema_avg_fn(0.5))])
    module = Plain()
    run.fit(module, loader(batches()))
    steps = []
    by_hand(rule, batches(), after_step=lambda m: steps.append(weights(m)))
    average = steps[0]  # from which the callback starts
    for step in steps[1:]:
        average = {n: 0.5 * average[n] + 0.5 * step[n] for n in average}
    assert distance(average["net.4.weight"], steps[-1]["net.4.weight"]) > 1e-3
    assert_close(weights(module), average, EPS, rounds=512)


@every_kind
def test_stochastic_weight_averaging_is_that_of_the_loop(rule):
    """As above, for the callback that Lightning has had for longer."""
    steps = []
    run = trainer(
        rule, max_epochs=3, callbacks=[StochasticWeightAveraging(swa_lrs=0.5, swa_epoch_start=2, annealing_epochs=1)]
    )
    module = Plain()
    run.fit(module, loader(batches(2)))
    by_hand(rule, batches(2) * 3, after_step=lambda m: steps.append(weights(m)))
    expected = {n: (steps[1][n] + steps[3][n]) / 2 for n in steps[0]}  # as epochs 2 and 3 begin
    assert_close(weights(module), expected, EPS, rounds=512)


@every_kind
def test_the_learning_rate_finder_leaves_weights_and_feedback_as_they_were(rule):
    """It trains for a hundred steps at growing rates: what learned in them must be back at its start."""
    module = Plain()
    run = trainer(rule, max_steps=3, max_epochs=None, logger=False)
    Tuner(run).lr_find(module, num_training=4, update_attr=False)
    start = Plain()
    if ORACLES[rule].changes_forward:  # its masks stay in the weights
        fa.attach(start, rule)
    assert_same(weights(module), weights(start))
    run.fit(module)
    fresh = Plain()
    trainer(rule, max_steps=3, max_epochs=None).fit(fresh)
    assert_same(weights(module), weights(fresh))


@every_kind
def test_the_batch_size_finder_leaves_weights_and_feedback_as_they_were(rule):
    """As above; and shapes of the trials must not remain."""
    module = Plain()
    run = trainer(rule, max_steps=2, max_epochs=None)
    assert Tuner(run).scale_batch_size(module, init_val=2, max_trials=2, steps_per_trial=1) >= 4
    module.batch_size = 8
    run.fit(module)
    fresh = Plain()
    trainer(rule, max_steps=2, max_epochs=None).fit(fresh)
    assert_same(weights(module), weights(fresh))


@pytest.mark.filterwarnings("ignore:Precision .* is not supported by the model summary:UserWarning")
@pytest.mark.parametrize("mixin", [False, True], ids=["strategy", "mixin"])
@pytest.mark.parametrize(
    ("precision", "dtype"), [("64-true", torch.float64), ("bf16-true", torch.bfloat16), ("bf16-mixed", torch.bfloat16)]
)
def test_an_example_in_the_dtype_of_the_precision_serves_the_summary_and_the_dry_run(precision, dtype, mixin):
    """Lightning converts the weights after the rule is attached, and its summary needs the example as the weights are then."""
    module = Ruled() if mixin else Plain()
    module.example_input_array = module.example_input_array.to(dtype)
    first = module.net[0].weight.detach().to(torch.float64)
    fit(module, "auto" if mixin else "dfa", precision=precision, enable_model_summary=True)
    assert distance(module.net[0].weight, first) > 1e-2


@every_kind
def test_layers_that_are_made_in_setup_are_governed(rule):
    """Half a network under a rule and half under backprop is an experiment that nobody meant."""

    class Late(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.example_input_array = None
            self.rest = None

        def setup(self, stage):
            if self.rest is None:
                body = MLP.model()
                self.net, self.rest = body[:2], body[2:]

        def training_step(self, batch, batch_idx):
            return criterion(self.rest(self.net(batch[0])), batch[1])

    if fa.RULES[rule].learned and not issubclass(fa.RULES[rule], fa.TransportRule):
        pytest.skip("learns feedback whose shape needs an example")
    late = fit(Late(), fa.FeedbackStrategy(rule, blocks=None))
    assert distance(late["net.0.weight"], weights(Plain())["net.0.weight"]) > 0 or rule == "shallow"
    assert (distance(late["net.0.weight"], fit(Plain(), "bp")["net.0.weight"]) > 1e-3) == (rule != "bp")


class Third(CPUAccelerator):
    """An accelerator whose devices are not the CPU."""

    @staticmethod
    def get_parallel_devices(devices):
        return [torch.device("cuda", 3)]


@every_kind
def test_a_strategy_by_name_lands_on_the_device_that_the_accelerator_chose(rule):
    """On a GPU machine "dfa" must not train on the CPU."""
    assert trainer(rule, accelerator=Third()).strategy.root_device == torch.device("cuda", 3)
    assert trainer(fa.FeedbackStrategy(rule, device="cpu")).strategy.root_device == torch.device("cpu")


@every_kind
@pytest.mark.parametrize(
    ("suffix", "ours", "stock"),
    [
        ("", fa.FeedbackStrategy, SingleDeviceStrategy),
        ("_ddp", fa.DDPFeedbackStrategy, DDPStrategy),
        ("_fsdp", fa.FSDPFeedbackStrategy, FSDPStrategy),
        ("_fsdp2", fa.ModelParallelFeedbackStrategy, ModelParallelStrategy),
    ],
)
def test_every_rule_has_a_name_under_every_strategy(rule, suffix, ours, stock):
    """``strategy="ddp"`` becomes ``strategy="dfa_ddp"``, and nothing else changes."""
    made = trainer(rule + suffix).strategy
    assert type(made) is ours
    assert isinstance(made, stock)  # Lightning asks with isinstance, for precision plugins and samplers
    assert type(made.rule) is fa.RULES[rule]
