"""The cyclic trainer: one step for every precision and device."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from torch import Tensor, nn

from ..modeling import ModelEMA
from ..schedule import CycleSchedule, Slot
from .precision import Precision


def seed_step(seed: int, iteration: int) -> None:
    """Makes every random draw inside the network a function of (seed, iteration, process).

    A resumed run needs no stored generator state: drop-path, dropout and denoising noise come again.
    """
    torch.manual_seed((max(seed, 0) * 1_000_003 + iteration) * comm.get_world_size() + comm.get_rank())


class CyclicTrainer(TrainerBase):
    """Walks a :class:`CycleSchedule`; hooks do the rest (lock, teacher, learning rate, evaluation).

    Args:
        model: the student, possibly wrapped by DistributedDataParallel (``self.student`` is the bare network).
        batches: one batch an iteration, beginning with the iteration that training starts at.
        clip_norms: largest global gradient norm by task; 0 for none.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        teacher: ModelEMA,
        optimizer: torch.optim.Optimizer,
        schedule: CycleSchedule,
        precision: Precision,
        clip_norms: dict[str, float],
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.student = getattr(model, "module", model)
        self.teacher = teacher
        self.optimizer = optimizer
        self.schedule = schedule
        self.precision = precision
        self.clip_norms = clip_norms
        self.seed = seed
        self.batches: Iterator[list[dict]] | None = None
        self.max_iter = len(schedule)

    @property
    def slot(self) -> Slot:
        """What the present iteration does."""
        return self.schedule.at(self.iter)

    def run_step(self) -> None:
        start = time.perf_counter()
        batch = next(self.batches)
        data_time = time.perf_counter() - start
        slot = self.slot
        if batch[0]["unit"] != str(slot.unit):
            raise RuntimeError(f"iteration {self.iter} is for {slot.unit}, the loader gave {batch[0]['unit']}")
        seed_step(self.seed, self.iter)
        with self.precision.autocast():
            # In a Locked pass no trained tensor lies before the compared features: the teacher has nothing to teach.
            wanted = self.student.consistency_weight > 0 and not slot.locked
            targets = self.teacher.model.consistency_features(batch) if wanted else None
            losses = self.model(batch, teacher=targets)
        total = sum(losses.values())
        self._check_finite(total, losses, batch)
        self.optimizer.zero_grad(set_to_none=True)
        scaler = self.precision.scaler
        scaler.scale(total).backward()
        self.after_backward()
        if self.clip_norms[slot.unit.task]:
            scaler.unscale_(self.optimizer)
            trained = [p for p in self.student.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(trained, self.clip_norms[slot.unit.task])
        scaler.step(self.optimizer)
        scaler.update()
        self._record(slot, losses, data_time)

    def _check_finite(self, total: Tensor, losses: dict[str, Tensor], batch: list[dict]) -> None:
        if torch.isfinite(total):
            return
        values = {name: value.item() for name, value in losses.items()}
        files = [entry.get("file_name", "?") for entry in batch]
        raise FloatingPointError(
            f"loss is not finite at iteration {self.iter} ({self.slot.describe(self.schedule.cycles)}): {values}; "
            f"images: {files}"
        )

    def _record(self, slot: Slot, losses: dict[str, Tensor], data_time: float) -> None:
        values = {name: value.detach() for name, value in losses.items()}
        if comm.get_world_size() > 1:
            values = comm.reduce_dict(values)
        self.storage.put_scalar("data_time", data_time)
        if comm.is_main_process():
            scalars = {f"{slot.unit}/{name}": float(value) for name, value in values.items()}
            scalars["total_loss"] = scalars[f"{slot.unit}/total_loss"] = sum(scalars.values())
            # As they are: a running median would mix units, and would start anew on resume.
            self.storage.put_scalars(**scalars, smoothing_hint=False)

    def state_dict(self) -> dict:
        state = super().state_dict()
        state["optimizer"] = self.optimizer.state_dict()
        state["scaler"] = self.precision.scaler.state_dict()
        return state

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.scaler.load_state_dict(state["scaler"])
