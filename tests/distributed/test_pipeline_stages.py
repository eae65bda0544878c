"""Where a network is divided: by equal costs, or as the user says, checked against the blocks that there are."""

import itertools

import pytest

from lightning_fa.pipeline.stages import divide

NAMES = ["net.0", "net.2", "net.4", "net.6"]
EQUAL = [1.0] * len(NAMES)


@pytest.mark.parametrize(
    "costs", [[1.0, 1, 1, 1, 1, 1], [5.0, 1, 1, 1, 1, 1], [1.0, 2, 4, 8, 16, 32], [3.0, 1, 4, 1, 5, 9]]
)
@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_no_division_has_a_cheaper_dearest_stage(costs, count):
    """All stages wait for the dearest one. The oracle tries every division into runs."""
    names = [str(i) for i in range(len(costs))]

    def dearest(stages):
        return max(sum(c for c, s in zip(costs, stages) if s == stage) for stage in range(count))

    every = []
    for cuts in itertools.combinations(range(1, len(costs)), count - 1):
        every.append([sum(i >= cut for cut in cuts) for i in range(len(costs))])
    found = divide(names, costs, count)
    assert found in every
    assert dearest(found) == min(map(dearest, every))


def test_the_user_may_name_modules_around_blocks_and_patterns():
    """`layer1` means all blocks in it."""
    assert divide(["a.0", "a.1", "b.0", "c"], [1.0] * 4, 3, ["a", ["b.*"], "c"]) == [0, 0, 1, 2]


WRONG = {
    "a block in none": ([["net.0"], ["net.4", "net.6"]], ValueError, r"net\.2 in none"),
    "a block in two": ([["net.0", "net.2"], ["net.2", "net.4", "net.6"]], ValueError, r"net\.2 in stages 0 and 1"),
    "a block that is not there": (
        [["net.0", "net.2"], ["net.4", "net.6", "net.8"]],
        ValueError,
        r"'net\.8' .*no block",
    ),
    "another order": (
        [["net.4", "net.6"], ["net.0", "net.2"]],
        ValueError,
        r"net\.4 .*stage 0.* after .*net\.2 .*stage 1",
    ),
    "not in runs": (
        [["net.0", "net.4"], ["net.2", "net.6"]],
        ValueError,
        r"net\.4 .*stage 0.* after .*net\.2 .*stage 1",
    ),
    "an empty stage": ([["net.*"], []], ValueError, "stage 1 has no block"),
    "more than devices": (
        [["net.0"], ["net.2"], ["net.4", "net.6"]],
        ValueError,
        "names 3 stages, but there are 2 devices",
    ),
    "one name for all": ("net.0", TypeError, "list of names"),
    "numbers": ([[0, 1], [2, 3]], TypeError, "name patterns"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_user_names_is_checked_against_the_network(case):
    """A typing error in a name would move a block to a device where it does not fit, or train it nowhere."""
    named, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        divide(NAMES, EQUAL, 2, named)


def test_more_stages_than_blocks_is_an_error_that_says_how_many_there_can_be():
    """A rank without a block would wait for ever."""
    with pytest.raises(ValueError, match="`devices=4` or less"):
        divide(NAMES, EQUAL, 5)
