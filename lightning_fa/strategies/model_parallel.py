"""The strategy for parameters that the user's ``configure_model`` shards by ``fully_shard`` (FSDP2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch.strategies import ModelParallelStrategy

from lightning_fa.strategies.base import FeedbackStrategyMixin
from lightning_fa.strategies.fsdp import peek
from lightning_fa.training_step import check_same_rule


class ModelParallelFeedbackStrategy(FeedbackStrategyMixin, ModelParallelStrategy):
    """Attaches the rule before the LightningModule's ``configure_model`` shards the module, so that learned feedback is
    sharded with its layer. If ``configure_model`` also creates the layers, the rule is attached afterwards, and a rule with
    learned feedback is refused. The module stays sharded after ``fit``, and the rule stays attached.
    """

    variants: ClassVar = {"_fsdp2": {}}
    releases = False

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        path = Path(self.broadcast(checkpoint_path))
        checkpoint = peek(path, weights_only)
        if self._fitting:
            check_same_rule(self._attach(), checkpoint)
        module = self.lightning_module
        assert module is not None
        strict = module.strict_loading
        if strict and path.is_file():
            # Lightning expects every parameter in the file, but the model's state has no learned feedback.
            self._check_keys(checkpoint["state_dict"])
            module.strict_loading = False
        try:
            return super().load_checkpoint(path, weights_only)
        finally:
            module.strict_loading = strict

    def _check_keys(self, saved: Mapping[str, Any]) -> None:
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict().keys()
        if own != saved.keys():
            raise RuntimeError(
                f"The checkpoint does not fit {type(self.lightning_module).__name__}. Missing keys: "
                f"{sorted(own - saved.keys())}. Unexpected keys: {sorted(saved.keys() - own)}."
            )
