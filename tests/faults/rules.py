"""Faults in the feedback, in its running averages, and in the rules."""

from tests.faults.fault import Fault

EQUATIONS = ("tests/equations/test_oracles.py", "tests/contract/test_contract.py")
FEEDBACK = ("tests/equations/test_feedback.py",)
TRANSPORT = ("tests/equations/test_transport_rules.py",)
STEPS = ("tests/equations/test_time_steps.py",)
DIRECT = ("tests/equations/test_direct_rules.py",)
LOCAL = ("tests/equations/test_local_rules.py",)
SHARED = ("tests/equations/test_shared_readout.py",)
AVERAGES = ("tests/equations/test_averages.py",)

FAULTS = [
    Fault(
        "feedback drawn from the global generator",
        "feedback.py",
        "(2 * torch.rand(width, fan_in, generator=rng) - 1) / width**0.5",
        "(2 * torch.rand(width, fan_in) - 1) / width**0.5",
        EQUATIONS,
    ),
    Fault(
        "the seed ignored",
        "feedback.py",
        'f"{seed}:{name}"',
        'f"{name}"',
        (*EQUATIONS, *FEEDBACK),
    ),
    Fault(
        "all layers share one draw",
        "feedback.py",
        'f"{seed}:{name}"',
        'f"{seed}"',
        FEEDBACK,
    ),
    Fault(
        "uniform feedback scaled by the wrong dimension",
        "feedback.py",
        "- 1) / width**0.5",
        "- 1) / fan_in**0.5",
        FEEDBACK,
    ),
    Fault(
        "the readout of LAFS cut from its block",
        "rules/linear_aligned_feedback.py",
        "h @ feedback, targets)",
        "h.detach() @ feedback, targets)",
        EQUATIONS,
    ),
    Fault(
        "Kolen-Pollack with fixed feedback",
        "rules/kolen_pollack.py",
        "return feedback if weight.requires_grad else feedback.detach()",
        "return feedback.detach()",
        TRANSPORT,
    ),
    Fault(
        "rows without an error left out of the sum over the batch",
        "rules/direct_feedback_alignment.py",
        "return d * len(e) if",
        "return d * e.any(1).sum() if",
        DIRECT,
    ),
    Fault(
        "rows without an error left out of the mean of signs",
        "rules/sign_direct_feedback_alignment.py",
        "feedback.T / len(e)",
        "feedback.T / e.any(1).sum()",
        DIRECT,
    ),
    Fault(
        "signs dropped from sign symmetry",
        "rules/fixed_random_sign_symmetry.py",
        "feedback.abs() * weight.detach().sign()",
        "feedback.abs()",
        TRANSPORT,
    ),
    Fault(
        "the pseudoinverse not transposed back",
        "rules/pseudobackpropagation.py",
        "torch.linalg.pinv(full, rtol=self.rtol).mT",
        "full",
        TRANSPORT,
    ),
    Fault(
        "the mirror learns minus W",
        "rules/weight_mirror.py",
        "self.decay * feedback - mirrored",
        "self.decay * feedback + mirrored",
        TRANSPORT,
    ),
    Fault(
        "a copy of the head that is never made anew",
        "rules/shared_output_local_learning.py",
        'due = feedback["passes"] % self.refresh == 0',
        'due = feedback["passes"] == 0',
        SHARED,
    ),
    Fault(
        "a copy of the head that is made anew in every pass",
        "rules/shared_output_local_learning.py",
        'due = feedback["passes"] % self.refresh == 0',
        'due = feedback["passes"] >= 0',
        SHARED,
    ),
    Fault(
        "a shared readout of what is not normalised",
        "rules/shared_output_local_learning.py",
        "z = h * (h.square().mean(1, keepdim=True) + 1e-6).rsqrt()",
        "z = h",
        (*EQUATIONS, *SHARED),
    ),
    Fault(
        "a projection that does not keep the length",
        "rules/shared_output_local_learning.py",
        "own**-0.5",
        "1.0",
        SHARED,
    ),
    Fault(
        "a copy of the head that is used and not kept",
        "wiring/deliveries/shared.py",
        "setattr(slot.module, slot.key, tensor)",
        "_ = slot",
        SHARED,
    ),
    Fault(
        "a copy of the head that learns",
        "wiring/deliveries/shared.py",
        "with torch.no_grad():",
        "with torch.enable_grad():",
        EQUATIONS,
    ),
    Fault(
        "a pass that counts once for every call of a block",
        "wiring/deliveries/shared.py",
        "dict.fromkeys(tap.name for tap in taps if tap.h.requires_grad)",
        "[tap.name for tap in taps if tap.h.requires_grad]",
        SHARED,
    ),
    Fault(
        "the running average moved by minus its lesson",
        "wiring/stores/averages.py",
        "* was + (1 - factor)",
        "* was - (1 - factor)",
        AVERAGES,
    ),
    Fault(
        "the running average added to the optimizer's own step",
        "wiring/stores/averages.py",
        "b.copy_(factor * was +",
        "b.copy_(factor * b +",
        AVERAGES,
    ),
    Fault(
        "a copy's running average left to the optimizer",
        "wiring/stores/store.py",
        'if state.get("forgetting") is not None:',
        "if False:",
        AVERAGES,
    ),
    Fault(
        "a sample at rest learns the direction of zero",
        "rules/local_losses.py",
        ".sqrt()).masked_fill(square == 0, 0.0)",
        ".sqrt())",
        LOCAL,
    ),
    Fault(
        "time steps taken for channels",
        "wiring/stores/rows.py",
        "h if self.channels is None else h.movedim(self.channels, self.leading)",
        "h",
        LOCAL,
    ),
    Fault(
        "feedback of a sequence for one length alone",
        "wiring/stores/block_feedback.py",
        "len(drawn) == len(sizes) == 3 and",
        "False and",
        LOCAL,
    ),
    Fault(
        "a sequence averaged to a grid of its own",
        "rules/local_losses.py",
        "if h.ndim == 3 else _grid",
        "if h.ndim == 0 else _grid",
        LOCAL,
    ),
    Fault(
        "channels taken for time steps",
        "wiring/stores/rows.py",
        "return Axes(before if is_map else front, found[0])",
        "return Axes(front, found[0])",
        STEPS,
    ),
    Fault(
        "time steps taken for samples",
        "wiring/stores/rows.py",
        "while leading < most and",
        "while leading < min(most, 1) and",
        STEPS,
    ),
    Fault(
        "shared feedback summed over samples",
        "wiring/stores/rows.py",
        "thin[: self.leading], thin[self.channels] = shape[: self.leading], self.width",
        "thin[0], thin[self.channels] = shape[0], self.width",
        STEPS,
    ),
]
