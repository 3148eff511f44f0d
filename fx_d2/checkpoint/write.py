"""Weights out again: our own layout as ``.pth`` or ``.safetensors``, and the backbone for timm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ..files import replacing
from .files import State
from .layouts.swin import timm_name
from .safe import CheckpointError

FORMATS = (".pth", ".safetensors")


def write_weights(
    path: str | Path,
    student: State,
    teacher: State | None = None,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    exclusive: Sequence[str] | None = None,
    config: str = "",
    notice: str = "",
    origin: str = "",
) -> None:
    """Writes weights that :func:`read_weights` and ``MODEL.WEIGHTS`` read back to the last bit.

    Args:
        path: ends in ``.pth`` (a Detectron2 checkpoint: ``model`` and ``teacher``) or ``.safetensors``.
        classes: class names of every unit. exclusive: units whose classes exclude each other, None if nobody knows: the
            file then does not say. config: as YAML. notice, origin: see :class:`WeightsFile`.

    Raises:
        CheckpointError: another ending.
    """
    path = Path(path)
    classes = {unit: list(names) for unit, names in (classes or {}).items()}
    if path.suffix == ".pth":
        content: dict[str, Any] = {"model": student, "classes": classes, "config": config}
        content |= {} if exclusive is None else {"exclusive": list(exclusive)}
        content |= _stated(notice=notice, origin=origin)
        if teacher is not None:
            state = {f"model.{name}": value for name, value in teacher.items()}
            content["teacher"] = state | {"initialised": torch.tensor(True)}
        _save(path, content)
        return
    parts = {"student": student} | ({} if teacher is None else {"teacher": teacher})
    tensors = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
    metadata = {"format": "pt", "classes": json.dumps(classes), "config": config}
    metadata |= {} if exclusive is None else {"exclusive": json.dumps(list(exclusive))}
    write_tensors(path, tensors, metadata | _stated(notice=notice, origin=origin))


def _stated(**facts: str) -> dict[str, str]:
    return {key: value for key, value in facts.items() if value}


def write_tensors(path: str | Path, tensors: State, metadata: Mapping[str, str] | None = None) -> None:
    """Tensors by name, as ``.pth`` (a plain state dict) or ``.safetensors``.

    Raises:
        CheckpointError: another ending.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise CheckpointError(f"{path}: the file must end in {' or '.join(FORMATS)}")
    if path.suffix == ".pth":
        _save(path, tensors)
        return
    # safetensors refuses tensors that share memory or skip some of it.
    whole = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(save(whole, metadata=dict(metadata or {"format": "pt"})))


def _save(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        torch.save(content, stream)


def timm_state(state: State, head: str | None) -> State:
    """The backbone under the names of timm 0.9 and later, ready for ``load_state_dict(strict=True)``.

    Args:
        head: a dataset whose classification layer becomes timm's classifier; ``none``: no classifier (timm's
            ``num_classes=0``); None: 1000 outputs that are all zero, as timm's models have by default.

    Raises:
        CheckpointError: the weights have no classification norm, or no layer of that dataset.
    """
    tensors = {}
    for name, value in state.items():
        theirs = timm_name(name)
        if theirs is not None:
            tensors[theirs] = value
    if "norm.weight" not in tensors:
        raise CheckpointError("timm's network ends in a norm: only weights with a classification head have it")
    if head == "none":
        return tensors
    if head is None:
        return tensors | {
            "head.fc.weight": torch.zeros(1000, len(tensors["norm.weight"])),
            "head.fc.bias": torch.zeros(1000),
        }
    layer = f"heads.cls.branches.{head}"
    if f"{layer}.weight" not in state:
        known = sorted({name.split(".")[3] for name in state if name.startswith("heads.cls.branches.")})
        raise CheckpointError(f"no classification layer of {head!r}; there are: {', '.join(known) or 'none'}")
    return tensors | {f"head.fc.{leaf}": state[f"{layer}.{leaf}"] for leaf in ("weight", "bias")}
