"""A stand-in for CUDA graphs on the CPU: the operators of a piece of work, done again on the tensors they had."""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# A CUDA graph can hold none of these: their results go to the host.
FORBIDDEN = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2")


class Observer(TorchDispatchMode):
    """Listens to operators and does nothing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """Strict as a graph: what Python decided at the recording stays, what left PyTorch is not done again."""

    def __init__(self):
        super().__init__()
        self.entries = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.name().split(".")[0] in FORBIDDEN:
            raise RuntimeError(f"{func.name()} cannot be recorded")
        out = func(*args, **kwargs)
        self.entries.append((func, args, kwargs, out))
        return out

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, out in self.entries:
            again = func(*args, **kwargs)
            if func._schema.is_mutable:  # wrote where it wrote before
                continue
            for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if torch.is_tensor(old) and old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.detach().copy_(new)


class RecordedOperators:
    """See :class:`fx_d2.engine.cuda_graphs.Recorder`."""

    def __init__(self):
        self.recordings = self.replays = 0

    def stream(self):
        return contextlib.nullcontext()

    def record(self, work):
        self.recordings += 1
        tape = Tape()
        with tape:
            result = work()

        def replay():
            self.replays += 1
            tape.replay()

        return replay, result
