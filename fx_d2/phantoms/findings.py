"""What ails a patient: the contours of nodules, consolidations, effusions and pneumothoraces.

Truth follows what is visible. A nodule or consolidation is drawn as a filled contour with a soft edge, so the contour
is where its opacity falls to half of its maximum, and the contour, clipped to the lung field, is the truth. An effusion
is the part of the lung field below the meniscus. A pneumothorax is the part of the lung field between chest wall and
pleural line. Cardiomegaly has no mask of its own: it is a cardiothoracic ratio above 0.55 (normal: 0.40 to 0.50,
nothing in between).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .anatomy import SIDES, Anatomy
from .shapes import Canvas, blob, spline

CARDIOMEGALY = "Cardiomegaly"
NORMAL_CTR = (0.40, 0.50)
ENLARGED_CTR = (0.56, 0.66)
# Sizes are in body units; a pixel of a 256-pixel image is 1/256.
NODULE_RADIUS = (10 / 256, 18 / 256)
CONSOLIDATION_RADIUS = (22 / 256, 40 / 256)
EFFUSION_HEIGHT = (0.30, 0.45)
PNEUMOTHORAX_SHRINK = (0.20, 0.36)


@dataclass(frozen=True)
class Finding:
    """One finding: `contour` is the opacity, the fluid below the meniscus, or the collapsed lung."""

    name: str
    side: str
    contour: np.ndarray
    strength: float = 1.0
    bronchi: list[np.ndarray] = field(default_factory=list)


def sample_findings(rng: np.random.Generator, patient: Anatomy, names: tuple[str, ...]) -> list[Finding]:
    """Draws the named findings where they fit: fluid and air take a side of their own where they can."""
    free = [str(side) for side in rng.permutation(list(SIDES))]
    order = {"Effusion": 0, "Pneumothorax": 0, "Consolidation": 1, "Nodule": 2}
    found: list[Finding] = []
    for name in sorted((n for n in names if n in order), key=order.__getitem__):
        sides = [side for side in free if side not in {f.side for f in found}]
        side = sides[0] if sides else free[int(rng.integers(2))]
        found.append(_SAMPLERS[name](rng, patient, side, found))
    return found


def _effusion(rng: np.random.Generator, patient: Anatomy, side: str, _: list[Finding]) -> Finding:
    """Fluid below a meniscus that climbs the chest wall."""
    level = 1 - rng.uniform(*EFFUSION_HEIGHT)
    lift = rng.uniform(0.03, 0.06)
    surface = [
        [-0.05, level + lift],
        [0.25, level + lift],
        [0.55, level + 1.05 * lift],
        [0.75, level + 0.7 * lift],
        [0.90, level - 0.2 * lift],
        [1.0, level - 2.2 * lift],
        [1.12, level - 4 * lift],
    ]
    contour = np.concatenate([spline(np.array(surface)), [[1.12, 1.3], [-0.05, 1.3]]])
    return Finding("Effusion", side, patient.place(contour, SIDES[side]), strength=rng.uniform(0.9, 1.0))


def _pneumothorax(rng: np.random.Generator, patient: Anatomy, side: str, _: list[Finding]) -> Finding:
    """The collapsed lung: drawn in towards the hilum, most at the apex, least at the base."""
    shrink = rng.uniform(*PNEUMOTHORAX_SHRINK)
    lung, hilum = patient.lungs[side], patient.hila[side]
    height = patient.base - patient.apex
    v = (lung[:, 1:] - patient.apex) / height
    share = shrink * np.clip(1.25 - 0.95 * v, 0.12, 1.1)
    outward = np.clip((np.abs(lung[:, :1]) - abs(hilum[0])) / patient.half_width + 0.35, 0, 1)
    pulled = lung + (hilum - lung) * share * np.clip(outward * 1.6, 0.55, 1.0)
    # The base keeps its contact with the diaphragm: only the upper three quarters come away visibly.
    keep = np.clip((v - 0.60) / 0.18, 0, 1)
    return Finding("Pneumothorax", side, pulled * (1 - keep) + lung * keep, strength=rng.uniform(0.85, 1.0))


def _consolidation(rng: np.random.Generator, patient: Anatomy, side: str, found: list[Finding]) -> Finding:
    """Irregular opacity with a few air-filled bronchi that run outwards from the side of the hilum."""
    radii = (rng.uniform(*CONSOLIDATION_RADIUS), rng.uniform(*CONSOLIDATION_RADIUS))
    centre = _spot(rng, patient, side, 0.55 * max(radii), found)
    away = centre - patient.hila[side]
    heading = np.arctan2(away[1], away[0])
    bronchi = []
    for turn in rng.uniform(-0.6, 0.6, 4):
        reach = np.linspace(-0.7, 0.75, 6)[:, None] * max(radii)
        direction = np.array([[np.cos(heading + turn), np.sin(heading + turn)]])
        sway = rng.normal(0, 0.04) * max(radii) * np.linspace(-1, 1, 6)[:, None] ** 2
        bronchi.append(centre + rng.normal(0, 0.15 * min(radii), 2) + reach * direction + sway)
    return Finding("Consolidation", side, blob(rng, centre, radii, 0.22), rng.uniform(0.8, 1.1), bronchi)


def _nodule(rng: np.random.Generator, patient: Anatomy, side: str, found: list[Finding]) -> Finding:
    """Round, slightly lobulated opacity inside the lung field."""
    radius = rng.uniform(*NODULE_RADIUS)
    centre = _spot(rng, patient, side, 1.1 * radius, found)
    ratio = rng.uniform(0.9, 1.1)
    return Finding("Nodule", side, blob(rng, centre, (radius * ratio, radius / ratio), 0.06), rng.uniform(0.85, 1.1))


def _spot(rng: np.random.Generator, patient: Anatomy, side: str, margin: float, found: list[Finding]) -> np.ndarray:
    """A point of the visible lung at least `margin` from its border and clear of earlier findings there."""
    canvas = Canvas((128, 128), np.array([[128.0, 0, 64], [0, 128.0, 0]]))
    field_mask = canvas.fill(patient.lungs[side])
    field_mask[canvas.fill(patient.heart, patient.mediastinum) > 0] = 0
    for other in found:
        if other.side == side:
            raster = canvas.fill(other.contour)
            field_mask[(raster == 0) if other.name == "Pneumothorax" else (raster > 0)] = 0
    depth = cv2.distanceTransform((field_mask > 127).astype(np.uint8), cv2.DIST_L2, 5) / 128
    # The apex behind the clavicle is left out: even a radiologist argues there.
    depth[: int(128 * (patient.apex + 0.06))] = 0
    rows, columns = np.nonzero(depth >= min(margin, 0.92 * depth.max()))
    pick = int(rng.integers(len(rows)))
    return np.array([(columns[pick] - 64) / 128, rows[pick] / 128])


_SAMPLERS = {"Effusion": _effusion, "Pneumothorax": _pneumothorax, "Consolidation": _consolidation, "Nodule": _nodule}
