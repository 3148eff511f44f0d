"""Float32 is float32 here: PyTorch would let convolutions on a GPU round their inputs to TF32."""

import pytest
import torch


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
