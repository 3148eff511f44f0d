"""The Triton kernels without a GPU: run by Triton's interpreter, and compiled for two GPUs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="compiles nothing when interpreting")


def test_the_interpreter_agrees():
    """No test found is an exit code of its own, so 0 means that they ran."""
    command = [sys.executable, "-m", "pytest", "-q", Path(__file__).with_name("interpreted_sampling.py")]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(("capability", "d", "dtype"), [(80, 20, "bf16"), (90, 32, "fp32")])
@pytest.mark.parametrize("name", ["sample_forward_kernel", "sample_backward_kernel", "sample_backward_kernel_whole"])
def test_the_kernels_compile_for_a_gpu(name, capability, d, dtype, tmp_path, monkeypatch):
    """To a binary of the GPU, by the assembler that comes with Triton."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from fx_d2.modeling.detr import sampling_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, points = getattr(sampling_triton, name.removesuffix("_whole")), 2
    sizes = {"HEADS": 8, "LEVELS": 4, "POINTS": points, "D": d, **sampling_triton.blocks(d)}
    if name != "sample_forward_kernel":
        sizes["WHOLE"] = name.endswith("_whole")
    types = {"value": f"*{dtype}", "levels": "*i32", "tokens": "i32", "queries": "i32"}
    types["grad_value"] = "*i64" if sizes.get("WHOLE") else "*fp32"
    types |= dict.fromkeys(sizes, "constexpr")
    signature = {argument: types.get(argument, "*fp32") for argument in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, type_ in enumerate(signature.values()) if type_.startswith("*")}
    source = ASTSource(kernel, signature, constexprs=sizes, attrs=aligned)
    found = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=sampling_triton.COMPILER).asm
    assert len(found["cubin"]) > 0 and f".target sm_{capability}" in found["ptx"]
    # The four numbers a thread sums at each corner, and no product that the compiler fused by itself.
    assert found["ptx"].count("fma.rn.f32") == (4 * 4 * points if name == "sample_forward_kernel" else 0)
    # What programs add to the same places: floats, or whole numbers whose sum no order changes.
    types = set(re.findall(r"\b(?:atom|red)\.global\.\S*add\.(?:noftz\.)?(?:v\d\.)?(\w+)", found["ptx"]))
    assert (
        types
        == {"sample_forward_kernel": set(), "sample_backward_kernel": {"f32"}, "sample_backward_kernel_whole": {"u64"}}[
            name
        ]
    )
    if d == 32:
        assert "ld.global.v4.b32" in found["ptx"]  # rows of float32 are read 16 bytes at a time
