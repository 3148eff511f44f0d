"""Weight files of any origin -> student's and teacher's tensors by name, with what else the file says."""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .safe import CheckpointError, safe_load

State = dict[str, Tensor]

# The weights that come with the package (docs/weights.md).
PACKAGED = Path(__file__).parents[1] / "pretrained" / "synthetic.safetensors"

# What files of training scripts hold beside tensors: their arguments and numpy's numbers. Building one runs no code of
# the file. numpy's function has had two addresses.
_HARMLESS = (
    argparse.Namespace,
    pathlib.PosixPath,
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")},
    *(
        (
            np._core.multiarray.scalar,  # type: ignore[attr-defined]
            f"numpy.{module}.multiarray.scalar",
        )
        for module in ("core", "_core")
    ),
)
# Where the tensors may stand, by the part that they are.
_STUDENT = ("model", "state_dict", "student", "model_state_dict")
_TEACHER = ("teacher_model", "teacher", "model_ema", "ema_model", "state_dict_ema")
# Flag of our teacher beside its network.
_STARTED = "initialised"
# Prefixes that wrappers leave on every name.
_WRAPPERS = ("module.", "_orig_mod.", "model.")


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds.

    Attributes:
        path: for messages.
        states: ``student`` and ``teacher``, those that are there; prefixes of wrappers are taken off.
        classes: class names of every unit, as our checkpoints keep them; empty elsewhere.
        exclusive: units whose classes exclude each other; None where the file does not say.
        config: the configuration as YAML, as our exports keep it; empty elsewhere.
        notice: a sentence that every prediction of these weights must carry; mostly empty.
        origin: of a file that holds one network alone, what it was in its run: ``student``, ``teacher``, or empty.
    """

    path: Path
    states: Mapping[str, State]
    classes: Mapping[str, list[str]] = field(default_factory=dict)
    exclusive: Sequence[str] | None = None
    config: str = ""
    notice: str = ""
    origin: str = ""

    @property
    def networks(self) -> dict[str, State]:
        """``states`` by what they are: an exported teacher is a ``teacher``."""
        if self.origin in ("student", "teacher") and len(self.states) == 1:
            return {self.origin: next(iter(self.states.values()))}
        return dict(self.states)

    def part(self, wanted: str) -> State:
        """``student`` or ``teacher``.

        Raises:
            CheckpointError: the file does not hold it.
        """
        if wanted not in self.states:
            raise CheckpointError(f"{self.path}: holds no {wanted}, only: {', '.join(self.states)}")
        return self.states[wanted]


def find_weights(name: str | Path) -> Path:
    """The text ``packaged``: the weights that come with the package, from any working folder; all else is a path.

    Raises:
        FileNotFoundError: no weights come with this installation.
    """
    if name != "packaged":
        return Path(name)
    if not PACKAGED.is_file():
        raise FileNotFoundError(f"no weights come with this installation ({PACKAGED} is missing)")
    return PACKAGED


def read_weights(path: str | Path) -> WeightsFile:
    """Reads ``.safetensors``, or what ``torch.save`` wrote, without running code of the file.

    Args:
        path: file, or ``packaged`` (:func:`find_weights`).

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is torn, foreign, would run code, or holds no tensors by name.
    """
    path = find_weights(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = safe_load(path, allowed=_HARMLESS)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not tensors by name")
    states = {}
    for part, names in (("student", _STUDENT), ("teacher", _TEACHER)):
        tensors = [_tensors(content[name]) for name in names if isinstance(content.get(name), Mapping)]
        tensors = [state for state in tensors if state]  # a teacher that was never started is none
        if tensors:
            states[part] = tensors[0]
    if not states and (bare := _tensors(content)):
        states = {"student": bare}
    if not states:
        keys = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise CheckpointError(f"{path}: holds no weights; it has {keys}")
    exclusive = content.get("exclusive")
    exclusive = list(map(str, exclusive)) if isinstance(exclusive, list | tuple) else None
    run = content.get("run")  # our checkpoints keep the configuration with what made them
    config = content.get("config") or (run.get("config") if isinstance(run, Mapping) else "")
    stated = {key: str(content.get(key) or "") for key in ("notice", "origin")}
    return WeightsFile(path, states, _classes(content.get("classes")), exclusive, str(config or ""), **stated)


def _tensors(state: Mapping[Any, Any]) -> State:
    """The tensors of a state, without what wrappers put before every name."""
    tensors = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not bool(tensors.get(_STARTED, True)):
        return {}
    unwrapped = True
    while unwrapped and tensors:
        unwrapped = False
        for prefix in _WRAPPERS:
            if len(tensors) > 1 and all(name.startswith(prefix) or name == _STARTED for name in tensors):
                tensors = {name.removeprefix(prefix): v for name, v in tensors.items() if name != _STARTED}
                unwrapped = True
    return tensors


def _classes(value: Any) -> dict[str, list[str]]:
    return {str(k): list(map(str, v)) for k, v in value.items()} if isinstance(value, Mapping) else {}


def _read_safetensors(path: Path) -> WeightsFile:
    """Names as in our export (``student.`` and ``teacher.`` before them), or bare ones."""
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {str(path)!r} not found")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: is torn or no safetensors file ({error})") from None
    states = {}
    for part in ("student", "teacher"):
        prefix = f"{part}."
        state = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
        if state:
            states[part] = state
    if not states:
        states = {"student": _tensors(tensors)}
    if not any(states.values()):
        raise CheckpointError(f"{path}: holds no tensors")
    try:
        classes = _classes(json.loads(metadata.get("classes", "{}")))
        exclusive = json.loads(metadata.get("exclusive", "null"))
        exclusive = None if exclusive is None else [str(unit) for unit in exclusive]
    except (ValueError, TypeError):
        raise CheckpointError(f"{path}: its class names are not JSON") from None
    stated = {key: metadata.get(key, "") for key in ("config", "notice", "origin")}
    return WeightsFile(path, states, classes, exclusive, **stated)


def same_tensor(a: Tensor, b: Tensor) -> bool:
    """Equal to the last bit, NaN included."""
    return a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a, b))
