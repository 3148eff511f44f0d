"""metrics.json of a run that may be killed anywhere: no line missing, none twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils.events import EventStorage, JSONWriter, TensorboardXWriter, get_event_storage
from fvcore.common.history_buffer import HistoryBuffer


class BoundedStorage(EventStorage):
    """Detectron2's storage with a short memory: it would keep up to a million values of every scalar."""

    class _ShortHistory(dict):
        def __missing__(self, key: str) -> HistoryBuffer:
            self[key] = HistoryBuffer(max_length=300)
            return self[key]

    def __init__(self, start_iter: int = 0) -> None:
        super().__init__(start_iter)
        self._history = self._ShortHistory()


class MetricsFile(JSONWriter):
    """Detectron2's writer, which can say where it stands and be put back there."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path))
        self.path = Path(path)

    @property
    def written(self) -> int:
        """The last iteration of which something is in the file; -1 for none."""
        return self._last_write

    def size(self) -> int:
        return self.path.stat().st_size

    def rewind(self, size: int, written: int) -> None:
        """Forgets the lines after the first ``size`` bytes: a resumed run writes them again."""
        if self.size() > size:
            os.truncate(self.path, size)
        self._last_write = written

    def write(self) -> None:
        """Appends what is new, one line an iteration, in their order."""
        lines: dict[int, dict[str, float]] = {}
        for name, (value, when) in get_event_storage().latest_with_smoothing_hint(self._window_size).items():
            if when > self._last_write:
                lines.setdefault(when, {"iteration": when})[name] = value
        try:
            for when in sorted(lines):
                self._file_handle.write(json.dumps(lines[when], sort_keys=True) + "\n")
            self._file_handle.flush()
            os.fsync(self._file_handle.fileno())
        except OSError as error:
            raise OSError(f"{self.path} could not be written: {error.strerror}") from error
        self._last_write = max([self._last_write, *lines])


class BoardWriter(TensorboardXWriter):
    """TensorBoard's events; a resumed run tells TensorBoard to hide what was written after its checkpoint."""

    def __init__(self, folder: str, metrics: MetricsFile, resumed: bool) -> None:
        super().__init__(folder)
        self._metrics, self._resumed = metrics, resumed

    def write(self) -> None:
        if self._resumed:  # the file has been put back by now
            self._resumed, self._last_write = False, self._metrics.written
            self._writer_args["purge_step"] = self._metrics.written + 1
        super().write()


class RunLog(HookBase):
    """Keeps in the checkpoint what metrics.json holds at that moment, and the scalars that are not yet in it.

    Args:
        metrics: the file; None on all but the main process.
    """

    def __init__(self, metrics: MetricsFile | None) -> None:
        self.metrics = metrics
        self._restored: dict = {}

    def before_train(self) -> None:
        if self.metrics is None or not self._restored:
            return
        self.metrics.rewind(self._restored["size"], self._restored["written"])
        for name, value, iteration, smooth in self._restored["pending"]:
            self.trainer.storage.put_scalar(name, value, smoothing_hint=smooth, cur_iter=iteration)

    def state_dict(self) -> dict:
        if self.metrics is None:
            return {}
        storage, written = self.trainer.storage, self.metrics.written
        hints = storage.smoothing_hints()
        pending = [[k, v, when, hints[k]] for k, (v, when) in storage.latest().items() if when > written]
        return {"size": self.metrics.size(), "written": written, "pending": pending}

    def load_state_dict(self, state: dict) -> None:
        self._restored = state
