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

from ..modeling import FoundationX, ModelEMA
from ..modeling.reduce import MicroBatches
from ..schedule import CycleSchedule, Slot
from .hooks.save import SaveCheckpoint
from .locking import LockReport, apply_lock
from .metrics_file import BoundedStorage
from .nonfinite import NonfinitePolicy, NonfiniteStep, RunningStatistics
from .optimizer import clip_gradients
from .precision import Precision
from .preemption import Preempted, StopRequest
from .processes import no_sync, wrap_distributed
from .step_graphs import StepGraphs, report_step

logger = logging.getLogger(__name__)


def seed_step(seed: int, iteration: int, part: int = 0, parts: int = 1) -> None:
    """Makes every random draw inside the network a function of (seed, iteration, process, micro-batch).

    A resumed run needs no stored generator state: drop-path, dropout and denoising noise come again.
    """
    number = (max(seed, 0) * 1_000_003 + iteration) * comm.get_world_size() + comm.get_rank()
    torch.manual_seed(number * parts + part)


@dataclass(frozen=True)
class StepStatus:
    """What the host knows of a step.

    Attributes:
        nonfinite: a loss or gradient is not finite on some process: no process takes the step.
        local: this process may be the cause: its loss is not finite, or no process's is (a gradient).
        stop: some process was asked to stop. grad_norm: before clipping.
        losses: means over the processes, on the main one.
    """

    nonfinite: bool
    local: bool
    stop: bool
    grad_norm: float
    losses: dict[str, float]


