"""What the meta-architecture expects of a head.

A head serves one task for all datasets that have it. It is a module with::

    encode(features) -> encoded          the part shared by the datasets, from the backbone's maps
    consistency(encoded, dataset) -> tensors   what student and teacher compare
    tensors(encoded, dataset, size)      the outputs of a whole batch on the network's square input of ``size`` pixels,
                                         as named tensors: what an exported network gives
    losses(encoded, dataset, batch)      named, weighted scalar losses of the dataset
    penalty()                            named losses that no weight of the consistency touches; mostly none
    inference(encoded, dataset, batch)   one dict an image, in original pixels
    parts(dataset) -> {"head", "path"}   names of its own submodules and parameters: "head" is what is new to the
                                         shared network (trains in a Locked pass), "path" what else lies
                                         between the backbone and the dataset's output
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Batch = Sequence[dict]


@dataclass(frozen=True)
class UnitClasses:
    """Classes of one unit, in the order of its output channels."""

    names: tuple[str, ...]
    exclusive: bool = False


class TaskHead(nn.Module):
    """What the heads have in common."""

    consistency: Callable[..., tuple[Tensor, ...]]
    # The compared features come from an evaluation of the student and carry no gradient (a reference switch).
    inert_consistency = False

    @classmethod
    def from_config(cls, cfg, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses]) -> TaskHead:
        """``channels``: of the backbone's maps by name. ``datasets``: those that have the task."""
        raise NotImplementedError

    def penalty(self) -> dict[str, Tensor]:
        return {}


def stack_targets(batch: Batch, key: str, device: torch.device) -> Tensor:
    """Stacks one entry of every image on the model's device."""
    return torch.stack([entry[key].to(device, non_blocking=True) for entry in batch])
