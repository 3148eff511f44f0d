"""Float32 is float32 here: PyTorch would let convolutions on a GPU round their inputs to TF32."""

import os

import pytest
import torch

from fx_d2.device import use_deterministic_kernels

os.environ.setdefault(
    "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
)  # read once, when the first product of a process is computed


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture
def restored_kernels(monkeypatch):
    """A test may choose deterministic ones."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def deterministic(restored_kernels):
    """FX.DETERMINISTIC."""
    use_deterministic_kernels()
