"""Steps whose loss or gradient is not finite: a policy decides, the batch is kept so that the step can be replayed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..data.mapper import make_instances
from ..files import replacing
from ..modeling import ModelEMA
from ..schedule import Slot

logger = logging.getLogger(__name__)

# Batches kept of each process; each file holds the weights, too.
MAX_BATCHES = 3


class RunningStatistics:
    """The running statistics of every batch normalisation that is training, which a forward pass moves."""

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.training]
        self._saved = [(buffer, buffer.clone()) for module in norms for buffer in module.buffers()]

    @torch.no_grad()
    def restore(self) -> None:
        for buffer, value in self._saved:
            buffer.copy_(value)


@dataclass(frozen=True)
class NonfiniteStep:
    """A step that is not taken.

    Attributes:
        slot: its place in the schedule. description: the same for people.
        losses: of this process. norm: of the gradient. skipped: such steps in the run so far, this one included.
    """

    slot: Slot
    description: str
    batch: Sequence[dict]
    losses: Mapping[str, Tensor]
    norm: float
    student: nn.Module
    teacher: ModelEMA
    skipped: int

    def message(self) -> str:
        values = ", ".join(f"{name} {float(value):.4g}" for name, value in self.losses.items())
        kind = "gradient" if torch.isfinite(torch.stack(list(self.losses.values())).sum()) else "loss"
        files = ", ".join(str(entry.get("file_name", "?")) for entry in self.batch)
        return (
            f"{kind} is not finite at iteration {self.slot.iteration} ({self.description}): {values}; "
            f"gradient norm {self.norm:.4g}; images: {files}"
        )


class NonfinitePolicy:
    """What happens after such a step.

    Args:
        policy: ``stop`` ends the run at the first one; ``skip`` leaves the step out (weights, optimizer and batch
            statistics stay as they were) and counts it.
        limit: steps that may be skipped in a run; one more ends it.
        folder: where batches are kept.
    """

    def __init__(self, policy: str, limit: int, folder: Path) -> None:
        self.policy, self.limit, self.folder = policy, limit, folder

    def handle(self, step: NonfiniteStep, save_batch: bool) -> None:
        """Called on all processes for a step that is not finite on one of them.

        Args:
            save_batch: whether this process writes its batch.

        Raises:
            FloatingPointError: the run ends here; the message names unit, pass, iteration and the images' files.
        """
        message = step.message()
        if save_batch:
            message += self._save(step)
        if self.policy == "stop":
            raise FloatingPointError(message)
        if step.skipped > self.limit:
            raise FloatingPointError(f"{message}; {step.skipped} such steps, FX.NONFINITE.LIMIT is {self.limit}")
        logger.error("step skipped (%d of at most %d): %s", step.skipped, self.limit, message)

    def _save(self, step: NonfiniteStep) -> str:
        """Writes the batch with the weights that it met; says where, or why not."""
        rank = comm.get_rank()
        path = self.folder / f"iteration_{step.slot.iteration:07d}_process_{rank}.pth"
        content = {
            "iteration": step.slot.iteration,
            "unit": str(step.slot.unit),
            "train": step.slot.plan.train,
            "process": rank,
            "world_size": comm.get_world_size(),
            "losses": {name: float(value) for name, value in step.losses.items()},
            "gradient_norm": step.norm,
            "files": [entry.get("file_name", "?") for entry in step.batch],
            "batch": [pack_entry(entry) for entry in step.batch],
            "model": step.student.state_dict(),
            "teacher": step.teacher.state_dict(),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as stream:
                torch.save(content, stream)
            for old in sorted(self.folder.glob(f"iteration_*_process_{rank}.pth"))[:-MAX_BATCHES]:
                old.unlink()
        except (OSError, RuntimeError) as error:
            return f"; the batch could not be kept: {error}"
        return f"; batch and weights are in {path}, tools/dev/replay_batch.py computes the step again"


def pack_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A mapper's output as tensors and plain values, which a file can hold without code."""
    packed = dict(entry)
    if "instances" in packed:
        truth: Instances = packed.pop("instances")
        packed["boxes"] = truth.gt_boxes.tensor.cpu()
        packed["box_classes"] = truth.gt_classes.cpu()
        packed["box_image_size"] = list(truth.image_size)
    return packed


def unpack_entry(packed: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of :func:`pack_entry`."""
    entry = dict(packed)
    if "boxes" in entry:
        size = entry.pop("box_image_size")
        boxes, classes = entry.pop("boxes").numpy(), entry.pop("box_classes").numpy()
        entry["instances"] = make_instances(boxes, classes, size[0])
    return entry
