"""heartbeat.json: what the run does, for people and for programs that watch over it."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from detectron2.engine import HookBase

from ..files import replacing


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