class CyclicTrainer(TrainerBase):
    """Walks a :class:`CycleSchedule`; hooks do the rest (lock, teacher, learning rate, evaluation).

    Args:
        student: the bare network, equal on all processes; ``self.model`` is what training calls.
        batches: one batch an iteration, beginning with the iteration that training starts at.
        clip_norms: largest global gradient norm by task; 0 for none.
        accumulate: micro-batches that a batch is cut into; the gradient is that of the whole batch.
        nonfinite: what happens where a loss or gradient is not finite.
        graphs: plays steps from recordings; one process, ``accumulate`` 1.
    """

    def __init__(
        self,
        *,
        student: FoundationX,
        teacher: ModelEMA,
        optimizer: torch.optim.Optimizer,
        schedule: CycleSchedule,
        precision: Precision,
        clip_norms: dict[str, float],
        seed: int,
        nonfinite: NonfinitePolicy,
        accumulate: int = 1,
        graphs: StepGraphs | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.model = wrap_distributed(student)
        self.teacher = teacher
        self.optimizer = optimizer
        self.schedule = schedule
        self.precision = precision
        self.clip_norms = clip_norms
        self.seed = seed
        self.nonfinite = nonfinite
        self.accumulate = accumulate
        self.graphs = graphs
        self.batches: Iterator[list[dict]] = iter(())
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
        del self.model  # the old wrapper goes, with its buffers, before the new one takes memory
        self.optimizer.zero_grad(set_to_none=True)
        self.model = wrap_distributed(self.student)
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
        if any(type(hook).after_backward is not HookBase.after_backward for hook in self._hooks):
            self.graphs = None  # such a hook reads or changes gradients, which a recorded step does not show
        stream = self.graphs.stream() if self.graphs else contextlib.nullcontext()
        with BoundedStorage(start_iter) as self.storage, self.stop.defer(), stream:
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.finished_steps = self.iter + 1
                    self.after_step()
                if self.graphs is not None:
                    logger.info("%s", self.graphs)
                self.iter = max_iter  # tells the hooks that it went well
                self.state = "finished"
                self.after_train()
            except BaseException as error:
                readable = _readable(error)
                self._end_early(readable)
                if readable is error:
                    raise
                raise readable from error

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
        expected = isinstance(error, ValueError | OSError | FloatingPointError | Preempted | KeyboardInterrupt)
        logger.error("training ends at iteration %d: %s", self.iter, self.reason, exc_info=None if expected else error)
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
        played = None
        if self.graphs is not None:
            seed_step(self.seed, self.iter)
            played = self.graphs.backward(slot.unit, slot.plan.train, self._teaches(slot), batch)
        if played is not None:
            recorded, losses, report, statistics = played
        else:
            self.optimizer.zero_grad(set_to_none=True)
            statistics = RunningStatistics(self.student)
            losses = self._backward(batch, slot)
            self.after_backward()
            report = self._report(losses, slot)
        self.storage.put_scalar("data_time", data_time)
        status = self._read_status(losses, report)
        self.stopping = status.stop
        if status.nonfinite:
            statistics.restore()
            self._skip_step(batch, slot, losses, status)
        elif played is not None:
            recorded.take()
            self._record(slot, status)
        else:
            self.precision.scaler.step(self.optimizer)
            self.precision.scaler.update()
            if self.graphs is not None:
                self.graphs.warm(slot.unit, slot.plan.train, batch)
            self._record(slot, status)

    def _teaches(self, slot: Slot) -> bool:
        """In a Locked pass no trained tensor lies before the compared features: the teacher has nothing to teach."""
        return self.student.consistency_weight > 0 and not slot.locked

    def _report(self, losses: dict[str, Tensor], slot: Slot) -> Tensor:
        """Clips the gradients; see :func:`report_step`."""
        scaler = self.precision.scaler
        scaler.unscale_(self.optimizer)
        grad_norm = clip_gradients(self.student, self.clip_norms[slot.unit.task])
        # float16 overflows now and then; its scaler skips the step and lowers the scale, which cannot go on for ever.
        return report_step(losses, grad_norm, overflows=scaler.is_enabled() and scaler.get_scale() > 1.0)

    def _backward(self, batch: list[dict], slot: Slot) -> dict[str, Tensor]:
        """Leaves the gradient of the whole batch on the parameters; returns the losses (means over micro-batches)."""
        # The same number on all processes, whose shares of the batch may differ by one image.
        parts = max(1, min(self.accumulate, (slot.stop - slot.start) // comm.get_world_size()))
        micro = MicroBatches(parts)
        if parts > 1:  # what the losses sum over the batch must be known before the first gradient
            statistics = RunningStatistics(self.student)
            with torch.no_grad():
                for part in range(parts):
                    with micro.part(part, record=True):
                        self._forward(self.student, batch[part::parts], slot, part, parts)
            statistics.restore()
        means: dict[str, Tensor] = {}
        for part in range(parts):
            with contextlib.nullcontext() if part == parts - 1 else no_sync(self.model):
                with micro.part(part):
                    losses = self._forward(self.model, batch[part::parts], slot, part, parts)
                self.precision.scaler.scale(sum(losses.values()) / parts).backward()
            for name, value in losses.items():
                means[name] = means.get(name, 0.0) + value.detach() / parts
        return means

    def _forward(self, model: nn.Module, batch: list[dict], slot: Slot, part: int, parts: int) -> dict[str, Tensor]:
        seed_step(self.seed, self.iter, part, parts)
        with self.precision.autocast():
            targets = self.teacher.model.consistency_features(batch) if self._teaches(slot) else None
            return model(batch, teacher=targets)

    def _read_status(self, losses: dict[str, Tensor], report: Tensor) -> StepStatus:
        """Before the optimizer's step and in one transfer: the host waits for a GPU once, and runs ahead from there."""
        stop = bool(self.stop.received)
        if comm.get_world_size() == 1:
            bad_loss, skip, norm, *values = report.tolist()
            any_bad_loss = bad_loss
        else:
            flags = torch.cat([report[:2], report.new_full((1,), stop)])
            torch.distributed.all_reduce(flags, op=torch.distributed.ReduceOp.MAX)
            means = comm.reduce_dict(losses)  # right on the main process, which alone records them
            losses = {name: means[name] for name in sorted(means)}
            numbers = torch.stack([report[0], report[2], *losses.values()])
            any_bad_loss, skip, agreed, bad_loss, norm, *values = torch.cat([flags, numbers]).tolist()
            stop = bool(agreed)
        local = not any_bad_loss or bool(bad_loss)
        return StepStatus(bool(skip), local, stop, norm, dict(zip(losses, values, strict=True)))

    def _skip_step(self, batch: list[dict], slot: Slot, losses: dict[str, Tensor], status: StepStatus) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.skipped += 1
        description = slot.describe(self.schedule.cycles)
        step = NonfiniteStep(
            slot, description, batch, losses, status.grad_norm, self.student, self.teacher, self.skipped
        )
        self.nonfinite.handle(step, save_batch=status.local)
        if comm.is_main_process():
            self.storage.put_scalar("skipped_steps", self.skipped, smoothing_hint=False)

    def _record(self, slot: Slot, status: StepStatus) -> None:
        if comm.is_main_process():
            scalars = {f"{slot.unit}/{name}": value for name, value in status.losses.items()}
            scalars["total_loss"] = scalars[f"{slot.unit}/total_loss"] = sum(scalars.values())
            if math.isfinite(status.grad_norm):
                scalars["grad_norm"] = status.grad_norm
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
        for group in state["optimizer"]["param_groups"]:
            group["lr"] = float(group["lr"])
        state["scaler"] = self.precision.scaler.state_dict()
        state["skipped"] = self.skipped
        return state

    def load_state_dict(self, state: dict) -> None:
        # Only the main process has hooks with a state.
        super().load_state_dict(state if comm.is_main_process() else {**state, "hooks": {}})
        # What the configuration says of the groups holds, not what it said when the checkpoint was made. The rate
        # itself follows from it at the next step.
        settings = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, values in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(values)
        self.precision.scaler.load_state_dict(state["scaler"])
        self.skipped = state["skipped"]


def _readable(error: BaseException) -> BaseException:
    """PyTorch reports the death of a loader process from wherever the training happens to be."""
    if isinstance(error, ConnectionError | EOFError) or "DataLoader worker" in str(error):
        reason = " ".join(str(error).split())
        return OSError(
            f"a loader process ended ({reason}). Where the memory ran out, DATALOADER.NUM_WORKERS must be lower; "
            "--resume goes on from the last checkpoint"
        )
    return error
