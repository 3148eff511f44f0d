"""Lock-Release: which parameters train, and nothing of the others moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class LockReport:
    """Tensors and parameters (numbers) that train and that are locked."""

    trained_tensors: int
    trained_parameters: int
    locked_tensors: int
    locked_parameters: int

    def __str__(self) -> str:
        return (
            f"trains {self.trained_tensors} tensors ({self.trained_parameters / 1e6:.2f} M), "
            f"locked {self.locked_tensors} ({self.locked_parameters / 1e6:.2f} M)"
        )


def is_below(name: str, parts: Iterable[str]) -> bool:
    """Whether a dotted name is one of ``parts`` or lies inside one."""
    return any(name == part or name.startswith(part + ".") for part in parts)


def apply_lock(model: nn.Module, trained: list[str], training: bool = False) -> LockReport:
    """Lets exactly the parameters below the ``trained`` names train.

    A locked parameter gets ``requires_grad=False`` and ``grad=None``: AdamW skips it wholly (a zero gradient would
    still move it by momentum and decay). A locked module runs in evaluation mode, so that no batch statistics
    drift and no path is dropped; a module that only contains trained ones stays in training mode. With ``training`` (a
    reference switch) all modules are in training mode.

    Raises:
        ValueError: a name matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for part in trained:
        if not any(is_below(name, [part]) for name in names):
            raise ValueError(f"lock: no parameter of the model is named {part!r}")
    counts = {True: [0, 0], False: [0, 0]}
    for name, parameter in model.named_parameters():
        trains = is_below(name, trained)
        parameter.requires_grad_(trains)
        if not trains:
            parameter.grad = None
        counts[trains][0] += 1
        counts[trains][1] += parameter.numel()
    for name, module in model.named_modules():
        holds_trained = any(part == name or part.startswith(name + ".") or name == "" for part in trained)
        module.training = training or holds_trained or is_below(name, trained)
    return LockReport(*counts[True], *counts[False])
