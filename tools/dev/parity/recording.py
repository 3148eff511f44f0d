"""A folder of recorded weights, inputs and outputs, and the ledger of what was compared with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-4
_X_TABLES = (
    "inputs",
    "backbone",
    "classification",
    "segmentation",
    "localization",
    "criterion",
    "denoising",
    "training",
)


@dataclass(frozen=True)
class Line:
    """One comparison: the largest |a - b| as it is and as a share of the tolerance (``excess``, 0..1 if fine)."""

    name: str
    shape: tuple[int, ...]
    difference: float
    excess: float
    remark: str = ""

    @property
    def fine(self) -> bool:
        return self.excess <= 1.0


class Recording:
    """Arrays by ``file/name`` and facts from the JSON files of a folder.

    Every array is taken as an input (:meth:`given`) or compared (:meth:`compare`); :meth:`leftovers` names the rest.

    Raises:
        FileNotFoundError: the folder lacks a file.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        # A recording of Foundation X+ has all of its arrays in one file, and nothing of a training.
        self.plus = (self.folder / "outputs.npz").is_file()
        tables = ("outputs",) if self.plus else _X_TABLES
        for name in ("config.json", "state_dict.npz", *(f"{table}.npz" for table in tables)):
            if not (self.folder / name).is_file():
                raise FileNotFoundError(f"{self.folder}: no {name}; it is no folder of recorded outputs")
        self.config = self._json("config")
        if not self.plus:
            self.criterion, self.denoising = self._json("criterion"), self._json("denoising")
            self.training = self._json("training")
        self.arrays: dict[str, np.ndarray] = {}
        for table in tables:
            with np.load(self.folder / f"{table}.npz", allow_pickle=False) as file:
                self.arrays |= {f"{table}/{name}": file[name] for name in file.files}
        with np.load(self.folder / "state_dict.npz", allow_pickle=False) as file:
            self.state = {name: torch.from_numpy(file[name]) for name in file.files}
        self.lines: list[Line] = []
        self._touched: set[str] = set()

    def _json(self, name: str) -> dict:
        path = self.folder / f"{name}.json"
        if not path.is_file():
            raise FileNotFoundError(f"{self.folder}: no {path.name}; it is no folder of recorded outputs")
        return json.loads(path.read_text(encoding="utf-8"))

    def names(self, prefix: str) -> list[str]:
        """Arrays below a prefix, without it."""
        return [name[len(prefix) :] for name in self.arrays if name.startswith(prefix)]

    def given(self, name: str) -> Tensor:
        """An array as an input."""
        self._touched.add(name)
        return torch.from_numpy(self.arrays[name])

    def compare(self, name: str, ours: Tensor, scale: float = 1.0) -> None:
        """Compares with an array: floats within 1e-4 (times ``scale``) + 1e-4 relative, everything else exactly."""
        self._touched.add(name)
        self.tensor(name, ours, torch.from_numpy(self.arrays[name]), scale)

    def tensor(self, name: str, ours: Tensor, expected: Tensor, scale: float = 1.0) -> None:
        """Compares two tensors; see :meth:`compare`."""
        ours = ours.detach().cpu()
        shape = tuple(expected.shape)
        if tuple(ours.shape) != shape:
            self.lines.append(Line(name, shape, float("inf"), float("inf"), f"ours has shape {list(ours.shape)}"))
            return
        tolerance = TOLERANCE * scale if expected.is_floating_point() else 0.0
        self.lines.append(measure(name, ours, expected, tolerance))

    def number(self, name: str, ours: float, expected: float, relative: float = TOLERANCE) -> None:
        """Compares one number of a JSON file, relative to its size (and absolutely below 1)."""
        difference = abs(float(ours) - float(expected))
        allowed = relative * max(1.0, abs(float(expected)))
        excess = difference / allowed if np.isfinite(difference) else float("inf")
        self.lines.append(Line(name, (), difference, excess))

    def same(self, name: str, ours: set, expected: set) -> None:
        """Compares two sets of names."""
        wrong = sorted(ours ^ expected)
        remark = f"{len(wrong)} differ: {', '.join(wrong[:3])}" if wrong else ""
        self.lines.append(Line(name, (len(expected),), float(len(wrong)), float("inf") if wrong else 0.0, remark))

    def leftovers(self) -> list[str]:
        """Arrays that nothing was compared with."""
        return [name for name in self.arrays if name not in self._touched]


def measure(name: str, ours: Tensor, expected: Tensor, tolerance: float) -> Line:
    """The line of two tensors of one shape; a tolerance of 0 asks for equality."""
    shape = tuple(expected.shape)
    if expected.numel() == 0:
        return Line(name, shape, 0.0, 0.0)
    if tolerance == 0.0:
        wrong = int((ours.to(expected.dtype) != expected).sum())
        return Line(name, shape, float(wrong), float("inf") if wrong else 0.0, f"{wrong} differ" if wrong else "")
    ours, expected = ours.double(), expected.double()
    difference = (ours - expected).abs()
    if not bool(difference.isfinite().all()):
        return Line(name, shape, float("inf"), float("inf"), "not finite")
    excess = difference / (tolerance + TOLERANCE * expected.abs())
    return Line(name, shape, float(difference.max()), float(excess.max()))
