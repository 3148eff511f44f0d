"""When the teacher follows the student."""

from __future__ import annotations

import math

from detectron2.engine import HookBase


def momentum_at(progress: float, start: float, schedule: str) -> float:
    """Weight of the old teacher at ``progress`` (0..1 of the run): constant, or rising by a cosine from start to 1."""
    if schedule == "constant":
        return start
    return 1.0 - (1.0 - start) * 0.5 * (1.0 + math.cos(math.pi * progress))


class TeacherEMA(HookBase):
    """Averages at the end of every pass, or after every step; ``buffers``: batch statistics, too."""

    def __init__(self, momentum: float, schedule: str, update: str, buffers: bool = True) -> None:
        self.momentum, self.schedule, self.update, self.buffers = momentum, schedule, update, buffers

    def before_train(self) -> None:
        trainer = self.trainer
        if trainer.teacher.initialised:
            return
        if trainer.start_iter > 0:
            raise ValueError(
                f"the checkpoint resumed at iteration {trainer.start_iter} holds no teacher; "
                "start a new run from it with MODEL.WEIGHTS instead of --resume"
            )
        trainer.teacher.copy_from(trainer.student)

    def after_step(self) -> None:
        trainer = self.trainer
        if self.update == "iteration" or trainer.slot.last_of_pass:
            momentum = momentum_at(trainer.iter / trainer.max_iter, self.momentum, self.schedule)
            trainer.teacher.update(trainer.student, momentum, self.buffers)
