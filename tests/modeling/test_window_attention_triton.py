"""The window attention's Triton kernels without a GPU: interpreted, and compiled for two GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="compiles nothing when interpreting")


def test_the_interpreter_agrees():
    """No test found is an exit code of its own, so 0 means that they ran."""
    command = [sys.executable, "-m", "pytest", "-q", Path(__file__).with_name("interpreted_window_attention.py")]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("name", "capability"), [("window_forward_kernel", 80), ("window_backward_kernel", 90), ("window_table_kernel", 90)]
)
def test_the_kernels_compile_for_a_gpu(name, capability, tmp_path, monkeypatch):
    """To a binary of the GPU, with products on matrix units and rows read 16 bytes at a time."""
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from fx_d2.modeling import window_attention_triton as kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, window = getattr(kernels, name), 7
    sizes = {"HEADS": 4, "D": 32, "WINDOW": window, **kernels.blocks(32, window), "PRECISION": "tf32"}
    if name == "window_table_kernel":
        sizes = {"HEADS": 4, "WINDOW": window, "ROWS": 16, "BLOCK": 64}
    types = dict.fromkeys(("qkv", "gradient", "out", "grad_qkv"), "*bf16")
    types |= dict.fromkeys(("table", "grad_table", "grad_bias"), "*fp32") | {"scale": "fp32"}
    types |= dict.fromkeys(sizes, "constexpr")
    signature = {argument: types.get(argument, "i32") for argument in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, type_ in enumerate(signature.values()) if type_.startswith("*")}
    source = ASTSource(kernel, signature, constexprs=sizes, attrs=aligned)
    options = kernels.compiler(window, torch.bfloat16)
    found = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm
    assert len(found["cubin"]) > 0 and f".target sm_{capability}" in found["ptx"]
    assert "atom" not in found["ptx"]  # the same sums in every run
    if name != "window_table_kernel":
        assert "mma" in found["ptx"] and "ld.global.v4.b32" in found["ptx"]
