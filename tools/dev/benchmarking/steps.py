"""One training step as the trainer does it; :mod:`.published` has the publication's."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor

from fx_d2.config import cycle_passes, cycle_units
from fx_d2.data.pool import PackedBatch
from fx_d2.engine.build import build_networks, build_precision, prepare
from fx_d2.engine.capture import build_graphs
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import build_optimizer, clip_gradients
from fx_d2.engine.processes import wrap_distributed
from fx_d2.engine.step_graphs import Parts
from fx_d2.schedule import Unit

from .batches import random_batch


@dataclass(frozen=True)
class Kind:
    """A unit of one task and what a pass of it trains (``head``: Locked, ``path``: Released)."""

    unit: Unit
    train: str

    def __str__(self) -> str:
        return f"{self.unit.task} {'locked' if self.train == 'head' else 'released'}"


def kinds(cfg) -> list[Kind]:
    """Each task of the cycle, by the first unit that has it, with each kind of pass that it has."""
    first: dict[str, Unit] = {}
    for unit in cycle_units(cfg):
        first.setdefault(unit.task, unit)
    passes = cycle_passes(cfg)
    return [Kind(first[task], train) for task in first for train in dict.fromkeys(p.train for p in passes[task])]


class Bench:
    """Student, teacher and optimizer of a configuration, and steps on random batches."""

    def __init__(self, cfg, batch_size: int, threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        prepare(cfg)
        torch.manual_seed(0)
        self.cfg, self.batch_size = cfg.clone(), batch_size
        self.cfg.defrost()
        self.cfg.SOLVER.IMS_PER_BATCH = batch_size  # FX.COMPILE goes by it
        self.student, self.teacher = build_networks(self.cfg)
        self.teacher.copy_from(self.student)
        self.student.train()
        self.model: torch.nn.Module = self.student  # what a step calls; see lock
        self.optimizer, self.precision = build_optimizer(cfg, self.student), build_precision(cfg)
        self.device = self.student.device
        clip_norms = {task.lower(): norm for task, norm in cfg.SOLVER.CLIP_NORM.items()}
        parts = Parts(self.student, self.teacher.model, self.optimizer, self.precision, clip_norms)
        self.graphs = build_graphs(self.cfg, parts)

    def batch(self, unit: Unit) -> list[dict]:
        """As the loader gives it: for a GPU in pinned memory."""
        batch = random_batch(unit, self.student.classes[unit], self.cfg.INPUT.SIZE, self.batch_size)
        return PackedBatch.pack(batch).pin_memory().unpack() if self.device.type == "cuda" else batch

    def lock(self, kind: Kind) -> None:
        """Flags of a pass, and where there are several processes what exchanges its gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model = None
        apply_lock(self.student, self.student.trainable_parts(kind.unit, kind.train))
        self.model = wrap_distributed(self.student)

    def step(self, kind: Kind, batch: list[dict]) -> None:
        """As :meth:`CyclicTrainer.run_step <fx_d2.engine.trainer.CyclicTrainer.run_step>`, without log and hooks."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.precision.autocast():
            targets = self.teacher.model.consistency_features(batch) if self._teaches(kind) else None
            total = sum(self.model(batch, teacher=targets).values())
        self._descend(kind, total)

    def stream(self) -> contextlib.AbstractContextManager:
        """What recordings need around all steps."""
        return contextlib.nullcontext() if self.graphs is None else self.graphs.stream()

    def played_step(self, kind: Kind, batch: list[dict]) -> None:
        """The same from a recording: one process on a GPU (``graphs``); the first call records it.

        It reads the report as the trainer does before the optimizer's step.
        """
        assert self.graphs is not None
        arguments = kind.unit, kind.train, self._teaches(kind), batch
        played = self.graphs.backward(*arguments)
        if played is None:
            self.step(kind, batch)
            self.graphs.warm(kind.unit, kind.train, batch)
            played = self.graphs.backward(*arguments)
        if played is None:
            raise RuntimeError(f"the step {kind} could not be recorded, see the log")
        step, _, report, _ = played
        report.tolist()
        step.take()

    def _teaches(self, kind: Kind) -> bool:
        return self.student.consistency_weight > 0 and kind.train != "head"

    def _descend(self, kind: Kind, total: Tensor) -> None:
        scaler = self.precision.scaler
        scaler.scale(total).backward()
        scaler.unscale_(self.optimizer)
        clip_gradients(self.student, self.cfg.SOLVER.CLIP_NORM[kind.unit.task.upper()])
        scaler.step(self.optimizer)
        scaler.update()
