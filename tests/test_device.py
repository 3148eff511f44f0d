"""What a configuration becomes on the machine at hand."""

import logging
import os
from pathlib import Path

import pytest
import torch

from fx_d2.config import get_fx_cfg
from fx_d2.device import cpu_has_bfloat16, resolve_device


@pytest.mark.parametrize(
    ("gpu", "bfloat16", "dtype", "device", "enabled"),
    [
        (True, False, "bfloat16", "cuda", True),
        (False, True, "bfloat16", "cpu", True),
        (False, False, "bfloat16", "cpu", False),
        (False, False, "float16", "cpu", True),  # not what was asked about
    ],
)
def test_device_and_precision(gpu, bfloat16, dtype, device, enabled, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr("fx_d2.device.cpu_has_bfloat16", lambda: bfloat16)
    cfg = get_fx_cfg()
    cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE = "cuda", True, dtype
    with caplog.at_level(logging.WARNING):
        resolve_device(cfg)
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == (device, enabled)
    assert ("SOLVER.AMP is left off" in caplog.text) == (not enabled)
    assert ("no GPU here, the CPU is used" in caplog.text) == (not gpu)


def test_kernels_for_gpus_are_left_out_on_the_cpu(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = get_fx_cfg()
    cfg.MODEL.DEVICE, cfg.MODEL.BOX.SAMPLING = "cuda", "triton"
    with caplog.at_level(logging.WARNING):
        resolve_device(cfg)
    assert cfg.MODEL.BOX.SAMPLING == "plain" and "MODEL.BOX.SAMPLING triton" in caplog.text


@pytest.mark.parametrize(("gpu", "wanted"), [(True, True), (True, False), (False, True)])
def test_deterministic_kernels_on_a_gpu_alone(gpu, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    cfg = get_fx_cfg()
    cfg.MODEL.DEVICE, cfg.FX.DETERMINISTIC = "cuda", wanted
    try:
        resolve_device(cfg)
        assert torch.are_deterministic_algorithms_enabled() == (gpu and wanted)
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if gpu and wanted else None)
        assert torch.backends.cudnn.benchmark == (not (gpu and wanted))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = True
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_the_processor_is_asked():
    """AVX512-BF16 or AMX in the kernel's list of flags, where it has one, mean that the answer is yes."""
    file = Path("/proc/cpuinfo")
    flags = file.read_text(encoding="utf-8") if file.exists() else "bf16 unknown"
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        assert cpu_has_bfloat16()
    elif "avx512f" not in flags and "bf16" not in flags:
        assert not cpu_has_bfloat16()
