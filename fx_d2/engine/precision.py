"""Mixed precision on any device: one autocast context and one gradient scaler."""

from __future__ import annotations

import contextlib

import torch

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """float32, or autocast in bfloat16 / float16; only float16 needs its gradients scaled.

    Raises:
        ValueError: the type is unknown, or the device lacks it.
    """

    def __init__(self, device: str, enabled: bool, dtype: str) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"SOLVER.AMP.DTYPE must be one of {', '.join(DTYPES)}, not {dtype!r}")
        self.device_type = torch.device(device).type
        if enabled and dtype == "bfloat16" and self.device_type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ValueError("this GPU has no bfloat16: set SOLVER.AMP.DTYPE float16, or SOLVER.AMP.ENABLED False")
        self.dtype = DTYPES[dtype] if enabled else torch.float32
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=self.dtype == torch.float16)

    def autocast(self) -> contextlib.AbstractContextManager:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)
