"""Kernels that a step would launch on a GPU and bytes that they would move, counted without one.

Counted from the operators that PyTorch dispatches, each with its number of kernels, and from our Triton kernels. A
profiler finds up to a fifth more: what libraries launch beside a product (split sums, memory set to zero) is unknown
here. Not counted: the assignment of boxes.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from unittest import mock

from torch import Tensor
from torch._library.custom_ops import OPDEFS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .batches import random_batch
from .fake_gpu import on_fake_gpu
from .options import Options
from .steps import Bench, kinds

try:
    from triton.runtime import JITFunction
except ImportError:  # then there are no kernels of ours either
    JITFunction = None

# What an H100 moves and computes in bfloat16, as measured: bytes and operations a second.
BYTES_PER_SECOND, FLOPS = 3e12, 600e12
# Operators that only make a name for memory. Views are known by their schema.
_FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "device"}
_FREE |= {"_record_function_enter_new", "_record_function_exit", "set_", "resize_"}
# Operators of more kernels than one.
_KERNELS = {
    "native_layer_norm_backward": 3,  # of the input; of weight and bias in two
    "native_group_norm": 2,
    "native_group_norm_backward": 3,
    "native_batch_norm_backward": 2,
    "_scaled_dot_product_efficient_attention_backward": 3,  # row sums, gradients, gradient of the bias
    "embedding_dense_backward": 2,  # zeros, sums
    "index_put": 2,
    "grid_sampler_2d_backward": 2,
    "select_backward": 2,
    "slice_backward": 2,
    "topk": 2,
}
# Tensors and pieces of 65,536 numbers of one launch over many tensors (ATen's MultiTensorApply).
_MANY_TENSORS, _MANY_PIECES, _PIECE = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}, 320, 65536


class Launches(TorchDispatchMode):
    """Counts by operator: ``launches``, ``bytes`` (read and written), ``flops``; ``seconds`` of the kernels at best."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.flops = 0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Inside the block kernels are counted; those of Triton are not run."""
        with contextlib.ExitStack() as stack:
            if JITFunction is not None:
                stack.enter_context(mock.patch.object(JITFunction, "run", self._run_triton))
            stack.enter_context(self)
            yield

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func._schema.name in OPDEFS:  # an operator of ours: counted are the kernels inside
            definition = OPDEFS[func._schema.name]
            with self:
                out = definition._init_fn(*args, **kwargs)
            self.flops += self._flops(func, args, kwargs, out)
            return out
        out = func(*args, **kwargs)
        name, tensors = func._overloadpacket.__name__, [*_gpu_tensors((args, kwargs)), *_gpu_tensors(out)]
        if tensors and name not in _FREE and not _is_view(func):
            self._add(name, _kernels(name, args), tensors, self._flops(func, args, kwargs, out))
        return out

    def _run_triton(self, *args, **kwargs) -> None:
        self._add("triton", 1, list(_gpu_tensors((args, kwargs))), 0)

    def _flops(self, func, args, kwargs, out) -> int:
        formula = flop_registry.get(func._overloadpacket)
        return 0 if formula is None else formula(*args, **kwargs, out_val=out)

    def _add(self, name: str, kernels: int, tensors: list[Tensor], flops: int) -> None:
        moved = sum(_bytes(tensor) for tensor in tensors)
        self.launches[name] += kernels
        self.bytes[name] += moved
        self.flops += flops
        self.seconds[name] += max(moved / BYTES_PER_SECOND, flops / FLOPS)


def _gpu_tensors(tree) -> Iterable[Tensor]:
    return (x for x in tree_leaves(tree) if isinstance(x, Tensor) and x.device.type == "cuda")


def _is_view(func) -> bool:
    return any(x.alias_info is not None and not x.alias_info.is_write for x in func._schema.returns)


def _bytes(tensor: Tensor) -> int:
    """What a kernel reads of it: numbers that lie in memory, each once however often it is repeated."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in pairs if stride) * tensor.element_size() if tensor.numel() else 0


def _kernels(name: str, args: tuple) -> int:
    if not name.startswith(("_foreach", "_fused")):
        return _KERNELS.get(name, 1)
    lists = [x for x in args if isinstance(x, list | tuple) and x and isinstance(x[0], Tensor)]
    pieces = sum(-(-tensor.numel() // _PIECE) for tensor in lists[0])
    return max(-(-len(lists[0]) // _MANY_TENSORS[min(len(lists), 5)]), -(-pieces // _MANY_PIECES))


def count_launches(cfg, options: Options, warm: bool = True) -> dict[str, Launches]:
    """Of a step of each kind, in mixed precision; ``warm``: after a step that fills caches and is not counted."""
    bench = Bench(cfg, options.batch, options.threads)
    found = {}
    with on_fake_gpu(bench):
        for kind in filter(options.wants, kinds(cfg)):
            bench.lock(kind)
            batch = random_batch(kind.unit, bench.student.classes[kind.unit], cfg.INPUT.SIZE, options.batch)
            for _ in range(1 + warm):
                counted = found[str(kind)] = Launches()
                with counted.counting():
                    bench.step(kind, batch)
    return found


def launch_rows(cfg, options: Options) -> list[dict]:
    """Launches and bytes of a step, and the least time of its bytes, of its operations and of its kernels, in ms."""
    rows = []
    for kind, counted in count_launches(cfg, options).items():
        moved = sum(counted.bytes.values())
        row = {"kind": kind, "launches": sum(counted.launches.values()), "GB": moved / 1e9}
        row |= {"bytes / 3 TB/s, ms": 1e3 * moved / BYTES_PER_SECOND, "gflop": counted.flops / 1e9}
        row |= {"operations / 600 TFLOP/s, ms": 1e3 * counted.flops / FLOPS}
        row |= {"kernels at best, ms": 1e3 * sum(counted.seconds.values())}
        most = [f"{name} {count}" for name, count in counted.launches.most_common(8)]
        rows.append(row | {"most launches": ", ".join(most)})
    return rows
