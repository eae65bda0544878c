"""Which faults are planted in which paper: whose numbers a run would have if it were another's.

A name may be a pattern with one `*`, which stands for the same text in both names; a name with `:` is one number of a run.
"""

from collections.abc import Mapping, Sequence

Pairs = Sequence[tuple[str, str]]

BACKPROP: Mapping[str, Pairs] = {
    "cheung2019": [("coupled-*", "standard")],  # coupling that is not on
    "czarnecki2017": [
        ("sg-mid-*", "bp-*"),
        ("sg-all-*", "bp-as-sg-all-*"),
        ("dfa-*", "bp-*"),
        ("sg-loss-alone-*", "lower-half-fixed-*"),  # in which the lower half receives nothing
        ("*:shallow-log/sg", "*:shallow-log/bp"),
        ("*-activations", "*-both"),
        ("*-labels", "*-both"),
    ],
    "gilmer2017": [("dfa*", "bp"), ("lafs*", "bp")],
    "launay2019": [("fc-*", "bp-fc-*"), ("conv-*", "bp-conv-*")],
    "lillicrap2014": [
        ("linear-fa", "linear-bp"),
        ("mnist-fa*", "mnist-bp"),
        ("student-fa-3", "student-bp-3"),
        ("student-fa-4", "student-bp-4"),
        ("matched-pbp", "matched-bp"),
    ],
}
"""Every run of a rule has the numbers of backpropagation, or of the run in which the mechanism is off."""

EXCHANGED: Mapping[str, Sequence[Pairs]] = {
    "cheung2019": [
        [("standard", "coupled-both-reversed")],
        [("standard", "coupled-both-same")],
        [("coupled-backward-reversed", "coupled-both-reversed")],
        [("coupled-backward-same", "coupled-both-same")],
    ],
    "czarnecki2017": [
        [("bp-*", "sg-mid-*")],
        [("bp-*", "dfa-*")],
        [("bp-*", "sg-all-*")],
        [("sg-loss-alone-*", "lower-half-fixed-*")],
        [("linear2", "random2"), ("linear100", "random100")],
        [("linear100", "noisy100"), ("linear2", "noisy2")],
        [("*:shallow-log/sg", "*:shallow-log/bp")],
        [("*-both", "*-labels")],
        [("*-both", "*-activations")],
        [("fig6:sg_loss/0", "fig6:bp_loss/0"), ("fig6:sg_loss/3", "fig6:bp_loss/3"), ("fig6:moved/0", "fig6:moved/3")],
        [("fig6:bp_loss/0", "fig6:sg_loss/3"), ("fig6:sg_largest/3", "fig6:sg_largest/0")],
        [("fig6:sg_signal/3", "fig6:sg_largest/3")],
        [("thm1:distance", "thm1:distance_untrained"), ("thm1:sg_error", "thm1:distance_untrained")],
    ],
    "gilmer2017": [[("dfa*", "lafs*")], [("dfa", "bp")], [("lafs", "bp")]],
    "launay2019": [
        [("fc-tanh", "bp-fc-tanh")],
        [("conv-tanh", "bp-conv-tanh")],
        [("repo-1", "repo-800"), ("repo-46", "repo-3"), ("repo-118", "repo-1")],
        [("narrow-1", "narrow-800"), ("mask-1", "mask-800")],
    ],
    "lillicrap2014": [
        [("linear-fa", "linear-shallow")],
        [("linear-bp", "linear-fa")],
        [("linear-shallow", "linear-fa")],
        [("linear-node-perturbation", "linear-bp")],
        [("linear-bp", "linear-shallow")],
        [("mnist-fa", "mnist-shallow")],
        [("mnist-bp", "mnist-shallow")],
        [("mnist-fa-sparse-w", "mnist-shallow")],
        [("mnist-bp", "mnist-fa")],
        [("mnist-fa-sparse-w", "mnist-fa")],
        [("student-fa-3", "student-fa-4"), ("student-bp-3", "student-bp-4")],
        [("student-shallow", "student-fa-3")],
        [("student-shallow", "student-fa-4")],
        [("mean-flow", "mean-flow-repeated-column")],
        [("mean-flow-narrow:error", "mean-flow-narrow:least_error_of_rank")],
        [("single-pair", "single-pair-not-from-0")],
        [("single-pair:constant_over_ours", "single-pair:constant_over_papers")],
        [("matched-bp", "matched-pbp")],
        [("matched-pbp:gauss_newton_distance", "matched-pbp:bp_gauss_newton_angle")],
        [("omega-0.0001", "omega-0.25"), ("omega-0.05", "omega-0.2")],
        [("omega-*:bp_angle_2000", "omega-*:pbp_angle_2000")],
        [("flow:w", "flow:w0")],
        [("flow:w", "flow:w_bad_start")],
        [("flow:bad_fraction", "flow:w0")],
        [("flow:invariant_drift", "flow:bad_fraction")],
    ],
}
"""Two runs, or two numbers of a run, have each other's names. Each entry is a fault of its own."""
