"""Whether a run plays its steps from CUDA graphs."""

from __future__ import annotations

import logging

import torch
from detectron2.utils import comm

from .cuda_graphs import CudaGraphs
from .step_graphs import Parts, StepGraphs

logger = logging.getLogger(__name__)


def build_graphs(cfg, parts: Parts) -> StepGraphs | None:
    """``FX.CAPTURE``; None where steps are taken as they are written."""
    device = torch.device(cfg.MODEL.DEVICE)
    if cfg.FX.CAPTURE == "off" or device.type != "cuda":
        return None
    reasons = {
        "several processes": comm.get_world_size() > 1,
        "SOLVER.ACCUMULATE": cfg.SOLVER.ACCUMULATE > 1,
        "SOLVER.AMP.DTYPE float16, whose scale the host changes": parts.precision.scaler.is_enabled(),
    }
    found = ", ".join(reason for reason, holds in reasons.items() if holds)
    if found:
        logger.info("steps are launched kernel by kernel, not played from CUDA graphs: %s", found)
        return None
    return StepGraphs(parts, CudaGraphs(device), cfg.SOLVER.IMS_PER_BATCH)
