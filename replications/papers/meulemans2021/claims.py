"""The claims of meulemans2021 about table 1, fixed before the runs that judge them.

The table has means over 5 seeds with their standard deviation s. The 95 % interval of our mean is ±1.24 s. If nothing differs,
our mean lies within 2 sqrt(2/5) s = 1.26 s of theirs. The sum is 2.5 s, and the tolerance is 3 s.
"""

from functools import partial

from replications.judging.claims import Claim
from replications.judging.measured import difference, needed

TABLE = {"mnist": ((2.08, 0.15), (2.69, 0.11)), "autoencoder": ((9.42, 0.09), (29.95, 0.36))}
"""The mean and s of backpropagation, and those of DFA."""
WORDS = {"mnist": "test error (%)", "autoencoder": "test loss (hundredths)"}


def _of(task: str) -> list[Claim]:
    (bp, bp_std), (dfa, dfa_std) = TABLE[task]
    claim = partial(Claim, experiment=task, judged_from="full", source="table 1; evidence: table-1")
    claims = [
        claim(
            f"{task}-{rule}",
            f"{task}, {rule.upper()}: {WORDS[task]} after the epoch that is best on held-out samples",
            needed(f"{task}-{rule}", "test"),
            expected=f"{mean} ± {std}",
            tolerance=(round(mean - 3 * std, 2), round(mean + 3 * std, 2)),
        )
        for rule, mean, std in (("bp", bp, bp_std), ("dfa", dfa, dfa_std))
    ]
    most = dfa - bp + 3 * (bp_std**2 + dfa_std**2) ** 0.5
    behind = partial(claim, over_seeds="t-test")
    return [
        *claims,
        behind(
            f"{task}-dfa-behind",
            f"{task}: DFA above BP, {WORDS[task]} (above 0 by t test)",
            difference("test", f"{task}-dfa", f"{task}-bp"),
            expected=f"{dfa - bp:.2f}",
            tolerance=(0, round(most, 2)),
        ),
        behind(
            f"{task}-shallow-behind",
            f"{task}, control: hidden layers that stay as drawn above DFA, {WORDS[task]} (above 0 by t test)",
            difference("test", f"{task}-shallow", f"{task}-dfa"),
            tolerance=(0, 90),
            source="ours; 0 is no difference, 90 is an error at chance",
        ),
    ]


CLAIMS = (*_of("mnist"), *_of("autoencoder"))
