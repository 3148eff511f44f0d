"""Kernels by group, and the rows of a tiny network; on the CPU a tape of operators stands for a CUDA graph."""

from collections import Counter

import pytest
import torch

from benchmarking import steps
from benchmarking.kernels import GROUPS, REST, group_of, kernel_rows, profiled, shares
from benchmarking.options import Options
from benchmarking.recordings import recording_rows
from fx_d2.engine.step_graphs import StepGraphs
from fx_d2.modeling.detr import sampling
from tests.engine.recorded_operators import RecordedOperators
from tests.tiny import tiny_config

CPU = torch.device("cpu")
# As CUPTI names them on an H100, and operators of the CPU.
NAMES = {
    "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_NNT": "matrix products",
    "void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16>": "matrix products",
    "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64": "matrix products",
    "aten::addmm": "matrix products",
    "aten::mkldnn_convolution": "matrix products",
    "window_forward_kernel": "window attention",
    "window_table_kernel": "window attention",
    "add_norm_backward_kernel": "block kernels",
    "bias_gelu_kernel": "block kernels",
    "sample_backward_kernel": "sampling",
    "void at::native::grid_sampler_2d_backward_kernel<float, int>": "sampling",
    "fmha_cutlassF_bf16_aligned_64x64_rf_sm80": "attention of PyTorch",
    "void at::native::vectorized_layer_norm_kernel<float, float>": "normalisation",
    "void at::native::GammaBetaBackwardCUDAKernelTemplate<float, float, 32, 1>": "normalisation",
    "void at::native::multi_tensor_apply_kernel<FusedOptimizerTensorListMetadata<4>>": "optimizer and foreach",
    "Memcpy DtoH (Device -> Pinned)": "copies and casts",
    "void at::native::elementwise_kernel<128, 4, gpu_kernel_impl<direct_copy_kernel_cuda>>": "copies and casts",
    "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>": "copies and casts",
    "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, sum_functor<float>>>": "sums",
    "void at::native::vectorized_elementwise_kernel<4, at::native::GeluCUDAKernelImpl>": "elementwise",
    "aten::mul_": "elementwise",
    "void at::native::sbtopk::gatherTopK<float, unsigned int, 2>": REST,
}


@pytest.fixture
def cfg(tmp_path):
    """A tiny network for built-in datasets, none of which is on disk: six kinds of steps."""
    units = ["chexpert/cls", "tbx11k/cls", "node21/box", "candid_ptx/mask"]
    return tiny_config(tmp_path, tmp_path, **{"DATASETS.FILES": [], "FX.CYCLE.UNITS": units})


@pytest.fixture
def recorded(monkeypatch):
    """Steps are recorded here as on a GPU; sampling, which leaves PyTorch for scipy, is done without. -> recordings"""
    made = []

    def build_graphs(cfg, parts):
        made.append(StepGraphs(parts, RecordedOperators(), 2))
        return made[-1]

    monkeypatch.setattr(sampling, "sample_tokens", sampling.sample_levels)
    monkeypatch.setattr(sampling, "token_gradients", sampling.level_gradients)
    monkeypatch.setattr(steps, "build_graphs", build_graphs)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_groups_by_name(name):
    assert group_of(name) == NAMES[name]


def test_shares_by_hand():
    found = shares(Counter({"aten::mm": 2.0, "aten::bmm": 1.0, "aten::copy_": 0.5, "made up": 0.5}))
    assert list(found) == [*GROUPS, REST]
    assert {name: share for name, share in found.items() if share} == {
        "matrix products": 0.75,
        "copies and casts": 0.125,
        REST: 0.125,
    }


def test_operators_of_a_step_are_counted():
    a, b = torch.randn(64, 64), torch.randn(64, 64)
    found = profiled(lambda: (a @ b @ a).exp(), CPU, steps=2)
    assert found.launches["aten::mm"] == 2 and found.launches["aten::exp"] == 1
    assert 0 < found.seconds["aten::mm"] < 1


def test_rows_of_recorded_and_launched_steps(cfg, recorded):
    rows = kernel_rows(cfg, Options(batch=2, repeats=1, kinds=("cls", "mask locked")))
    names = [(row["kind"], row["case"]) for row in rows]
    assert names == [(kind, case) for kind in ("cls released", "mask locked") for case in ("played", "launched")]
    for row in rows:
        assert sum(row[group] for group in [*GROUPS, REST]) == pytest.approx(1)
        assert row["kernels"] > 100 and row["matrix products"] > 0 and row["step, ms"] > 0
    # Of each kind a first step as it is written; then one that is recorded, one that is timed, three in the profiler.
    (graphs,) = recorded
    assert (graphs.written, graphs.played) == (2, 2 * 5)


def test_without_recordings_steps_are_launched(cfg):
    rows = kernel_rows(cfg, Options(batch=2, repeats=1, kinds=("cls",)))
    assert [row["case"] for row in rows] == ["launched"]
    assert recording_rows(cfg, Options(batch=2)) == []


def test_all_passes_of_a_cycle_are_recorded(cfg, recorded):
    (row,) = recording_rows(cfg, Options(batch=2))
    assert row["kinds of steps"] == 6 and row["seconds"] > 0 and row["GiB"] == 0  # of a GPU's memory
