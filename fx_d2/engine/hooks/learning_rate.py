"""Sets the learning rate from global progress."""

from __future__ import annotations

from detectron2.engine import HookBase

from ..optimizer import lr_factor


class LearningRate(HookBase):
    """A pure function of the iteration: whatever units are selected, and with nothing to restore on resume."""

    def __init__(self, warmup_fraction: float, warmup_factor: float) -> None:
        self.warmup_fraction, self.warmup_factor = warmup_fraction, warmup_factor

    def before_step(self) -> None:
        trainer = self.trainer
        factor = lr_factor(trainer.iter, trainer.max_iter, self.warmup_fraction, self.warmup_factor)
        for group in trainer.optimizer.param_groups:
            group["lr"] = factor * group["initial_lr"]

    def after_step(self) -> None:
        lr = max(group["lr"] for group in self.trainer.optimizer.param_groups)
        self.trainer.storage.put_scalar("lr", lr, smoothing_hint=False)
