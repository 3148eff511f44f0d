"""Sets the learning rate from global progress."""

from __future__ import annotations

from detectron2.engine import HookBase

from ..optimizer import lr_factor, set_learning_rates


class LearningRate(HookBase):
    """A pure function of the iteration: whatever units are selected, and with nothing to restore on resume."""

    def __init__(self, warmup_fraction: float, warmup_factor: float) -> None:
        self.warmup_fraction, self.warmup_factor = warmup_fraction, warmup_factor

    def before_step(self) -> None:
        set_learning_rates(self.trainer.optimizer, self._factor())

    def after_step(self) -> None:
        # Not read from the groups: a tensor of a GPU would make the host wait.
        largest = max(group["initial_lr"] for group in self.trainer.optimizer.param_groups)
        self.trainer.storage.put_scalar("lr", self._factor() * largest, smoothing_hint=False)

    def _factor(self) -> float:
        return lr_factor(self.trainer.iter, self.trainer.max_iter, self.warmup_fraction, self.warmup_factor)
