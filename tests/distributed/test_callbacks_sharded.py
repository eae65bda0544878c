"""Callbacks where no rank has a whole weight: they say so before training, and name the way out."""

import pytest

from tests.distributed.launch import launch
from tests.distributed.net import STEPS

pytestmark = pytest.mark.distributed

NEED_WHOLE_WEIGHTS = [
    "AlignmentMonitor",
    "GradientHealth",
    "LinearProbes",
    "RepresentationMonitor",
    "SyntheticGradientMonitor",
    "WeightNorms",
]


def test_callbacks_that_need_whole_weights_refuse_sharded_ones_before_training_and_the_others_work(tmp_path):
    """A norm over a shard looks like a norm; a forward pass outside of FSDP's own ends in a tensor of size zero."""
    kinds = ["fsdp", "fsdp2"]
    (results,) = launch("monitored", tmp_path, 1, kinds=kinds, callbacks=[*NEED_WHOLE_WEIGHTS, "RuleConfig"])
    for kind, name in zip(kinds, ("FSDPFeedbackStrategy", "ModelParallelFeedbackStrategy")):
        for callback in NEED_WHOLE_WEIGHTS:
            error = results[kind][callback].get("error", "")
            assert error.startswith(f"MisconfigurationException: {callback} needs whole weights"), (
                kind,
                callback,
                error,
            )
            assert f"under {name}. Use the callback with a DDP" in error
        assert results[kind]["RuleConfig"] == {"steps": STEPS}
