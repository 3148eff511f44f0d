"""What the meta-architecture expects of a head.

A head serves one task for all datasets that have it. It is a module with::

    encode(features) -> encoded          the part shared by the datasets, from the backbone's maps
    consistency(encoded, dataset)        tensors that student and teacher compare
    tensors(encoded, dataset, size)      outputs of an exported network, on its square input of ``size`` pixels
    truth(batch, device)                 the batch's annotations as tensors on the device
    begin(encoded, dataset, truth)       a training step up to what the host must decide
    question(begun)                      a tensor that the host must see for it; None where it decides nothing
    decide(seen)                         that decision, from a copy on the host, as another tensor on the host
    finish(begun, dataset, truth, decision)    named, weighted scalar losses of the dataset
    penalty()                            named losses that the consistency weight does not scale
    inference(encoded, dataset, batch)   one dict per image, in original pixels
    trainable_parts(dataset)             names of submodules and parameters: "head" trains in a Locked pass, "path" is
                                         the rest between the backbone and the dataset's output
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...config.node import flatten

Batch = Sequence[dict]


@dataclass(frozen=True)
class UnitClasses:
    """Classes of one unit, in the order of its output channels."""

    names: tuple[str, ...]
    exclusive: bool = False


class TaskHead(nn.Module):
    """By default a step needs no decision of the host: it begins with the encoding itself."""

    consistency: Callable[..., tuple[Tensor, ...]]
    truth: Callable[..., Any]
    finish: Callable[..., dict[str, Tensor]]
    # Reference switch: the student's features come from its evaluation mode and have no gradient.
    detached_consistency = False

    @classmethod
    def from_config(cls, cfg, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses]) -> TaskHead:
        """``channels``: of the backbone's maps. ``datasets``: those that have the task."""
        raise NotImplementedError

    def begin(self, encoded: Any, dataset: str, truth: Any) -> Any:
        return encoded

    def question(self, begun: Any) -> Tensor | None:
        return None

    def decide(self, seen: Tensor) -> Tensor:
        raise NotImplementedError

    def answer(self, begun: Any) -> Tensor | None:
        """The decision on the device; the host waits for the question."""
        question = self.question(begun)
        return None if question is None else self.decide(question.cpu()).to(question.device, non_blocking=True)

    def losses(self, encoded: Any, dataset: str, truth: Any) -> dict[str, Tensor]:
        """The whole step."""
        begun = self.begin(encoded, dataset, truth)
        return self.finish(begun, dataset, truth, self.answer(begun))

    def penalty(self) -> dict[str, Tensor]:
        return {}


def keyword_arguments(node: Mapping) -> dict[str, Any]:
    """The values of a configuration node; ``LOSS.DICE`` becomes ``loss_dice``."""
    return {key.lower().replace(".", "_"): value for key, value in flatten(node).items()}


def stack_entries(batch: Batch, key: str) -> Tensor:
    """The tensors of all entries as one, where they are; not copied where they lie one behind the other in memory.

    A loader's batch lies so, in pinned memory: one copy brings all of it to a GPU, and the host need not wait for it.
    """
    tensors = [entry[key] for entry in batch]
    first, memory = tensors[0], tensors[0].untyped_storage()._cdata
    for i, x in enumerate(tensors):
        offset = first.storage_offset() + i * first.numel()
        here = x.untyped_storage()._cdata == memory and x.storage_offset() == offset
        if not here or x.shape != first.shape or x.dtype != first.dtype or not x.is_contiguous():
            return torch.stack(tensors)
    return first.as_strided((len(tensors), *first.shape), (first.numel(), *first.stride()))


def stack_targets(batch: Batch, key: str, device: torch.device) -> Tensor:
    return stack_entries(batch, key).to(device, non_blocking=True)
