"""FX.COMPILE on a GPU, in a file of its own: building takes minutes where the rest takes seconds.

How it is traced is tested without a GPU: ``tests/engine/test_compilation.py``.
"""

import pytest
import torch

from fx_d2.engine.compilation import compile_trunks
from fx_d2.engine.precision import Precision
from tests.gpu.steps import gradients, needs_gpu
from tests.tiny import make_batch, make_model


@needs_gpu
def test_compiled_trunks_give_the_same_losses_and_gradients():
    """FX.COMPILE: teacher and student."""
    exact, results = Precision("cuda", False, "bfloat16"), []
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for compiled in (False, True):
        student, teacher = make_model().cuda().train(), make_model().cuda().eval()
        if compiled:
            compile_trunks([student, teacher], len(make_batch("two/cls")), mode="default")
        for _ in range(4):
            targets = teacher.consistency_features(make_batch("two/cls"))
            results.append(gradients(student, "two/cls", exact, lambda b, s=student, t=targets: s(b, teacher=t)))
    for (loss, gradient), (expected, plain) in zip(results[4:], results[:4], strict=True):
        assert loss == pytest.approx(expected, rel=1e-3)
        torch.testing.assert_close(gradient, plain, atol=1e-4, rtol=1e-2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2  # of student and teacher: it was compiled
