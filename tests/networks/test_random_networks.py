"""A bounded number of random networks; `python -m tests.random_networks` runs many more."""

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings

from tests.random_networks import (
    KINDS,
    check,
    direct_rules_equal_detached_pieces,
    networks,
    the_control_equals_autograd,
    trains,
    transport_of_the_true_weights_equals_autograd,
)

bounded = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_is_right_on_networks_that_nobody_wrote(kind):
    """A layer, an order of layers or a number of dimensions that no other test has trains a user's network wrongly."""

    @bounded
    @given(networks((kind,)))
    def run(net):
        check(net)

    run()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("oracle", "rule"),
    [
        (the_control_equals_autograd, "Backpropagation"),
        (transport_of_the_true_weights_equals_autograd, "FeedbackAlignment"),
    ],
)
def test_the_search_finds_a_carrier_that_is_off_by_a_part_in_a_million(oracle, rule, monkeypatch):
    """Otherwise the test above would pass on anything."""
    import lightning_fa as fa

    cls = getattr(fa, rule)
    carrier = cls.carrier
    monkeypatch.setattr(cls, "carrier", lambda self, w, b: carrier(self, w, b) * (1 + 1e-6))
    with pytest.raises(AssertionError, match="of the largest gradient"):
        _search(oracle, "rows")


@pytest.mark.slow
def test_the_search_finds_a_direct_error_that_is_off_by_a_part_in_a_million(monkeypatch):
    """As above, for the direct rules."""
    import lightning_fa as fa

    cls = fa.DirectFeedbackAlignment
    deliver = cls.deliver
    monkeypatch.setattr(cls, "deliver", lambda self, e, b: deliver(self, e, b) * (1 + 1e-6))
    with pytest.raises(AssertionError, match="of the largest gradient"):
        _search(direct_rules_equal_detached_pieces, "image")


def _search(oracle, kind: str) -> None:
    @bounded
    @given(networks((kind,)))
    def run(net):
        if trains(net) and not net.owned:
            oracle(net)

    run()
