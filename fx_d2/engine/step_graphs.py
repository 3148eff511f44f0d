"""Training steps from recordings: the host says "again" instead of launching thousands of kernels.

A step on the device is a function of its images and truth, of weights, optimizer state, learning rate and random seed.
All of these are tensors that stay where they are (the seed: PyTorch's generator, which recordings ask anew), so that a
recorded step does what a step does. See docs/captured_steps.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ..modeling import FoundationX
from ..modeling.foundation_x import Step
from ..modeling.heads.contract import stack_entries
from ..modeling.tensor_cache import hold_cached_tensors
from ..schedule import Unit
from .cuda_graphs import Recorder
from .nonfinite import RunningStatistics
from .optimizer import clip_gradients
from .precision import Precision

logger = logging.getLogger(__name__)
T = TypeVar("T")
Batch = Sequence[dict]
VIEWS = ("image", "image_teacher")


def _reserved_bytes() -> int:
    return torch.cuda.memory_reserved() if torch.cuda.is_available() else 0


@dataclass
class Parts:
    """What a step works with; ``clip_norms`` as in :class:`.trainer.CyclicTrainer`."""

    student: FoundationX
    teacher: FoundationX
    optimizer: torch.optim.Optimizer
    precision: Precision
    clip_norms: dict[str, float]


def report_step(losses: dict[str, Tensor], grad_norm: Tensor, overflows: bool = False) -> Tensor:
    """What the host reads of a step, (3 + losses,): its loss is not finite, the step is not, gradient norm, losses.

    ``overflows``: a gradient that is not finite is no reason to leave the step out.
    """
    bad_loss = ~torch.isfinite(torch.stack(list(losses.values())).sum())
    bad = bad_loss if overflows else bad_loss | ~torch.isfinite(grad_norm)
    return torch.stack([bad_loss, bad, grad_norm, *losses.values()]).float()


class _Recording(Generic[T]):
    """Does its work when it is called: recorded the first time, from the recording later. ``result``: of the work."""

    def __init__(self, recorder: Recorder, work: Callable[[], T]) -> None:
        self._recorder, self._work = recorder, work
        self._replay: Callable[[], None] | None = None
        self.result: T | None = None

    def __call__(self) -> None:
        if self._replay is None:
            self._replay, self.result = self._recorder.record(self._work)
        else:
            self._replay()


class _Question:
    """A tensor of the device that the host sees, and the answer, in memory of their own."""

    def __init__(self, question: Tensor) -> None:
        on_gpu = question.device.type == "cuda"
        self._question = question
        self._seen = torch.empty_like(question, device="cpu", pin_memory=on_gpu)
        self._asked = torch.cuda.Event() if on_gpu else None
        self._said: Tensor | None = None
        self.answer: Tensor | None = None

    def ask(self) -> None:
        self._seen.copy_(self._question, non_blocking=True)
        if self._asked is not None:
            self._asked.record()

    def decide(self, decide: Callable[[Tensor], Tensor]) -> Tensor:
        """Waits for the question, not for what the device was given after it."""
        if self._asked is not None:
            self._asked.synchronize()
        said = decide(self._seen)
        if self._said is None or self.answer is None:
            self._said = torch.empty_like(said, pin_memory=self._asked is not None)
            self.answer = torch.empty_like(said, device=self._question.device)
        self._said.copy_(said)  # pinned, so that the host need not wait until it has arrived
        return self.answer.copy_(self._said, non_blocking=True)


class StepGraph:
    """One kind of step: a unit, what trains, and the shapes of its images and truth.

    Four recordings: the student up to the host's decision, the teacher (which runs while the host decides), losses
    and gradients, the optimizer. Between :meth:`backward` and :meth:`take` no other step may come.

    Attributes:
        complete: all of it is recorded. held: tensors of caches that it reads and that must not be freed.
    """

    def __init__(self, parts: Parts, recorder: Recorder, unit: Unit, teaches: bool, batch: Batch, truth: Any) -> None:
        self._parts, self._unit = parts, unit
        device = parts.student.device
        self._images = {
            view: torch.empty_like(stack_entries(batch, view), device=device) for view in VIEWS if view in batch[0]
        }
        self._truth = tree_map(lambda x: torch.empty_like(x, device=device), truth)
        names = {"unit": str(unit)}
        self._batch = [names | {view: x[i] for view, x in self._images.items()} for i in range(len(batch))]
        self._begin = _Recording(recorder, self._begin_step)
        self._teach = _Recording(recorder, self._ask_teacher) if teaches else None
        self._descend = _Recording(recorder, self._losses_and_gradients)
        self._take = _Recording(recorder, self._step_optimizer)
        self._question: _Question | None = None
        self._step: Step | None = None
        self.complete = False
        self.held: list[Tensor] = []

    def backward(self, batch: Batch, truth: Any) -> tuple[dict[str, Tensor], Tensor, RunningStatistics]:
        """-> losses, :func:`report_step` and how to undo the step; at the first time records it, too."""
        for view, images in self._images.items():
            images.copy_(stack_entries(batch, view), non_blocking=True)
        for static, new in zip(tree_leaves(self._truth), tree_leaves(truth), strict=True):
            static.copy_(new, non_blocking=True)
        self._begin()
        assert self._begin.result is not None
        statistics, question = self._begin.result
        if self._question is None and question is not None:  # pinned memory cannot be made while a graph is recorded
            self._question = _Question(question)
        if self._question is not None:
            self._question.ask()
        if self._teach is not None:
            self._teach()
        if self._question is not None:
            self._question.decide(self._parts.student.heads[self._unit.task].decide)
        self._descend()
        assert self._descend.result is not None
        self._step = None  # what autograd and later parts have used: its memory serves other recordings
        if self._teach is not None:
            self._teach.result = None
        return *self._descend.result, statistics

    def take(self) -> None:
        """The optimizer's step."""
        self._take()
        if not self.complete:  # from now on the gradients' memory serves other recordings, too
            self._parts.optimizer.zero_grad(set_to_none=True)
            self.complete = True

    def _begin_step(self) -> tuple[RunningStatistics, Tensor | None]:
        statistics = RunningStatistics(self._parts.student)
        with self._parts.precision.autocast():
            self._step = self._parts.student.begin(self._batch, self._truth)
        return statistics, self._parts.student.question(self._step)

    def _ask_teacher(self) -> tuple[Tensor, ...]:
        with self._parts.precision.autocast():
            return self._parts.teacher.consistency_features(self._batch)

    def _losses_and_gradients(self) -> tuple[dict[str, Tensor], Tensor]:
        parts = self._parts
        assert self._step is not None
        answer = None if self._question is None else self._question.answer
        with parts.precision.autocast():
            losses = parts.student.finish(self._step, answer, self._teach.result if self._teach else None)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        grad_norm = clip_gradients(parts.student, parts.clip_norms[self._unit.task])
        losses = {name: loss.detach() for name, loss in losses.items()}
        return losses, report_step(losses, grad_norm)

    def _step_optimizer(self) -> None:
        groups = self._parts.optimizer.param_groups
        capturing = self._parts.student.device.type == "cuda"
        for group in groups:
            group["capturable"] = capturing  # PyTorch wants to be told
        self._parts.optimizer.step()
        for group in groups:
            group["capturable"] = False


