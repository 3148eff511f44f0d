"""A pool of processes that makes batches, and what crosses to the trainer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .mapper import make_instances
from .worker import initializer, start_server


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
        if workers:
            start_server()
        super().__init__(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            prefetch_factor=prefetch if workers else None,
            multiprocessing_context="forkserver" if workers else None,
            collate_fn=PackedBatch.pack,
            pin_memory=pin,
            worker_init_fn=initializer() if workers else None,
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
