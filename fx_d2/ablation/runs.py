"""Trains what is not finished yet, several runs at a time, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..data.errors import DataError
from ..files import write_json
from .plan import Job

DONE = "ablation_run.json"
_LOG = "ablation_run.log"
_PAUSE = 0.5  # seconds between two looks at the runs


def finished(folder: Path, job: Job, base: str) -> bool:
    """Whether the run of a job is complete.

    Raises:
        DataError: the folder holds a finished run of other keys.
    """
    path = folder / job.folder / DONE
    if not path.is_file():
        return False
    if json.loads(path.read_text(encoding="utf-8"))["run"] != _identity(job, base):
        raise DataError(f"{path.parent} was trained with other keys; name another --output, or remove that folder")
    return True


def _identity(job: Job, base: str) -> dict:
    return json.loads(json.dumps({"base": Path(base).name, "keys": dict(job.keys)}))


def command(job: Job, base: str, folder: Path) -> list[str]:
    values = [
        text for key, value in job.keys.items() for text in (key, value if isinstance(value, str) else repr(value))
    ]
    start = [sys.executable, "-m", "fx_d2", "train", "--config-file", base, "--resume"]
    return [*start, *values, "OUTPUT_DIR", str(folder / job.folder)]


class Runner:
    """Runs jobs; a run that is cut off is resumed by the next call, a finished one is never repeated.

    Args:
        parallel: processes at a time. minutes: after so long no run is begun, and those under way are stopped and
            saved; 0: no limit. say: what prints progress.
    """

    def __init__(self, folder: Path, base: str, parallel: int, minutes: float, say: Callable[[str], None]) -> None:
        self.folder, self.base, self.parallel, self.say = folder, base, parallel, say
        self.seconds = 60 * minutes
        self.active: dict[subprocess.Popen, tuple[Job, float]] = {}
        self.failed: list[Job] = []
        self.paused = 0
        self.spent = [0.0, 0]  # seconds and cost of the runs that were finished here

    def run(self, jobs: Sequence[Job]) -> None:
        """Raises KeyboardInterrupt after the runs under way were stopped and saved."""
        left = deque(job for job in jobs if not finished(self.folder, job, self.base))
        self.total, self.done, self.start = len(jobs), len(jobs) - len(left), time.monotonic()
        self.say(f"{self.total} runs, {self.done} finished before")
        try:
            while left or self.active:
                if self.seconds and time.monotonic() - self.start > self.seconds:
                    self.paused = len(left) + len(self.active)
                    break
                while left and len(self.active) < self.parallel:
                    self._begin(left.popleft())
                time.sleep(_PAUSE)
                self._collect(left)
        finally:
            self._stop()

    def _begin(self, job: Job) -> None:
        folder = self.folder / job.folder
        folder.mkdir(parents=True, exist_ok=True)
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with (folder / _LOG).open("ab") as log:
            process = subprocess.Popen(
                command(job, self.base, self.folder),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C comes to us alone; we stop the runs
            )
        self.active[process] = (job, time.monotonic())

    def _collect(self, left: deque[Job]) -> None:
        for process in [process for process in self.active if process.poll() is not None]:
            job, begun = self.active.pop(process)
            seconds = time.monotonic() - begun
            if process.returncode == 0:
                write_json(self.folder / job.folder / DONE, {"run": _identity(job, self.base)})
                self.done += 1
                self.spent = [self.spent[0] + seconds, self.spent[1] + job.cost]
            else:
                self.failed.append(job)
                self.say(f"failed (exit {process.returncode}): {self.folder / job.folder / _LOG}")
            rest = sum(j.cost for j in left) + sum(j.cost for j, _ in self.active.values())
            words = f"{job.folder} {seconds / 60:.1f} min" if process.returncode == 0 else job.folder
            if self.spent[1] and rest:
                words += f"; about {rest * self.spent[0] / self.spent[1] / self.parallel / 60:.0f} min left"
            self.say(f"{self.done} of {self.total}: {words}")

    def _stop(self) -> None:
        """Asks the runs under way to save and end."""
        for process in self.active:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.active:
            process.wait()
        self.active.clear()
