"""One step, and whether there is a GPU for it."""

import pytest
import torch

from fx_d2.engine.precision import Precision
from tests.tiny import make_batch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def gradients(model, unit: str, precision: Precision, call=None, side: int = 64) -> tuple[float, torch.Tensor]:
    """Loss of one step, and its gradients in one row (of what has any)."""
    torch.manual_seed(0)
    with precision.autocast():
        total = sum((call or model)(make_batch(unit, side=side)).values())
    model.zero_grad(set_to_none=True)
    total.backward()
    return total.item(), torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])
