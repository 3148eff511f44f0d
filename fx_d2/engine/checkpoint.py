"""Checkpoints: student, teacher, trainer, class names and what made them in one file that is whole or not there."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm

from ..checkpoint import CheckpointError, safe_load
from ..files import PARTIAL, replacing
from ..modeling import FoundationX, ModelEMA
from .provenance import compare_runs

logger = logging.getLogger(__name__)

BEST = "model_best"
LAST = "last_checkpoint"
_PERIODIC = re.compile(r"model_(\d{7,})\.pth")
_KEYS = ("model", "teacher", "trainer", "classes", "run")


def class_names(model: FoundationX) -> dict[str, list[str]]:
    """Classes of every unit, as stored in a checkpoint."""
    return {str(unit): list(classes.names) for unit, classes in model.classes.items()}


def exclusive_units(model: FoundationX) -> list[str]:
    """Units whose classes exclude each other: a prediction must know without the dataset's files."""
    return [str(unit) for unit, classes in model.classes.items() if classes.exclusive]


class FXCheckpointer:
    """Keys ``model`` (student), ``teacher``, ``trainer`` (iteration, optimizer, scaler, hooks), ``classes``,
    ``exclusive``, ``run``.

    Args:
        run: what makes the checkpoints; see :func:`~fx_d2.engine.provenance.describe_run`. Needed to save and resume.
    """

    def __init__(
        self,
        model: FoundationX,
        teacher: ModelEMA,
        save_dir: str = "",
        run: Mapping[str, Any] | None = None,
        **checkpointables,
    ) -> None:
        self.model, self.checkpointables = model, {"teacher": teacher, **checkpointables}
        self.save_dir, self.save_to_disk = save_dir, comm.is_main_process()
        self.run = dict(run or {})

    def save(self, name: str, **extra) -> None:
        """Writes a file; on the main process only. ``last_checkpoint`` moves last, and never to the best.

        Raises:
            OSError: it cannot be written; what was there before still is.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data: dict[str, Any] = {"model": self.model.state_dict()}
        data |= {key: part.state_dict() for key, part in self.checkpointables.items()}
        data |= {"classes": class_names(self.model), "exclusive": exclusive_units(self.model), "run": self.run, **extra}
        path = Path(self.save_dir) / f"{name}.pth"
        try:
            with replacing(path) as stream:
                torch.save(data, stream)
            if name != BEST:
                with replacing(path.with_name(LAST)) as stream:
                    stream.write(path.name.encode())
        # PyTorch's writer may turn the stream's error into one of its own.
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"checkpoint {str(path)!r} could not be written: {_cause(error)}; the earlier ones are as they were"
            ) from error
        logger.info("saved %s", path)

    def prune(self, keep: int) -> None:
        """Called after a save: removes all but the last ``keep`` periodic checkpoints (0: keeps all).

        The best and the final one stay.
        """
        if keep and self.save_dir and self.save_to_disk:
            kept = self._periodic()
            for _, path in kept[keep:]:
                path.unlink(missing_ok=True)
            # The run has come past those, too.
            for later in Path(self.save_dir).glob("model_*.pth.later"):
                if later.name.removesuffix(".later") <= kept[0][1].name:
                    later.unlink()

    def rename_later(self, iteration: int) -> None:
        """Renames checkpoints of a future that a resumed run left behind (torn ones, mostly): they count no more."""
        if self.save_to_disk:
            for later, path in self._periodic():
                if later > iteration:
                    target = path.rename(path.with_name(f"{path.name}.later"))
                    logger.warning("%s is later than where the run goes on; it is now %s", path.name, target.name)

    def _periodic(self) -> list[tuple[int, Path]]:
        """(iteration, path) of the periodic checkpoints, newest first."""
        found = [(path, _PERIODIC.fullmatch(path.name)) for path in Path(self.save_dir).glob("model_*.pth")]
        return sorted(((int(match[1]), path) for path, match in found if match), reverse=True)

    def candidates(self) -> list[Path]:
        """Files that a run may go on from: the one of ``last_checkpoint``, then the others, newest first."""
        folder = Path(self.save_dir)
        tag = folder / LAST
        # Only a name counts: a path in a stranger's file leads nowhere else.
        named = [folder / Path(tag.read_text(errors="replace").strip()).name] if tag.is_file() else []
        others = [path for _, path in self._periodic()] + [folder / "model_final.pth", folder / f"{BEST}.pth"]
        return list(dict.fromkeys([*named, *(path for path in others if path.is_file())]))

    def find(self) -> tuple[Path, dict] | None:
        """The newest whole checkpoint of the folder, and its content; None where there is none (collective call).

        Raises:
            CheckpointError: there are checkpoints, but none of them can be used.
            FileNotFoundError: another process does not see the main process's file.
        """
        found = self._find_here() if comm.is_main_process() else None
        path = comm.all_gather(found and found[0])[0]
        if path is None or found:
            return found
        return path, safe_load(path)

    def _find_here(self) -> tuple[Path, dict] | None:
        for leftover in Path(self.save_dir).glob(f"*{PARTIAL}"):
            leftover.unlink()
        candidates = self.candidates()
        for path in candidates:
            try:
                content = safe_load(path, verify=True)
                missing = [key for key in _KEYS if not isinstance(content, dict) or key not in content]
                if missing:
                    raise CheckpointError(f"checkpoint {str(path)!r} is none of a run of fx_d2: it lacks {missing}")
                return path, content
            except (CheckpointError, FileNotFoundError) as error:
                logger.warning("%s; trying the one before", error)
        if candidates:
            raise CheckpointError(
                f"none of the checkpoints in {self.save_dir!r} can be used ({', '.join(p.name for p in candidates)}); "
                "start without --resume to begin anew"
            )
        return None

    def restore(self, path: Path, content: dict) -> None:
        """Puts a run back to where a checkpoint was made.

        Raises:
            ValueError: the run has changed so that an iteration means something else, or tensors do not fit; the
                message shows the differences.
        """
        differences = compare_runs(content["run"], self.run)
        differences.refused += _class_differences(content["classes"], class_names(self.model))
        if differences.refused:
            raise ValueError(
                f"cannot resume from {path}: {'; '.join(differences.refused)}. To start a new run from its weights, "
                "use MODEL.WEIGHTS and another OUTPUT_DIR instead of --resume"
            )
        for difference in differences.allowed:
            logger.warning("resuming with a difference: %s", difference)
        try:
            self.model.load_state_dict(content["model"])
            for key, part in self.checkpointables.items():
                part.load_state_dict(content[key])
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"cannot resume from {path}: {' '.join(str(error).split())[:500]}") from None
        self.rename_later(content["trainer"]["iteration"])


def _class_differences(stored: Mapping, now: Mapping) -> list[str]:
    """Units that both sides know and whose classes differ, in words."""
    return [
        f"{unit} was trained with classes {stored[unit]}, the configuration has {names}"
        for unit, names in now.items()
        if unit in stored and stored[unit] != names
    ]


def _cause(error: BaseException) -> str:
    """The system's word for what went wrong, below PyTorch's."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error)
