"""A pool of processes that makes batches: what crosses to the trainer, and when a process ends."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .mapper import make_instances


class BatchLoader(DataLoader):
    """Iterates over batches: lists of mapper outputs, all of one unit.

    Args:
        batches: the keys of each batch. One pool serves them all, whatever their units.
        num_workers: processes; 0: this one reads. prefetch: batches that each process reads ahead.
        pin: put the tensors of a batch into pinned memory, from which a copy to a GPU runs beside the computation.
            They are views of one tensor: move each to the GPU, then stack; stacking first makes an unpinned copy.
    """

    def __init__(
        self,
        dataset: Dataset,
        batches: Sampler[list] | list[list],
        num_workers: int,
        prefetch: int = 2,
        pin: bool = False,
    ) -> None:
        workers = min(num_workers, len(batches))  # type: ignore[arg-type]  # every sampler here has a length
        super().__init__(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            prefetch_factor=prefetch if workers else None,
            # In the processes of Detectron2's launch() the default is to spawn: each worker would import everything.
            multiprocessing_context="fork" if workers else None,
            collate_fn=PackedBatch.pack,
            pin_memory=pin,
            worker_init_fn=partial(_start_worker, os.getpid()),
            # Its own generator: the loader would otherwise draw from the global one, and loading would change training.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:  # type: ignore[override]  # the stub wants its own class
        return map(PackedBatch.unpack, super().__iter__())


@dataclass
class PackedBatch:
    """A batch on its way to the trainer: its tensors in one piece of memory, the rest as plain numbers and arrays.

    Each tensor that leaves a worker costs the trainer an open file and some 0.6 ms of its time.

    Attributes:
        entries: mapper outputs without their tensors. memory: uint8 (bytes,).
        layout: dtype and shape (images first) of the tensors of each key.
    """

    entries: list[dict[str, Any]]
    memory: torch.Tensor
    layout: dict[str, tuple[torch.dtype, tuple[int, ...]]]

    @classmethod
    def pack(cls, batch: list[dict[str, Any]]) -> PackedBatch:
        tensors = [(key, value) for key, value in batch[0].items() if isinstance(value, torch.Tensor)]
        tensors.sort(key=lambda item: -item[1].itemsize)  # each then begins at a multiple of its element size
        layout = {key: (value.dtype, (len(batch), *value.shape)) for key, value in tensors}
        memory = torch.empty(len(batch) * sum(value.nbytes for _, value in tensors), dtype=torch.uint8)
        packed = cls(batch, memory, layout)
        for key, stacked in packed.tensors().items():
            torch.stack([entry.pop(key) for entry in batch], out=stacked)
        for entry in batch:
            if "instances" in entry:
                truth = entry["instances"]
                entry["instances"] = (truth.gt_boxes.tensor.numpy(), truth.gt_classes.numpy(), truth.image_size[0])
        return packed

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensor of all images for each key, a view of the memory."""
        sizes = [math.prod(shape) * dtype.itemsize for dtype, shape in self.layout.values()]
        parts = zip(self.layout.items(), self.memory.split(sizes), strict=True)
        return {key: part.view(dtype).view(shape) for (key, (dtype, shape)), part in parts}

    def pin_memory(self) -> PackedBatch:
        """PyTorch's loader calls this if it pins."""
        return PackedBatch(self.entries, self.memory.pin_memory(), self.layout)

    def unpack(self) -> list[dict[str, Any]]:
        tensors = self.tensors()
        for number, entry in enumerate(self.entries):
            entry.update({key: tensor[number] for key, tensor in tensors.items()})
            if "instances" in entry:
                entry["instances"] = make_instances(*entry["instances"])
        return self.entries


def _start_worker(trainer: int, worker: int) -> None:
    # A signal to the whole job asks the trainer to finish its step, for which it needs its loader.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_trainer, args=(trainer,), daemon=True).start()
    # The workers are the parallelism; threads inside them would only fight for the cores.
    cv2.setNumThreads(0)


def _end_with_trainer(trainer: int) -> None:
    """Ends a worker at its trainer's SIGTERM (one from elsewhere is meant for the trainer), or when that is gone.

    PyTorch's own watch misses a trainer that was killed while the worker started.
    """
    while os.getppid() == trainer:
        received = signal.sigtimedwait({signal.SIGTERM}, 5)
        if received and received.si_pid == trainer:
            break
    os._exit(0)
