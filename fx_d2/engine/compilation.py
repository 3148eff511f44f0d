"""``torch.compile`` of the trunk, for the batch size that nearly all steps have."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from types import MethodType

import torch

from ..modeling import FoundationX

logger = logging.getLogger(__name__)


def compile_trunks(networks: Iterable[FoundationX], batch_size: int, **options) -> None:
    """Compiles the backbones for batches of ``batch_size`` images, in place; other batches run as before.

    Names, weights and checkpoints stay as they are. Static shapes: a compiled form for each of training, locked
    trunk and teacher, each made at its first step. Heads are left alone: their shapes follow the boxes.

    Args:
        options: of ``torch.compile``, such as ``mode``.
    """
    for network in networks:
        _compile(network.backbone, batch_size, options)


def _compile(trunk: torch.nn.Module, batch_size: int, options: dict) -> None:
    plain = type(trunk).forward
    compiled = torch.compile(plain, dynamic=False, **options)

    def forward(self: torch.nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return (compiled if len(images) == batch_size else plain)(self, images)

    trunk.forward = MethodType(forward, trunk)  # a method, so that a copy of the trunk runs with its own weights


@contextlib.contextmanager
def plain_trunks(networks: Iterable[FoundationX]) -> Iterator[None]:
    """Inside the block compiled trunks run as they are written; operations can be counted there.

    Counting a compiled one would see nothing of a recorded graph, and PyTorch 2.11 never compiles a function whose
    first call was counted.
    """
    trunks = [network.backbone for network in networks]
    compiled = [vars(trunk).pop("forward", None) for trunk in trunks]
    try:
        yield
    finally:
        for trunk, forward in zip(trunks, compiled, strict=True):
            if forward is not None:
                trunk.forward = forward


def compile_configured(cfg, networks: Iterable[FoundationX], processes: int) -> None:
    """``FX.COMPILE``; on the CPU it is left out: a compiled step is no faster there and takes minutes to build."""
    if not cfg.FX.COMPILE:
        return
    if torch.device(cfg.MODEL.DEVICE).type != "cuda":
        logger.warning("FX.COMPILE is for GPUs and left out on %s", cfg.MODEL.DEVICE)
        return
    size = cfg.SOLVER.IMS_PER_BATCH // processes // cfg.SOLVER.ACCUMULATE
    compile_trunks(networks, size, mode=cfg.FX.COMPILE)
