"""A pool of processes that makes batches: what crosses to the trainer, and when a process ends."""

from __future__ import annotations

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


class BatchLoader:
    """Iterates over batches: lists of mapper outputs, all of one unit.

    Args:
        batches: the keys of each batch. One pool serves them all, whatever their units.
        num_workers: processes; 0: this one reads.
        pin: put the tensors of a batch into pinned memory, from which a copy to a GPU runs beside the computation.
            The images of a batch are views of one pinned tensor, so move each of them, then stack: stacking first
            makes a copy that is not pinned.
    """

    def __init__(
        self, dataset: Dataset, batches: Sampler[list] | list[list], num_workers: int, pin: bool = False
    ) -> None:
        workers = min(num_workers, len(batches))
        self._loader = DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            # In the processes of Detectron2's launch() the default is to spawn: each worker would import everything.
            multiprocessing_context="fork" if workers else None,
            collate_fn=Packed.of,
            pin_memory=pin,
            worker_init_fn=partial(_start_worker, os.getpid()),
            # Its own generator: the loader would otherwise draw from the global one, and loading would change training.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        return map(Packed.unpack, iter(self._loader))


@dataclass
class Packed:
    """A batch on its way: one tensor per kind instead of one per image, each tensor that leaves a worker costs an
    open file; the rest as plain numbers and arrays."""

    entries: list[dict[str, Any]]
    tensors: dict[str, torch.Tensor]

    @classmethod
    def of(cls, batch: list[dict[str, Any]]) -> Packed:
        kinds = [key for key, value in batch[0].items() if isinstance(value, torch.Tensor)]
        tensors = {key: torch.stack([entry.pop(key) for entry in batch]) for key in kinds}
        for entry in batch:
            if "instances" in entry:
                truth = entry["instances"]
                entry["instances"] = (truth.gt_boxes.tensor.numpy(), truth.gt_classes.numpy(), truth.image_size[0])
        return cls(batch, tensors)

    def pin_memory(self) -> Packed:
        """What PyTorch's loader calls where it pins."""
        return Packed(self.entries, {key: tensor.pin_memory() for key, tensor in self.tensors.items()})

    def unpack(self) -> list[dict[str, Any]]:
        for number, entry in enumerate(self.entries):
            entry.update({key: tensor[number] for key, tensor in self.tensors.items()})
            if "instances" in entry:
                entry["instances"] = make_instances(*entry["instances"])
        return self.entries


def _start_worker(trainer: int, worker: int) -> None:
    # A signal to the whole job asks the trainer to finish its step, for which it needs its loader.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey, args=(trainer,), daemon=True).start()
    # The workers are the parallelism; threads inside them would only fight for the cores.
    cv2.setNumThreads(0)


def _obey(trainer: int) -> None:
    """Ends a worker at its trainer's SIGTERM (one from elsewhere is meant for the trainer), or when that is gone.

    PyTorch's own watch misses a trainer that was killed while the worker started.
    """
    while os.getppid() == trainer:
        received = signal.sigtimedwait({signal.SIGTERM}, 5)
        if received and received.si_pid == trainer:
            break
    os._exit(0)
