"""The simulation of pipelines against the closed forms of the papers, with whole seconds so that sums are exact."""

import itertools

import pytest

from benchmarks.pipeline.schedules import Cost, direct, gpipe, local, one_forward_one_backward, zero_bubble
from benchmarks.pipeline.simulation import Span, Task, simulate

SIZES = [(1, 1), (2, 4), (4, 8), (8, 8), (4, 2), (16, 64)]
"""Stages and microbatches."""


def equal(stages, f=3, bx=2, bw=4, u=0):
    return [Cost(f, bx, bw, u)] * stages


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_gpipe_has_its_bubble(p, m):
    """Huang et al. 2019: (p - 1) / (m + p - 1) of the time."""
    found = gpipe(equal(p), m)
    assert found.step == (m + p - 1) * 9
    assert found.idle == pytest.approx((p - 1) / (m + p - 1))
    assert found.held == m


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_1f1b_has_the_same_bubble_and_holds_less(p, m):
    """Narayanan et al. 2021, section 2.2: what it saves is memory, p microbatches in place of m."""
    found = one_forward_one_backward(equal(p), m)
    assert found.step == (m + p - 1) * 9
    assert found.held == min(p, m)


@pytest.mark.parametrize(("p", "m"), [(2, 4), (4, 8), (8, 24), (16, 64)])
def test_zero_bubble_idles_a_third_as_long_where_all_three_parts_are_equal(p, m):
    """Qi et al. 2023, Table 1, ZB-H1: (p - 1)(f + b_x - b_w), in the memory of 1F1B."""
    found = zero_bubble(equal(p, 1, 1, 1), m)
    assert found.step - 3 * m == (p - 1) * (1 + 1 - 1)
    assert found.held <= p


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_direct_rules_wait_for_the_forward_pass_only(p, m):
    """(m + p - 1) f + m b_w, of docs/parallel.md."""
    assert direct(equal(p), m).step == (m + p - 1) * 3 + m * 4


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_local_rules_fill_once_and_never_wait_again(p, m):
    """Batch t leaves the last of p stages after (p - 1) f + (t + 1)(f + b_w + u)."""
    found = local(equal(p, u=1), m)
    assert (found.step, found.idle) == (m * 8, 0)
    assert found.spans[p - 1, "B", 9].end == (p - 1) * 3 + 10 * 8
    assert found.spans[p - 1, "F", 0].begin == (p - 1) * 3


def test_messages_take_their_time():
    """Once per stage up, and once down where an error is sent down."""
    assert gpipe(equal(4), 1, delay=10).step == 4 * 9 + 6 * 10
    assert direct(equal(4), 1, delay=10).step == 4 * 3 + 4 * 10 + 4
    assert local(equal(4), delay=10).step == 7


def test_the_dearest_stage_decides_under_local_rules_and_the_others_idle():
    """A division that is not balanced costs all stages."""
    found = local([Cost(1, 0, 1), Cost(2, 0, 2), Cost(1, 0, 1)])
    assert found.step == 4
    assert found.idle == pytest.approx(1 - (2 + 4 + 2) / 12)


@pytest.mark.parametrize("schedule", [gpipe, one_forward_one_backward, zero_bubble, direct, local])
def test_a_stage_does_one_task_at_a_time_and_no_task_precedes_what_it_needs(schedule):
    """A simulation that overlaps tasks of one device finds any schedule fast."""
    spans = schedule([Cost(1, 2, 4, 1), Cost(3, 5, 2, 2), Cost(2, 2, 2, 1)], 4, 1).spans
    for stage in range(3):
        own = sorted(span for key, span in spans.items() if key[0] == stage)
        assert all(a.end <= b.begin for a, b in itertools.pairwise(own))
    for (stage, kind, i), span in spans.items():
        if kind == "F" and stage:
            assert span.begin >= spans[stage - 1, "F", i].end + 1
        if kind == "B":
            assert span.begin >= spans[stage, "F", i].end


def test_tasks_that_wait_for_one_another_are_an_error():
    """An order that no machine can keep must not come out as a short one."""
    a, b = (0, "F", 0), (1, "F", 0)
    with pytest.raises(ValueError, match="2 tasks wait"):
        simulate({a: Task(1, {b: 0}, 0), b: Task(1, {a: 0}, 0)})
    assert simulate({a: Task(1, {}, 0), b: Task(1, {a: 2}, 0)}) == {a: Span(0, 1), b: Span(3, 4)}