class StepGraphs:
    """The recorded steps of a run.

    A kind of step is taken as it is written the first time (that fills caches, compiles kernels and makes the
    optimizer's state) and recorded at the second. Only batches of ``batch_size`` are recorded: nearly all are.
    """

    def __init__(self, parts: Parts, recorder: Recorder, batch_size: int) -> None:
        self._parts, self._recorder, self._batch_size = parts, recorder, batch_size
        self._steps: dict[Hashable, StepGraph] = {}
        self._warm: set[Hashable] = set()
        self._broken = False
        self.seconds, self.bytes = 0.0, 0
        self.played = self.written = 0  # steps from recordings, and as they are written
        self.stream = recorder.stream
        device = parts.student.device
        for group in parts.optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)

    def __str__(self) -> str:
        share = self.played / max(1, self.played + self.written)
        return (
            f"{share:.1%} of the steps came from CUDA graphs: {len(self._steps)} kinds of steps, recorded in "
            f"{self.seconds:.1f} s, {self.bytes / 2**30:.2f} GiB"
        )

    def key(self, unit: Unit, train: str, batch: Batch, truth: Any) -> Hashable | None:
        """The kind of step; None where it is never recorded."""
        shapes = {entry["image"].shape for entry in batch}
        if self._broken or len(batch) != self._batch_size or len(shapes) > 1:
            return None
        tensors = [*(batch[0][view] for view in VIEWS if view in batch[0]), *tree_leaves(truth)]
        return unit, train, tuple((x.shape, x.dtype) for x in tensors)

    def backward(
        self, unit: Unit, train: str, teaches: bool, batch: Batch
    ) -> tuple[StepGraph, dict[str, Tensor], Tensor, RunningStatistics] | None:
        """A step up to the optimizer, see :meth:`StepGraph.backward`; None: it must be taken as it is written."""
        truth = self._parts.student.truth(batch, torch.device("cpu"))
        key = self.key(unit, train, batch, truth)
        if key is None or key not in self._warm:
            return None
        step = self._steps.get(key)
        if step is not None and step.complete:
            self.played += 1
            return step, *step.backward(batch, truth)
        return self._record(key, unit, teaches, batch, truth)

    def _record(self, key: Hashable, unit: Unit, teaches: bool, batch: Batch, truth: Any):
        step = StepGraph(self._parts, self._recorder, unit, teaches, batch, truth)
        statistics = RunningStatistics(self._parts.student)
        self._parts.optimizer.zero_grad(set_to_none=True)
        start, before = time.perf_counter(), _reserved_bytes()
        try:
            with hold_cached_tensors(step.held):
                found = step.backward(batch, truth)
        except RuntimeError as error:
            self._broken = True
            statistics.restore()
            self._parts.optimizer.zero_grad(set_to_none=True)
            reason = " ".join(str(error).split())
            logger.warning("a step of %s could not be recorded, all others are taken without: %s", unit, reason)
            return None
        self._steps[key] = step
        self.played += 1
        self.seconds += time.perf_counter() - start
        self.bytes += _reserved_bytes() - before
        return step, *found

    def warm(self, unit: Unit, train: str, batch: Batch) -> None:
        """Tells that a step was taken as it is written."""
        self.written += 1
        key = self.key(unit, train, batch, self._parts.student.truth(batch, torch.device("cpu")))
        if key is not None:
            self._warm.add(key)
