"""What happens where a loss or a gradient is not finite: it is named, its batch is kept, and a policy decides."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..data.mapper import make_instances
from .files import replacing

if TYPE_CHECKING:
    from .trainer import CyclicTrainer

logger = logging.getLogger(__name__)

POLICIES = ("stop", "skip")
FOLDER = "nonfinite"
# Batches kept; each file holds the weights, too.
KEPT = 3


class Nonfinite:
    """The policy.

    Args:
        policy: ``stop`` ends the run at the first such step; ``skip`` leaves the step out (weights, optimizer and
            batch statistics stay as they were) and counts it.
        limit: steps that may be skipped in a run; one more ends it.
        folder: where batches are kept.
    """

    def __init__(self, policy: str, limit: int, folder: Path) -> None:
        self.policy, self.limit, self.folder = policy, limit, folder
        self._statistics: list[tuple[Tensor, Tensor]] = []

    def before_forward(self, student: nn.Module) -> None:
        """Remembers the batch statistics, which a forward pass moves."""
        self._statistics = _running_statistics(student)

    @contextlib.contextmanager
    def keeping_statistics(self, student: nn.Module) -> Iterator[None]:
        """Forward passes in the block leave no trace in the batch statistics."""
        before = _running_statistics(student)
        try:
            yield
        finally:
            _put_back(before)

    def handle(
        self, trainer: CyclicTrainer, batch: Sequence[dict], losses: Mapping[str, Tensor], norm: Tensor, guilty: bool
    ) -> None:
        """Called on all processes for a step that is not finite on one of them.

        Args:
            guilty: this process's own loss is not finite, or no process's is (a gradient): it keeps its batch.

        Raises:
            FloatingPointError: the run ends here; the message names unit, pass, iteration and the images' files.
        """
        _put_back(self._statistics)
        trainer.optimizer.zero_grad(set_to_none=True)
        trainer.skipped += 1
        message = _describe(trainer, batch, losses, norm)
        if guilty:
            message += self._keep(trainer, batch, losses, norm)
        if self.policy == "stop":
            raise FloatingPointError(message)
        if trainer.skipped > self.limit:
            raise FloatingPointError(f"{message}; {trainer.skipped} such steps, FX.NONFINITE.LIMIT is {self.limit}")
        logger.error("step skipped (%d of at most %d): %s", trainer.skipped, self.limit, message)
        if comm.is_main_process():
            trainer.storage.put_scalar("skipped_steps", trainer.skipped, smoothing_hint=False)

    def _keep(self, trainer, batch, losses, norm) -> str:
        """Writes the batch with the weights that it met; says where, or why not."""
        path = self.folder / f"iteration_{trainer.iter:07d}_process_{comm.get_rank()}.pth"
        content = {
            "iteration": trainer.iter,
            "unit": str(trainer.slot.unit),
            "train": trainer.slot.plan.train,
            "process": comm.get_rank(),
            "world_size": comm.get_world_size(),
            "losses": {name: float(value) for name, value in losses.items()},
            "gradient_norm": float(norm),
            "files": [entry.get("file_name", "?") for entry in batch],
            "batch": [pack_entry(entry) for entry in batch],
            "model": trainer.student.state_dict(),
            "teacher": trainer.teacher.state_dict(),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as stream:
                torch.save(content, stream)
            for old in sorted(self.folder.glob(f"iteration_*_process_{comm.get_rank()}.pth"))[:-KEPT]:
                old.unlink()
        except (OSError, RuntimeError) as error:
            return f"; the batch could not be kept: {error}"
        return f"; batch and weights are in {path}, tools/dev/replay_batch.py computes the step again"


def _describe(trainer, batch, losses, norm) -> str:
    values = ", ".join(f"{name} {float(value):.4g}" for name, value in losses.items())
    what = "gradient" if torch.isfinite(sum(losses.values())) else "loss"
    files = ", ".join(str(entry.get("file_name", "?")) for entry in batch)
    return (
        f"{what} is not finite at iteration {trainer.iter} ({trainer.slot.describe(trainer.schedule.cycles)}): "
        f"{values}; gradient norm {float(norm):.4g}; images: {files}"
    )


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


def _running_statistics(student: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """(buffer, copy) of every batch normalisation that is training."""
    norms = [module for module in student.modules() if isinstance(module, _NormBase) and module.training]
    return [(buffer, buffer.clone()) for module in norms for buffer in module.buffers()]


@torch.no_grad()
def _put_back(statistics: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, before in statistics:
        buffer.copy_(before)
