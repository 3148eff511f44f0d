"""A patient of the population, and how one picture is taken of the patient: every draw that is not noise."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from . import ranges
from .ranges import sample

SIDES = {"Right": -1, "Left": 1}


@dataclass(frozen=True)
class Patient:
    """One patient. `body` has the knobs of `ranges.BODY`; `ctr` is the cardiothoracic ratio of the masks."""

    female: bool
    age: int
    ctr: float
    body: SimpleNamespace

    @property
    def enlarged(self) -> bool:
        """Whether the heart is labelled Cardiomegaly."""
        return self.ctr > ranges.ENLARGED


@dataclass(frozen=True)
class Pose:
    """How the patient is placed: from chest coordinates to the picture.

    Chest coordinates are (u, v): u = 0 is the midline and 1 the inner chest wall at its widest, v = 0 the lung apex and
    1 the costophrenic angle; `depth` is -1 at the back and 1 at the front. Picture coordinates are in image heights.

    Attributes:
        supine: a bedside picture from the front (AP), else an upright one from the back (PA).
        aspect: width / height of the picture.
        scale: height of the chest in the picture.
        half_width: half the width of the chest in the picture.
        knobs: the draws of `ranges.UPRIGHT` or `ranges.BEDSIDE`.
    """

    supine: bool
    aspect: float
    scale: float
    half_width: float
    knobs: SimpleNamespace
    curve: tuple[float, float] = (0.0, 0.0)
    origin: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def place(self, points: np.ndarray | list, side: int = 1, depth: float | np.ndarray = 0.0) -> np.ndarray:
        """Picture coordinates (..., 2) of chest coordinates (..., 2); side -1 is the patient's right."""
        uv = np.asarray(points, dtype=float)
        amount, phase = self.curve
        bend = amount * np.sin(np.pi * (1.2 * uv[..., 1] + phase))
        x = (side * uv[..., 0] + self.knobs.yaw * depth + bend) * self.half_width
        y = (uv[..., 1] - 0.5 - self.knobs.pitch * np.asarray(depth)) * self.scale
        angle = np.deg2rad(self.knobs.tilt)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return np.stack([x, y], axis=-1) @ turn + self.origin


def sample_patient(rng: np.random.Generator, enlarged: bool) -> Patient:
    """Draws a patient; `enlarged` means a heart wider than `ranges.ENLARGED` of the chest."""
    child = bool(rng.random() < ranges.CHILDREN)
    age = int(rng.integers(*ranges.AGES["child" if child else "adult"]))
    body = sample(rng, ranges.BODY)
    ctr = float(rng.uniform(*(ranges.ENLARGED_CTR if enlarged else ranges.NORMAL_CTR)))
    female = bool(rng.random() < ranges.FEMALE)
    curved, gas = rng.random(2) < [ranges.SCOLIOSIS, ranges.GASTRIC_GAS]
    body.curve *= curved
    body.gas *= gas
    body.breast *= female and age > 12
    body.knob += 0.001 * max(age - 50, 0)
    # A small child's chest is as wide as high, its ribs lie flat and its upper mediastinum is wide.
    youth = max(0.0, 1 - age / 12)
    body.breadth += 0.10 * youth
    body.ribs_drop *= 1 - 0.4 * youth
    body.caval += 0.06 * youth
    body.rib_width *= 1 - 0.2 * youth
    return Patient(female, age, ctr, body)


def sample_pose(rng: np.random.Generator, patient: Patient, supine: bool) -> Pose:
    """Draws how one picture of the patient is taken."""
    knobs = sample(rng, ranges.BEDSIDE if supine else ranges.UPRIGHT)
    breadth = patient.body.breadth / knobs.breath
    width = knobs.width * knobs.aspect
    scale = min(width / breadth, 0.96)
    width = scale * breadth
    top = knobs.headroom * (1 - scale)
    origin = np.array([knobs.aspect * (0.5 + knobs.aside), top + scale / 2])
    curve = (patient.body.curve, patient.body.curve_phase)
    return Pose(supine, knobs.aspect, scale, width / 2, knobs, curve, origin)
