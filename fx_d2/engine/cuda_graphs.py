"""CUDA graphs: work of a GPU that is recorded once and launched again as one piece."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import torch

T = TypeVar("T")


class Recorder(Protocol):
    """What :class:`.step_graphs.StepGraphs` needs of it."""

    def stream(self) -> contextlib.AbstractContextManager:
        """Everything of a run happens inside this context."""

    def record(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """Does the work and records its operators.

        -> what does them again, on the same memory, and the result of ``work``, whose tensors have new values then.
        """


class CudaGraphs:
    """Records on one stream and in one pool of memory.

    Recordings share memory that none of their results holds, so those that belong together must be played one after
    the other in the order in which they were made.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        # Not the default stream, which cannot be recorded: what autograd keeps of a step belongs to its stream.
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        # Other threads, such as the loader's, which pins memory, may go on with what a recording forbids.
        graph.capture_begin(self._pool, capture_error_mode="thread_local")
        try:
            result = work()
        except BaseException:
            with contextlib.suppress(RuntimeError):  # the first error says more
                graph.capture_end()
            # PyTorch's generator would wait for the end of this recording for ever: it gets a new state.
            fresh = torch.Generator(self._stream.device).graphsafe_get_state()
            torch.cuda.default_generators[self._stream.device.index].graphsafe_set_state(fresh)
            raise
        graph.capture_end()
        graph.replay()
        return graph.replay, result
