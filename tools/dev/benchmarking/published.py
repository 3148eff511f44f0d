"""One training step as the publication's code does it, over the same networks, in float32.

Every Swin block is computed again in the backward pass, the teacher has gradients (which pile up), and for boxes a copy
of the student, made in each step, is what the teacher is compared with, decoder included. ``fast`` parts are ours;
``plain`` ones are what PyTorch offers and the publication's environment (1.13) ran: attention that returns its weights,
``grid_sample`` with its whole graph, an optimizer and a norm that go through the parameters one by one.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor, nn

from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import parameter_groups
from fx_d2.modeling.detr import attention, sampling
from fx_d2.modeling.detr.attention import QueryAttention

from .steps import Bench, Kind

PARTS = ("fast", "plain")


class Published:
    """The published step on the networks of a :class:`Bench`; :meth:`begin` and :meth:`end` set and unset its flags."""

    def __init__(self, bench: Bench, parts: str) -> None:
        if parts not in PARTS:
            raise ValueError(f"the published step's parts are one of {', '.join(PARTS)}, not {parts!r}")
        self.bench, self.parts = bench, parts
        self.student, self.teacher = bench.student, bench.teacher.model
        self.optimizer = bench.optimizer if parts == "fast" else _slow_optimizer(bench)

    def begin(self, kind: Kind) -> None:
        """Its lock leaves locked modules in training mode."""
        apply_lock(self.student, self.student.trainable_parts(kind.unit, kind.train), training=True)
        self.teacher.requires_grad_(True)
        for network in (self.student, self.teacher):
            network.backbone.use_checkpoint = True

    def end(self) -> None:
        """Leaves nothing behind that our step would see or pay for."""
        for network in (self.student, self.teacher):
            network.backbone.use_checkpoint = self.bench.cfg.MODEL.SWIN.CHECKPOINT
        self.teacher.requires_grad_(False)
        for parameter in self.teacher.parameters():
            parameter.grad = None

    def step(self, kind: Kind, batch: list[dict]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with plain_parts() if self.parts == "plain" else contextlib.nullcontext():
            self._descend(kind, self.loss(kind, batch))

    def loss(self, kind: Kind, batch: list[dict]) -> Tensor:
        """Half the task's loss and half the consistency, as in Foundation X."""
        head, dataset = self.student.heads[kind.unit.task], kind.unit.dataset
        encoded = self.student.encode(batch, kind.unit)
        task = sum(head.losses(encoded, dataset, self.student.truth(batch)).values())
        if kind.unit.task == "box":
            own = _decoded(copy.deepcopy(self.student).eval(), kind, batch)
            other = _decoded(self.teacher, kind, batch)
        else:
            own = head.consistency(encoded, dataset)
            other = self.teacher.heads[kind.unit.task].consistency(self.teacher.encode(batch, kind.unit), dataset)
        pairs = [nn.functional.mse_loss(a, b) for a, b in zip(own, other, strict=True)]
        return 0.5 * task + 0.5 * sum(pairs) / len(pairs)

    def _descend(self, kind: Kind, total: Tensor) -> None:
        total.backward()
        norm = self.bench.cfg.SOLVER.CLIP_NORM[kind.unit.task.upper()]
        if norm:
            nn.utils.clip_grad_norm_(self.student.parameters(), norm, foreach=False if self.parts == "plain" else None)
        self.optimizer.step()


def _decoded(network, kind: Kind, batch: list[dict]) -> tuple[Tensor, Tensor]:
    """What the publication compares for boxes: decoder states and chosen tokens, without noised queries."""
    out = network.heads["box"].decode(network.encode(batch, kind.unit), kind.unit.dataset)
    return out.decoded.states, out.selection.tokens


def _slow_optimizer(bench: Bench) -> torch.optim.Optimizer:
    solver = bench.cfg.SOLVER
    groups = parameter_groups(bench.student, solver.BASE_LR, solver.BACKBONE_MULTIPLIER, solver.WEIGHT_DECAY)
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, foreach=False)


@contextlib.contextmanager
def plain_parts() -> Iterator[None]:
    """Within it the networks compute the same with PyTorch's own attention and ``grid_sample``."""
    with (
        mock.patch.object(attention, "ms_deform_attn", lambda *inputs: sampling.sample_levels(*inputs[:4])),
        mock.patch.object(QueryAttention, "forward", _attention_with_weights),
    ):
        yield


def _attention_with_weights(self: QueryAttention, query: Tensor, content: Tensor, attn_mask: Tensor | None = None):
    """PyTorch's own, as DETR and DINO call it: all pairs under one mask, weights returned and thrown away."""
    whole = None
    if attn_mask is not None:
        whole = attn_mask.new_zeros(attn_mask.shape[1], attn_mask.shape[1])
        whole[: len(attn_mask)] = attn_mask
        whole[len(attn_mask) :, : len(attn_mask)] = True
    return nn.MultiheadAttention.forward(self, query, query, content, attn_mask=whole)[0]
