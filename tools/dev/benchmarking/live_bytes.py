"""What a computation allocates and calls, seen operator by operator on the CPU, in the types that a GPU would use."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_aten = torch.ops.aten
# Processors without bfloat16 instructions need minutes for these; in float32 they give the same tensors in seconds.
_PRODUCTS = frozenset(
    {
        _aten.mm.default,
        _aten.addmm.default,
        _aten.bmm.default,
        _aten.baddbmm.default,
        _aten.convolution.default,
        _aten.convolution_backward.default,
        _aten._scaled_dot_product_flash_attention_for_cpu.default,
        _aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
    }
)


@contextlib.contextmanager
def cuda_types(network: nn.Module) -> Iterator[None]:
    """Lets normalisations compute in float32 under autocast, as on CUDA; on the CPU they keep the type that comes.

    Softmax, too, is float32 on CUDA where it stands alone; here a GPU runs fused attention, which keeps no such matrix.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.LayerNorm | nn.GroupNorm)]
    handles = [norm.register_forward_pre_hook(lambda _, inputs: tuple(map(_widened, inputs))) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that live at the same time.

    Attributes:
        now, peak: bytes of storages made since the beginning and not freed; their maximum.
        operators: calls of ATen operators that the host issues; about half of them are views, which start no kernel.

    Args:
        existing: tensors that do not count, such as the parameters.
    """

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = self.operators = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in existing}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operators += 1
        kwargs = kwargs or {}
        if func in _PRODUCTS and any(_is_bfloat16(x) for x in tree_leaves(args)):
            out = tree_map(_narrowed, func(*tree_map(_widened, args), **tree_map(_widened, kwargs)))
        else:
            out = func(*args, **kwargs)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:  # sparse ones are made of strided ones
                self._watch(tensor.untyped_storage())
        return out

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _is_bfloat16(x: object) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.bfloat16


def _widened(x: object) -> object:
    return x.float() if _is_bfloat16(x) else x


def _narrowed(x: object) -> object:
    return x.bfloat16() if isinstance(x, Tensor) and x.dtype == torch.float32 else x
