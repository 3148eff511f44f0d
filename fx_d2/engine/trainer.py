"""The cyclic trainer: one step for every precision, device, number of processes and of micro-batches."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from detectron2.engine import HookBase, TrainerBase
from detectron2.utils import comm
from torch import Tensor, nn

from ..modeling import ModelEMA
from ..modeling.reduce import MicroBatches
from ..schedule import CycleSchedule, Slot
from .hooks.save import SaveCheckpoint
from .locking import LockReport, apply_lock
from .metrics_file import BoundedStorage
from .nonfinite import Nonfinite
from .optimizer import limit_norm
from .precision import Precision
from .preemption import Preempted, StopRequest
from .processes import average_gradients, keep_local

logger = logging.getLogger(__name__)


def seed_step(seed: int, iteration: int, part: int = 0, parts: int = 1) -> None:
    """Makes every random draw inside the network a function of (seed, iteration, process, micro-batch).

    A resumed run needs no stored generator state: drop-path, dropout and denoising noise come again.
    """
    number = (max(seed, 0) * 1_000_003 + iteration) * comm.get_world_size() + comm.get_rank()
    torch.manual_seed(number * parts + part)


@dataclass(frozen=True)
class StepFacts:
    """What the host knows of a step.

    Attributes:
        bad: it must not be taken, on any process. guilty: the fault may be this process's.
        stop: some process was asked to stop. norm: of the gradient, before clipping.
        losses: means over the processes, on the main one.
    """

    bad: bool
    guilty: bool
    stop: bool
    norm: float
    losses: dict[str, float]


class CyclicTrainer(TrainerBase):
    """Walks a :class:`CycleSchedule`; hooks do the rest (lock, teacher, learning rate, evaluation).

    Args:
        student: the bare network, equal on all processes; ``self.model`` is what training calls.
        batches: one batch an iteration, beginning with the iteration that training starts at.
        clip_norms: largest global gradient norm by task; 0 for none.
        accumulate: micro-batches that a batch is cut into; the gradient is that of the whole batch.
        nonfinite: what happens where a loss or gradient is not finite.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        teacher: ModelEMA,
        optimizer: torch.optim.Optimizer,
        schedule: CycleSchedule,
        precision: Precision,
        clip_norms: dict[str, float],
        seed: int,
        nonfinite: Nonfinite,
        accumulate: int = 1,
    ) -> None:
        super().__init__()
        self.student = student
        self.model = average_gradients(student)
        self.teacher = teacher
        self.optimizer = optimizer
        self.schedule = schedule
        self.precision = precision
        self.clip_norms = clip_norms
        self.seed = seed
        self.nonfinite = nonfinite
        self.accumulate = accumulate
        self.batches: Iterator[list[dict]] | None = None
        self.max_iter = len(schedule)
        self.stop = StopRequest()
        # Whether to stop after this step (all processes agree), steps finished and skipped, what the run does.
        self.stopping = False
        self.finished_steps = 0
        self.skipped = 0
        self.state, self.reason = "running", ""

    @property
    def slot(self) -> Slot:
        """What the present iteration does."""
        return self.schedule.at(self.iter)

    def lock(self, trained: list[str], training: bool = False) -> LockReport:
        """Lets exactly these parts of the student train (:func:`apply_lock`), on all processes."""
        report = apply_lock(self.student, trained, training)
        self.model = None  # the old wrapper goes, with its buffers, before the new one takes memory
        self.optimizer.zero_grad(set_to_none=True)
        self.model = average_gradients(self.student)
        return report

    def train(self, start_iter: int, max_iter: int) -> None:
        """Trains iterations ``start_iter`` to ``max_iter - 1``.

        Raises:
            Preempted: it was asked to stop, the run is saved.
        """
        logger.info("training from iteration %d to %d", start_iter, max_iter)
        self.iter = self.start_iter = self.finished_steps = start_iter
        self.max_iter = max_iter
        self.state = "running"
        with BoundedStorage(start_iter) as self.storage, self.stop.deferred():
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.finished_steps = self.iter + 1
                    self.after_step()
                self.iter = max_iter  # tells the hooks that it went well
                self.state = "finished"
                self.after_train()
            except BaseException as error:
                told = _for_people(error)
                self._end_early(told)
                if told is error:
                    raise
                raise told from error

    def before_train(self) -> None:
        super().before_train()
        if self.start_iter > 0:
            self._finish_saved_step()

    def _finish_saved_step(self) -> None:
        """Runs the hooks that the checkpoint's step still lacks; see :class:`SaveCheckpoint`."""
        self.iter = self.storage.iter = self.start_iter - 1
        kinds = [isinstance(hook, SaveCheckpoint) for hook in self._hooks]
        for hook in self._hooks[kinds.index(True) + 1 :] if any(kinds) else []:
            hook.after_step()
        self.iter = self.start_iter

    def _end_early(self, error: BaseException) -> None:
        """Lets every hook close its files, whatever happens in another; the first error is the one that counts."""
        self.state = "preempted" if isinstance(error, Preempted) else "failed"
        self.reason = f"{type(error).__name__}: {error}"
        told = isinstance(error, ValueError | OSError | FloatingPointError | Preempted | KeyboardInterrupt)
        logger.error("training ends at iteration %d: %s", self.iter, self.reason, exc_info=None if told else error)
        self.storage.iter = self.iter
        for hook in self._hooks:
            try:
                hook.after_train()
            except Exception as second:
                logger.error("while closing %s: %s", type(hook).__name__, second)

    def run_step(self) -> None:
        start = time.perf_counter()
        batch = next(self.batches)
        data_time = time.perf_counter() - start
        slot = self.slot
        if batch[0]["unit"] != str(slot.unit):
            raise RuntimeError(f"iteration {self.iter} is for {slot.unit}, the loader gave {batch[0]['unit']}")
        self.optimizer.zero_grad(set_to_none=True)
        self.nonfinite.before_forward(self.student)
        losses = self._backward(batch, slot)
        self.after_backward()
        norm = self._clip(slot)
        self.storage.put_scalar("data_time", data_time)
        facts = self._read(losses, norm)
        self.stopping = facts.stop
        if facts.bad:
            self.nonfinite.handle(self, batch, losses, norm, facts.guilty)
        else:
            self.precision.scaler.step(self.optimizer)
            self.precision.scaler.update()
            self._record(slot, facts)

    def _backward(self, batch: list[dict], slot: Slot) -> dict[str, Tensor]:
        """Leaves the gradient of the whole batch on the parameters; returns the losses (means over micro-batches)."""
        # The same number on all processes, whose shares of the batch may differ by one image.
        parts = max(1, min(self.accumulate, (slot.stop - slot.start) // comm.get_world_size()))
        micro = MicroBatches(parts)
        if parts > 1:  # what the losses sum over the batch must be known before the first gradient
            with torch.no_grad(), self.nonfinite.keeping_statistics(self.student):
                for part in range(parts):
                    with micro.recording(part):
                        self._forward(self.student, batch[part::parts], slot, part, parts)
        means: dict[str, Tensor] = {}
        for part in range(parts):
            with contextlib.nullcontext() if part == parts - 1 else keep_local(self.model):
                with micro.using(part):
                    losses = self._forward(self.model, batch[part::parts], slot, part, parts)
                self.precision.scaler.scale(sum(losses.values()) / parts).backward()
            for name, value in losses.items():
                means[name] = means.get(name, 0.0) + value.detach() / parts
        return means

    def _forward(self, model: nn.Module, batch: list[dict], slot: Slot, part: int, parts: int) -> dict[str, Tensor]:
        seed_step(self.seed, self.iter, part, parts)
        with self.precision.autocast():
            # In a Locked pass no trained tensor lies before the compared features: the teacher has nothing to teach.
            wanted = self.student.consistency_weight > 0 and not slot.locked
            targets = self.teacher.model.consistency_features(batch) if wanted else None
            return model(batch, teacher=targets)

    def _clip(self, slot: Slot) -> Tensor:
        """The global gradient norm before clipping."""
        self.precision.scaler.unscale_(self.optimizer)
        return limit_norm(self.student, self.clip_norms[slot.unit.task])

    def _read(self, losses: dict[str, Tensor], norm: Tensor) -> StepFacts:
        """Before the optimizer's step and in one transfer: the host waits for a GPU once, and runs ahead from there."""
        scaler = self.precision.scaler
        finite_loss = torch.isfinite(sum(losses.values()))
        # float16 overflows now and then; its scaler skips the step and lowers the scale, which cannot go on for ever.
        overflow = scaler.is_enabled() and scaler.get_scale() > 1.0
        bad = ~finite_loss if overflow else ~(finite_loss & torch.isfinite(norm))
        flags = torch.stack([~finite_loss, bad, bad.new_tensor(bool(self.stop.received))]).float()
        means = losses
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(flags, op=torch.distributed.ReduceOp.MAX)
            means = comm.reduce_dict(losses)  # right on the main process, which alone records them
        numbers = torch.stack([~finite_loss, norm, *means.values()]).float()
        bad_loss, bad, stop, own, norm, *values = torch.cat([flags, numbers]).tolist()
        return StepFacts(bool(bad), not bad_loss or bool(own), bool(stop), norm, dict(zip(means, values, strict=True)))

    def _record(self, slot: Slot, facts: StepFacts) -> None:
        if comm.is_main_process():
            scalars = {f"{slot.unit}/{name}": value for name, value in facts.losses.items()}
            scalars["total_loss"] = scalars[f"{slot.unit}/total_loss"] = sum(scalars.values())
            if math.isfinite(facts.norm):
                scalars["grad_norm"] = facts.norm
            # As they are: a running median would mix units, and would start anew on resume.
            self.storage.put_scalars(**scalars, smoothing_hint=False)

    def register_hooks(self, hooks: list[HookBase | None]) -> None:
        names = [
            type(hook).__qualname__ for hook in hooks if hook and hook.state_dict.__func__ is not HookBase.state_dict
        ]
        if len(set(names)) < len(names):
            raise ValueError(f"two hooks of one class keep a state, only one would be saved: {names}")
        super().register_hooks(hooks)

    def state_dict(self) -> dict:
        state = super().state_dict()
        state["optimizer"] = self.optimizer.state_dict()
        state["scaler"] = self.precision.scaler.state_dict()
        state["skipped"] = self.skipped
        return state

    def load_state_dict(self, state: dict) -> None:
        # Only the main process has hooks with a state.
        super().load_state_dict(state if comm.is_main_process() else {**state, "hooks": {}})
        # What the configuration says of the groups holds, not what it said when the checkpoint was made. The rate
        # itself follows from it at the next step.
        own = ("params", "lr")
        settings = [{k: v for k, v in group.items() if k not in own} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, values in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(values)
        self.precision.scaler.load_state_dict(state["scaler"])
        self.skipped = state["skipped"]


def _for_people(error: BaseException) -> BaseException:
    """PyTorch reports the death of a loader process from wherever the training happens to be."""
    if isinstance(error, ConnectionError | EOFError) or "DataLoader worker" in str(error):
        reason = " ".join(str(error).split())
        return OSError(
            f"a loader process ended ({reason}). Where the memory ran out, DATALOADER.NUM_WORKERS must be lower; "
            "--resume goes on from the last checkpoint"
        )
    return error
