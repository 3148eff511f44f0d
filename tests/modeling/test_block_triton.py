"""The Triton kernels between a Swin block's products without a GPU: interpreted, and compiled for two GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="compiles nothing when interpreting")


def test_the_interpreter_agrees():
    """No test found is an exit code of its own, so 0 means that they ran."""
    command = [sys.executable, "-m", "pytest", "-q", Path(__file__).with_name("interpreted_blocks.py")]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def compiled(name, capability, width=512):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from fx_d2.modeling import block_triton

    kernel = getattr(block_triton, name)
    sizes = block_triton.tile(width) if "norm" in name else block_triton.part(4 * width)
    sizes |= {flag: True for flag in kernel.arg_names if flag.startswith("HAS")}
    types = dict.fromkeys(("branch", "normed", "grad_normed", "grad_branch", "out", "gradient", "factor"), "*bf16")
    types |= dict.fromkeys(("bias", "weight", "shift", "mean", "scale", "sums"), "*fp32") | {"eps": "fp32"}
    types |= dict.fromkeys(("x", "total", "grad_total", "grad_x"), "*fp32" if "norm" in name else "*bf16")
    types |= dict.fromkeys(sizes, "constexpr")
    signature = {argument: types.get(argument, "i32") for argument in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, type_ in enumerate(signature.values()) if type_.startswith("*")}
    source = ASTSource(kernel, signature, constexprs=sizes, attrs=aligned)
    options = block_triton.BACKWARD if "backward" in name else block_triton.FORWARD
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("add_norm_kernel", 80),
        ("add_norm_backward_kernel", 90),
        ("bias_gelu_kernel", 90),
        ("bias_gelu_backward_kernel", 80),
    ],
)
def test_the_kernels_compile_for_a_gpu(name, capability, tmp_path, monkeypatch):
    """To a binary of the GPU that reads several numbers at once and adds nothing up in any order."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    found = compiled(name, capability)
    assert len(found["cubin"]) > 0 and f".target sm_{capability}" in found["ptx"]
    assert "atom" not in found["ptx"] and "red.global" not in found["ptx"]
    assert "ld.global.v4.b32" in found["ptx"] or "ld.global.v2.b32" in found["ptx"]
