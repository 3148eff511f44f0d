"""Weights out again: our own layout as ``.pth`` or ``.safetensors``, and the backbone for timm."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

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
) -> None:
    """Writes weights that :func:`read_weights` and ``MODEL.WEIGHTS`` read back to the last bit.

    Args:
        path: ends in ``.pth`` (a Detectron2 checkpoint: ``model`` and ``teacher``) or ``.safetensors``.
        classes: class names of every unit. exclusive: units whose classes exclude each other, None if nobody knows: the
            file then does not say. config: as YAML.

    Raises:
        CheckpointError: another ending.
    """
    path = Path(path)
    classes = {unit: list(names) for unit, names in (classes or {}).items()}
    if path.suffix == ".pth":
        content = {"model": student, "classes": classes, "config": config}
        content |= {} if exclusive is None else {"exclusive": list(exclusive)}
        if teacher is not None:
            content["teacher"] = {f"model.{name}": value for name, value in teacher.items()}
            content["teacher"]["initialised"] = torch.tensor(True)
        _write(path, lambda aside: torch.save(content, aside))
        return
    parts = {"student": student} | ({} if teacher is None else {"teacher": teacher})
    tensors = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
    metadata = {"format": "pt", "classes": json.dumps(classes), "config": config}
    metadata |= {} if exclusive is None else {"exclusive": json.dumps(list(exclusive))}
    write_tensors(path, tensors, metadata)


def write_tensors(path: str | Path, tensors: State, metadata: Mapping[str, str] | None = None) -> None:
    """Tensors by name, as ``.pth`` (a plain state dict) or ``.safetensors``.

    Raises:
        CheckpointError: another ending.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise CheckpointError(f"{path}: the file must end in {' or '.join(FORMATS)}")
    if path.suffix == ".pth":
        _write(path, lambda aside: torch.save(tensors, aside))
        return
    # safetensors refuses tensors that share memory or skip some of it.
    whole = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    _write(path, lambda aside: save_file(whole, aside, metadata=dict(metadata or {"format": "pt"})))


def _write(path: Path, write) -> None:
    """Beside its place first, so that an interruption leaves no half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(aside)
        # safetensors writes for the owner alone; the umask decides, as for every other file.
        umask = os.umask(0)
        os.umask(umask)
        aside.chmod(0o666 & ~umask)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def timm_state(state: State, head: str | None, num_classes: int = 1000) -> State:
    """The backbone under the names of timm 0.9 and later, ready for ``load_state_dict(strict=True)``.

    Args:
        head: a dataset whose classification layer becomes timm's classifier; ``none``: no classifier (timm's
            ``num_classes=0``); None: ``num_classes`` outputs that are all zero, as timm's models have one by default.

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
    width = tensors["norm.weight"].shape[0]
    layer = {"weight": torch.zeros(num_classes, width), "bias": torch.zeros(num_classes)}
    if head is not None:
        layer = {leaf: state.get(f"heads.cls.branches.{head}.{leaf}") for leaf in ("weight", "bias")}
        if layer["weight"] is None:
            known = sorted({name.split(".")[3] for name in state if name.startswith("heads.cls.branches.")})
            raise CheckpointError(f"no classification layer of {head!r}; there are: {', '.join(known) or 'none'}")
    return tensors | {f"head.fc.{leaf}": value for leaf, value in layer.items()}
