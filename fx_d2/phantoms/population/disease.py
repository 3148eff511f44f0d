"""What ails the patients: findings in many shapes, sizes and severities, on any side, several at once.

Truth follows what is visible. An opacity has a soft edge at its contour, which is where it has fallen to about half;
the contour, clipped to the visible lung field, is the truth. An effusion is the field below the meniscus, a
pneumothorax the field between chest wall and pleural line. Cardiomegaly is a cardiothoracic ratio above
`ranges.ENLARGED`; its box is the heart's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..shapes import Canvas, blob, spline
from . import ranges
from .contours import Contours
from .patient import SIDES, Patient, Pose
from .ranges import sample

CARDIOMEGALY = "Cardiomegaly"
# How opaque at most (share of the air that goes), how soft the edge, how patchy, how wobbly the contour.
OPACITIES = {
    "Nodule": (0.62, 0.010, 0.0, 0.07),
    "Mass": (0.75, 0.010, 0.0, 0.14),
    "Consolidation": (0.85, 0.020, 0.25, 0.22),
    "Infiltration": (0.55, 0.040, 0.55, 0.25),
    "Atelectasis": (0.60, 0.008, 0.0, 0.08),
    "Edema": (0.80, 0.050, 0.35, 0.18),
}
FINDINGS = (*OPACITIES, "Effusion", "Pneumothorax")
UNIT = np.float32(1 / 255)


@dataclass(frozen=True)
class Disease:
    """One finding. `contour` (N, 2), picture coordinates: the opacity, the fluid, or the collapsed lung."""

    name: str
    side: str
    contour: np.ndarray
    severity: float


def sample_names(rng: np.random.Generator) -> tuple[list[str], bool]:
    """(findings of a patient, whether the heart is enlarged)."""
    if rng.random() < ranges.HEALTHY:
        return [], False
    count = int(rng.choice(np.arange(1, ranges.MOST_FINDINGS + 1), p=[0.5, 0.3, 0.2]))
    names = [str(name) for name in rng.choice([*FINDINGS, CARDIOMEGALY], count)]
    return [name for name in names if name != CARDIOMEGALY], CARDIOMEGALY in names


def sample_diseases(
    rng: np.random.Generator, names: list[str], patient: Patient, pose: Pose, outlines: Contours
) -> list[Disease]:
    """Draws the named findings; edema is on both sides, fluid and air are at most once on a side."""
    found: list[Disease] = []
    for name in names:
        size = sample(rng, ranges.DISEASE)
        sides = [str(s) for s in rng.permutation(list(SIDES))]
        for side in sides if name == "Edema" else sides[:1]:
            if any((d.name, d.side) == (name, side) and name not in OPACITIES for d in found):
                continue
            if name == "Effusion":
                contour = _fluid(size, patient, pose, side)
            elif name == "Pneumothorax":
                contour = _collapsed(size, pose, outlines, side)
            else:
                contour = _opacity(rng, name, size, pose, outlines, side)
            found.append(Disease(name, side, contour, size.severity))
    return found


def _fluid(size, patient: Patient, pose: Pose, side: str) -> np.ndarray:
    """Below a meniscus that climbs the chest wall; in a supine patient its upper edge is low and slopes."""
    base = 1.0 if side == "Right" else patient.body.base_left
    level, lift = base - size.effusion - 0.02, 0.02 + 0.12 * size.effusion
    surface = [
        [-0.1, level + lift],
        [0.3, level + lift],
        [0.6, level + 0.8 * lift],
        [0.82, level],
        [0.96, level - 1.2 * lift],
        [1.2, level - 3.5 * lift],
    ]
    return pose.place(np.concatenate([spline(np.array(surface)), [[1.2, 1.6], [-0.1, 1.6]]]), SIDES[side])


def _collapsed(size, pose: Pose, outlines: Contours, side: str) -> np.ndarray:
    """The lung drawn in towards its hilum: most at the apex, hardly at the base."""
    lung, hilum = outlines.lungs[side], outlines.hila[side]
    v = (lung[:, 1:] - lung[:, 1].min()) / np.ptp(lung[:, 1])
    share = size.pneumothorax * np.clip(1.05 - 1.25 * v, 0.0, 1.0)
    away = np.clip(2 * SIDES[side] * (lung[:, :1] - hilum[0]) / pose.half_width + 0.15, 0, 1)
    return lung + (hilum - lung) * share * away


def _opacity(rng: np.random.Generator, name: str, size, pose: Pose, outlines: Contours, side: str) -> np.ndarray:
    """Contour of an opacity, its centre somewhere in the lung; masses and nodules are round, plates are flat."""
    lung, hilum = outlines.lungs[side], outlines.hila[side]
    radius = getattr(size, name.lower()) * pose.scale
    spread = rng.uniform([0.1, 0.08], [0.9, 0.82])
    centre = np.array([lung[:, 0].min(), lung[:, 1].min()]) + spread * np.ptp(lung, axis=0)
    radii = (radius, radius * rng.uniform(0.55, 1.0))
    if name in ("Nodule", "Mass"):
        radii = (radius, radius * rng.uniform(0.82, 1.0))
    elif name == "Edema":
        centre = hilum + np.array([SIDES[side] * 0.22 * pose.half_width, 0.05 * pose.scale])
        radii = (0.75 * radius, radius * 0.6)
    elif name == "Atelectasis":
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        thick = rng.uniform(0.012, 0.030) * pose.scale
        tilt = rng.normal(0, 0.35)
        turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
        return centre + np.stack([radius * np.cos(angle), thick * np.sin(angle)], axis=1) @ turn
    return blob(rng, centre, radii, OPACITIES[name][3])


def add_disease(
    canvas: Canvas,
    pose: Pose,
    fields: dict[str, np.ndarray],
    diseases: list[Disease],
    absorbed: np.ndarray,
    air: np.ndarray,
    marks: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Changes `absorbed` and `air` (float32) in place by what each finding does to them; returns the new `marks`."""
    for disease in diseases:
        inside = canvas.fill(disease.contour)
        strength = np.float32(disease.severity)
        if disease.name == "Effusion":
            fluid = canvas.blur(inside, 0.010 * pose.scale) * UNIT
            air *= 1 - fluid * (0.65 + 0.32 * strength)
            marks = cv2.subtract(marks, inside)
        elif disease.name == "Pneumothorax":
            gap = region(disease, inside, fields)
            lung = cv2.subtract(fields[disease.side], gap)
            rim = cv2.subtract(cv2.dilate(lung, np.ones((3, 3), np.uint8)), lung)
            absorbed += cv2.min(rim, gap) * (UNIT * np.float32(0.09))
            air += gap * (UNIT * (0.03 + 0.06 * strength)) - lung * (UNIT * 0.04 * strength)
            marks = cv2.subtract(marks, gap)
        else:
            most, edge, patchy, _ = OPACITIES[disease.name]
            cloud = canvas.blur(inside, edge * pose.scale) * (UNIT * np.float32(most) * (0.35 + 0.65 * strength))
            if patchy:
                grid = rng.standard_normal((40, 40), dtype=np.float32)
                grid = cv2.GaussianBlur(grid, (0, 0), 0.9) * np.float32(2.2)
                grain = cv2.resize(grid, canvas.shape[::-1], interpolation=cv2.INTER_CUBIC)
                cloud *= np.clip(1 + np.float32(patchy) * grain, 0.2, 1.6)
            air *= 1 - np.minimum(cloud, 0.95)
    return marks


def region(disease: Disease, inside: np.ndarray, fields: dict[str, np.ndarray]) -> np.ndarray:
    """The truth of a finding, uint8 0..255: its part of the visible lung field of its side."""
    seen = fields[disease.side]
    return cv2.subtract(seen, inside) if disease.name == "Pneumothorax" else cv2.min(seen, inside)
