"""Where the time of a step goes on the device, by the names of its kernels; on the CPU by those of its operators."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from .clock import interleave, synchronise
from .options import Options
from .steps import Bench, kinds

STEPS = 3
REST = "the rest"
# The first whose pattern is found in a name: that of a template names many functions, so the order matters.
GROUPS = {
    "window attention": r"^window_(forward|backward|table)_kernel",
    "block kernels": r"^(add_norm|bias_gelu)(_backward)?_kernel",
    "sampling": r"^sample_(forward|backward)_kernel|grid_sampl",
    "attention of PyTorch": r"attention|flash_|fmha|softmax",
    "matrix products": r"gemm|gemv|nvjet|cutlass|splitKreduce|convol|conv\dd|fprop|dgrad|wgrad|xmma"
    r"|^aten::(mm|bmm|addmm|baddbmm)$",
    "normalisation": r"norm_kernel|LayerNorm|layer_norm|GroupNorm|group_norm|batch_?norm|bn_(fw|bw)|RowwiseMoments"
    r"|GammaBeta|GradInput|ComputeInternalGradients",
    "optimizer and foreach": r"multi_tensor_apply|foreach|fused_adam|lpnorm",
    "copies and casts": r"^Mem(cpy|set)|copy|CatArray|FillFunctor|^aten::(cat|clone|fill_|zero_|_to_copy|pad)$",
    "sums": r"reduce_kernel|^aten::(sum|mean|cumsum)$",
    "elementwise": r"elementwise|^aten::(add|sub|mul|div|neg|exp|log|sqrt|pow|where|clamp|sigmoid|gelu|relu)\w*$",
}


@dataclass(frozen=True)
class Kernels:
    """Of one step: ``launches`` and ``seconds`` by name."""

    launches: Counter[str]
    seconds: Counter[str]


def group_of(name: str) -> str:
    """A key of :data:`GROUPS`, or :data:`REST`."""
    return next((group for group, pattern in GROUPS.items() if re.search(pattern, name)), REST)


def profiled(step: Callable[[], object], device: torch.device, steps: int = STEPS) -> Kernels:
    """Means over ``steps`` calls. What an operator does itself counts, not what it calls."""
    on_gpu = device.type == "cuda"
    synchronise(device)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
        synchronise(device)
    launches, seconds = Counter(), Counter()
    for event in profiler.key_averages():
        if event.is_user_annotation or event.device_type != (DeviceType.CUDA if on_gpu else DeviceType.CPU):
            continue
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        launches[event.key] += event.count / steps
        seconds[event.key] += microseconds / 1e6 / steps
    return Kernels(launches, seconds)


def shares(seconds: Counter[str]) -> dict[str, float]:
    """Share of the time by group, all groups in their order."""
    found = dict.fromkeys([*GROUPS, REST], 0.0)
    for name, value in seconds.items():
        found[group_of(name)] += value / seconds.total()
    return found


def kernel_rows(cfg, options: Options) -> list[dict]:
    """Rows of each kind of step: played from its recording, where the device has any, and launched."""
    bench = Bench(cfg, options.batch, options.threads)
    rows = []
    with bench.stream():
        for kind in filter(options.wants, kinds(cfg)):
            bench.lock(kind)
            batch = bench.batch(kind.unit)
            ways = {"played": bench.played_step} if bench.graphs is not None else {}
            ways["launched"] = bench.step
            steps = {name: partial(way, kind, batch) for name, way in ways.items()}
            times = interleave(steps, options.repeats, bench.device, options.clock)
            for name, step in steps.items():
                rows.append({"kind": str(kind), "case": name} | _row(profiled(step, bench.device), times[name]))
    return rows


def _row(kernels: Kernels, times: list[float]) -> dict:
    longest = [f"{name[:60]} {1e3 * value:.2f}" for name, value in kernels.seconds.most_common(5)]
    return {
        "step, ms": 1e3 * median(times),
        "kernels, ms": 1e3 * kernels.seconds.total(),
        "kernels": kernels.launches.total(),
        **shares(kernels.seconds),
        "longest, ms": ", ".join(longest),
    }
