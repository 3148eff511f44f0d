"""Fits a configuration to the machine it runs on."""

from __future__ import annotations

import logging
import os

import torch
from detectron2.config import CfgNode

logger = logging.getLogger(__name__)


def resolve_device(cfg: CfgNode) -> None:
    """``MODEL.DEVICE cuda`` becomes the CPU where there is no GPU, and then what needs one is left out.

    So is bfloat16 on a processor without instructions for it, where a product took 40 times as long as in float32.

    On GPUs attention is left to PyTorch's own fused kernels, in the whole process: cuDNN's refuse a bias that is
    learned, so that student and teacher would be computed by different ones, and prepare anew for every number of
    queries.
    """
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        logger.warning("MODEL.DEVICE %s: PyTorch finds no GPU here, the CPU is used", cfg.MODEL.DEVICE)
        cfg.MODEL.DEVICE = "cpu"
    if cfg.MODEL.DEVICE != "cpu":
        torch.backends.cuda.enable_cudnn_sdp(False)
        if cfg.FX.DETERMINISTIC:
            use_deterministic_kernels()
        return
    if cfg.MODEL.BOX.SAMPLING == "triton":
        logger.warning("MODEL.BOX.SAMPLING triton runs on GPUs; on the CPU boxes are sampled the plain way")
        cfg.MODEL.BOX.SAMPLING = "plain"
    amp = cfg.SOLVER.AMP
    if amp.ENABLED and amp.DTYPE == "bfloat16" and not cpu_has_bfloat16():
        logger.warning("SOLVER.AMP is left off: this processor has no bfloat16 instructions, float32 is faster on it")
        amp.ENABLED = False


def use_deterministic_kernels() -> None:
    """In the whole process: PyTorch takes kernels that add in one order, or fails with the name of the operator.

    cuBLAS reads its variable when it is first used, so this comes before any work on a GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # A help for debugging, which costs writes.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def cpu_has_bfloat16() -> bool:
    """Whether PyTorch's matrix library computes products in bfloat16 by instructions of this processor."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
