"""heartbeat.json: what the run does, for people and for programs that watch over it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from detectron2.engine import HookBase

from ...files import replacing
from ..preemption import Preempted

logger = logging.getLogger(__name__)


class Heartbeat(HookBase):
    """Replaces the file after a step when the last one is ``seconds`` old, and at every change of state.

    ``state`` is running, evaluating, finished, preempted or failed (with ``reason``). ``time`` is when the file was
    written, in seconds since 1970; ``iteration`` counts finished steps.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._last = 0.0

    def before_train(self) -> None:
        self.beat("running")

    def after_step(self) -> None:
        if time.time() - self._last >= self.seconds:
            self.beat("running")

    def after_train(self) -> None:
        self.beat(self.trainer.state, self.trainer.reason)

    def beat(self, state: str, reason: str = "") -> None:
        trainer = self.trainer
        within = 0 <= trainer.iter < len(trainer.schedule)
        content = {
            "state": state,
            "reason": reason,
            "time": time.time(),
            "iteration": trainer.finished_steps,
            "iterations": trainer.max_iter,
            "doing": trainer.slot.describe(trainer.schedule.cycles) if within else "",
            "skipped": trainer.skipped,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        # Not flushed to the disk: it says that the run lives, and is old news after a crash.
        with replacing(self.path, flush=False) as stream:
            stream.write((json.dumps(content, indent=1) + "\n").encode())
        self._last = time.time()


@contextlib.contextmanager
def last_evaluation(trainer) -> Iterator[None]:
    """Tells of what follows the training: it takes its time, may be stopped or fail, and ``--resume`` repeats it."""
    hooks = [hook for hook in trainer._hooks if isinstance(hook, Heartbeat)]

    def tell(state: str, reason: str = "") -> None:
        for hook in hooks:
            hook.beat(state, reason)

    tell("evaluating")
    try:
        yield
    except BaseException as error:
        tell("preempted" if isinstance(error, Preempted) else "failed", f"{type(error).__name__}: {error}")
        logger.error("the last evaluation ends early: %s: %s; --resume repeats it", type(error).__name__, error)
        raise
    tell("finished")
