"""The part of a prediction that is arithmetic: bytes of the input square in, named tensors out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..modeling import FoundationX
from ..schedule import Unit

INPUT = "images"


class ExportGraph(nn.Module):
    """A network as one function of a tensor; the normalisation of pixels is inside.

    ``images``: float32 (B, 1, S, S), grey values 0..255 of the image resized to the square. The result is a flat tuple
    in the order of :attr:`outputs`: for each unit what its head's ``tensors`` gives.

    Args:
        network: its parameters are used as they are, on their device. units: those whose outputs are wanted. size: S.
    """

    def __init__(self, network: FoundationX, units: Sequence[Unit], size: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        # All of it, this module too: an exporter gives every part the mode back that the whole had.
        self.eval()
        self.units, self.size = tuple(units), size
        # (unit, tensor) and its shape for one image. The call also fills the caches of the network with real tensors,
        # before an exporter runs it with tensors that have no values.
        found = self._named(self.example(1))
        self.outputs: dict[tuple[Unit, str], tuple[int, ...]] = {key: tuple(v.shape[1:]) for key, v in found.items()}

    @property
    def names(self) -> list[str]:
        """``{dataset}_{task}_{tensor}`` of each output."""
        return [f"{unit.dataset}_{unit.task}_{tensor}" for unit, tensor in self.outputs]

    def example(self, batch: int, seed: int = 0) -> Tensor:
        """Random grey values of the input's form, on the network's device."""
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (batch, 1, self.size, self.size), generator=generator)
        return images.float().to(self.network.device)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._named(images).values())

    def _named(self, images: Tensor) -> dict[tuple[Unit, str], Tensor]:
        found = {}
        for unit, encoded in self.network.encode_units(images, self.units).items():
            for name, value in self.network.heads[unit.task].tensors(encoded, unit.dataset, self.size).items():
                found[unit, name] = value
        return found
