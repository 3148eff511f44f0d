"""Weights & Biases beside TensorBoard, for those who ask for it with ``FX.WANDB.ENABLED``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage


class WandbWriter(EventWriter):
    """Sends every scalar of the storage once, under its own iteration; the configuration goes with the run.

    No run is opened before the first write. A resumed run goes on under the same id, which is kept in
    ``OUTPUT_DIR/wandb_id``.

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._wandb = import_wandb()  # now, and not after hours of reading data
        self.options, self.folder = cfg.FX.WANDB, Path(cfg.OUTPUT_DIR)
        self.config = yaml.safe_load(cfg.dump())
        self._run: Any = None
        self._last = -1

    def _open(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        stored = self.folder / "wandb_id"
        known = stored.read_text(encoding="utf-8").strip() if stored.is_file() else None
        run = self._wandb.init(
            project=self.options.PROJECT,
            entity=self.options.ENTITY or None,
            name=self.options.NAME or self.folder.resolve().name,
            mode=self.options.MODE,
            dir=str(self.folder),
            config=self.config,
            id=known,
            resume="allow",
        )
        stored.write_text(run.id + "\n", encoding="utf-8")
        return run

    def write(self) -> None:
        storage = get_event_storage()
        rows: dict[int, dict[str, float]] = {}
        for key, (value, iteration) in storage.latest().items():
            if iteration > self._last:
                rows.setdefault(iteration, {})[key] = float(value)
        if not rows:
            return
        self._run = self._run or self._open()
        for iteration in sorted(rows):
            self._run.log(rows[iteration], step=int(iteration))
        self._last = max(rows)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()


def import_wandb():
    """The library.

    Raises:
        ValueError: it is not installed; the message says how to install it or to do without.
    """
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise ValueError(
            f"FX.WANDB.ENABLED is True but wandb cannot be imported ({error}); "
            "pip install 'fx_d2[wandb]', or set FX.WANDB.ENABLED False"
        ) from None
