"""Where the targets are: a wrong place is an error that lists the right ones."""

import pytest
import torch

from lightning_fa.training_step import find_targets

BATCH = {"image": torch.zeros(2, 3), "class": torch.zeros(2)}


@pytest.mark.parametrize(
    ("batch", "where", "message"),
    [
        (BATCH, "clas", r"no targets at 'clas'.*keys \['image', 'class'\]"),
        ((1, 2), 5, "no targets at 5.*a tuple of 2 items"),
        ((1, 2), "y", "no targets at 'y'.*a tuple of 2 items"),
        (torch.zeros(2), "y", "no targets at 'y'.*a Tensor"),
        (BATCH | {"name": "a"}, "name", "a tensor at 'name'.*a str"),
        (BATCH, lambda batch: None, "function given as `targets=` returned a NoneType"),
        (BATCH, lambda batch: [1, 2], "returned a list of 2 items"),
        (BATCH, None, "batch of type dict"),
    ],
)
def test_a_wrong_place_is_named_with_what_is_there(batch, where, message):
    """`KeyError: 'clas'` says neither who asked nor what there is."""
    with pytest.raises(ValueError, match=message):
        find_targets(batch, where)


def test_a_right_place_is_found():
    """The tests above would pass if everything raised."""
    assert find_targets(BATCH, "class") is BATCH["class"]
    assert find_targets(BATCH, lambda batch: batch["class"]) is BATCH["class"]
    assert find_targets([0, BATCH["class"]]) is BATCH["class"]
