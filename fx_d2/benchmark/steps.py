"""One training step as the trainer does it, and as the publication's code does it, over the same networks."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import cycle_passes, cycle_units
from ..engine.build import build_networks, build_precision, prepare
from ..engine.locking import apply_lock
from ..engine.optimizer import build_optimizer
from ..schedule import Unit
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
    """Student, teacher and optimizer of a configuration, and steps on random batches.

    Both kinds of step leave no gradient and no flag behind that the other would see.
    """

    def __init__(self, cfg, batch_size: int, threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        prepare(cfg)
        torch.manual_seed(0)
        self.cfg, self.batch_size = cfg, batch_size
        self.student, self.teacher = build_networks(cfg)
        self.teacher.copy_from(self.student)
        self.student.train()
        self.optimizer, self.precision = build_optimizer(cfg, self.student), build_precision(cfg)
        self.device = self.student.device

    def batch(self, unit: Unit) -> list[dict]:
        return random_batch(unit, self.student.classes[unit], self.cfg.INPUT.SIZE, self.batch_size)

    def lock(self, kind: Kind, reference: bool = False) -> None:
        """Flags of a pass; the publication's lock leaves locked modules in training mode."""
        apply_lock(self.student, self.student.parts(kind.unit, kind.train), training=reference)

    def step(self, kind: Kind, batch: list[dict]) -> None:
        """As :meth:`CyclicTrainer.run_step <fx_d2.engine.trainer.CyclicTrainer.run_step>`, without log and hooks."""
        with self.precision.autocast():
            wanted = self.student.consistency_weight > 0 and kind.train != "head"
            targets = self.teacher.model.consistency_features(batch) if wanted else None
            total = sum(self.student(batch, teacher=targets).values())
        self._descend(kind, total, scaler=True)

    def reference_step(self, kind: Kind, batch: list[dict]) -> None:
        """The published training's work, in float32: every Swin block is computed again in the backward pass, the
        teacher has gradients, and for boxes a copy of the student, made in each step, is what the teacher is compared
        with, decoder included. The optimizer is ours, which is faster than the one of that time."""
        student, teacher = self.student, self.teacher.model
        trunks = [student.backbone, teacher.backbone]
        teacher.requires_grad_(True)
        for trunk in trunks:
            trunk.use_checkpoint = True
        teacher.backbone.training = True  # the module alone, none of its blocks: it checkpoints in training mode only
        total = sum(student(batch).values())
        compared = student
        if kind.unit.task == "box":
            compared = copy.deepcopy(student).eval()
            compared.backbone.training = True
        pairs = zip(_features(compared, kind, batch), _features(teacher, kind, batch), strict=True)
        total = total + 0.5 * sum(torch.nn.functional.mse_loss(a, b) for a, b in pairs)
        self._descend(kind, total, scaler=False)
        teacher.backbone.training = False
        for trunk in trunks:
            trunk.use_checkpoint = self.cfg.MODEL.SWIN.CHECKPOINT
        for parameter in teacher.parameters():
            parameter.grad = None
        teacher.requires_grad_(False)

    def _descend(self, kind: Kind, total: Tensor, scaler: bool) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        scale = self.precision.scaler
        (scale.scale(total) if scaler else total).backward()
        norm = self.cfg.SOLVER.CLIP_NORM[kind.unit.task.upper()]
        if norm:
            if scaler:
                scale.unscale_(self.optimizer)
            trained = [p for p in self.student.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(trained, norm)
        if scaler:
            scale.step(self.optimizer)
            scale.update()
        else:
            self.optimizer.step()


def _features(network, kind: Kind, batch: list[dict]) -> tuple[Tensor, ...]:
    """What the publication compares, with gradients: pooled vector, decoder states and chosen tokens, or two maps."""
    head, dataset = network.heads[kind.unit.task], kind.unit.dataset
    encoded = network.encode(batch, kind.unit)
    if kind.unit.task != "box":
        return head.consistency(encoded, dataset)
    out = head.decode(encoded, dataset)
    return out.decoded.states, out.selection.tokens
