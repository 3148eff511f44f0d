"""The outlines of lungs, heart, mediastinum and soft tissue in the picture, and the domes of the diaphragm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..shapes import spline
from . import ranges
from .patient import SIDES, Patient, Pose


@dataclass(frozen=True)
class Contours:
    """Outlines (N, 2) in picture coordinates; `domes` are the open lines of the diaphragm, `hila` points (2,)."""

    lungs: dict[str, np.ndarray]
    heart: np.ndarray
    mediastinum: np.ndarray
    domes: dict[str, np.ndarray]
    hila: dict[str, np.ndarray]


def contours(patient: Patient, pose: Pose) -> Contours:
    """All outlines of one picture. The heart's transverse diameter is exactly `patient.ctr` of the lungs'."""
    lungs, domes = {}, {}
    for name, side in SIDES.items():
        lungs[name], domes[name] = _lung(patient, pose, side)
    left = min(lung[:, 0].min() for lung in lungs.values())
    right = max(lung[:, 0].max() for lung in lungs.values())
    heart = _heart(patient, pose, patient.ctr * (right - left))
    hila = {"Right": pose.place([0.27, 0.46], -1, 0.1), "Left": pose.place([0.28, 0.43], 1, 0.1)}
    return Contours(lungs, heart, _mediastinum(patient, pose), domes, hila)


def wall(patient: Patient, v: np.ndarray) -> np.ndarray:
    """u of the inner chest wall at height v (0..1): about an ellipse."""
    body = patient.body
    rise = (1 - (1 - np.clip(v, 0, 1)) ** body.round_top) ** (1 / body.round_side)
    return body.apex + (1 - body.apex) * rise


def dome_levels(patient: Patient) -> dict[str, float]:
    """v of the highest point of each dome."""
    right = 1 - patient.body.dome
    return {"Right": right, "Left": min(right + patient.body.dome_left, patient.body.base_left - 0.05)}


def _lung(patient: Patient, pose: Pose, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(outline, dome): the whole lung, as if neither heart nor mediastinum lay before it, down to the diaphragm."""
    body = patient.body
    base = 1.0 if side == -1 else body.base_left
    dome = dome_levels(patient)["Right" if side == -1 else "Left"]
    medial = body.medial_base + (0.02 if side == 1 else 0.0)
    # Dense near the apex, where the wall turns.
    v = np.linspace(0, 1, 26) ** 2 * 0.985
    side_wall = np.stack([wall(patient, v) * (1 - (1 - body.angle) * v**6), v * base], axis=1)
    floor = spline(
        np.array(
            [
                [body.angle, base],
                [body.angle - 0.07, base - 0.45 * (base - dome) - 0.01],
                [body.angle - 0.20, dome + 0.22 * (base - dome)],
                [body.dome_peak, dome],
                [0.5 * (body.dome_peak + medial), dome + 0.012],
                [medial + 0.02, dome + 0.045],
            ]
        )
    )
    inner = spline(
        np.array(
            [
                [medial, dome + 0.035],
                [medial - 0.01, 0.75],
                [0.5 * (medial + body.medial_top) + 0.01, 0.45],
                [body.medial_top, 0.20],
                [body.medial_top + 0.02, 0.06],
                [0.55 * body.medial_top + 0.45 * body.apex, 0.012],
            ]
        )
    )
    outline = np.concatenate([side_wall, floor, inner])
    # A turned chest shows more of one lung: its medial border moves with the front of the spine.
    depth = 0.6 * np.clip(1 - outline[:, 0] / 0.6, 0, 1)
    return pose.place(outline, side, depth), pose.place(floor, side)


def _heart(patient: Patient, pose: Pose, width: float) -> np.ndarray:
    """Heart outline, `width` (picture coordinates) across; atrium on the right, ventricle and apex on the left."""
    body = patient.body
    floor = dome_levels(patient)["Left"] + 0.05
    top, tip, waist = body.heart_top, floor - 0.07 + body.heart_apex, body.heart_waist
    middle = (top + floor) / 2
    # x in shares of the width from the right border; the left border bulges most near the apex.
    outline = np.array(
        [
            [0.34, top - 0.02],
            [0.17, top + 0.05],
            [0.055, middle - 0.06],
            [0.0, middle + 0.05],
            [0.025, floor - 0.07],
            [0.12, floor - 0.012],
            [0.40, floor + 0.012],
            [0.72, floor + 0.012],
            [0.91, tip + 0.045],
            [1.0, tip - 0.025],
            [0.95 + 0.3 * waist, tip - 0.12],
            [0.82 + waist, 0.5 * (tip + top) - 0.04],
            [0.66 + waist, top + 0.05],
            [0.52, top - 0.01],
        ]
    )
    curve = spline(outline, closed=True)
    placed = pose.place(np.stack([np.zeros(len(curve)), curve[:, 1]], axis=1), 1, 0.35)
    lean = (curve[:, 0] - body.heart_shift) * width
    angle = np.deg2rad(pose.knobs.tilt)
    placed += np.stack([lean * np.cos(angle), lean * np.sin(angle)], axis=1)
    middle_x = (placed[:, 0].min() + placed[:, 0].max()) / 2
    placed[:, 0] = middle_x + (placed[:, 0] - middle_x) * (width / np.ptp(placed[:, 0]))
    return placed


def _mediastinum(patient: Patient, pose: Pose) -> np.ndarray:
    """Great vessels and midline: the right edge is the caval vein, the left has aortic knob and pulmonary trunk."""
    body = patient.body
    edge = body.medial_top
    right = np.array(
        [[0.16, -0.35], [0.13, -0.05], [body.caval, 0.12], [body.caval, 0.32], [body.caval - 0.01, 0.5], [0.10, 1.1]]
    )
    left = np.array(
        [
            [0.10, 1.1],
            [0.13, 0.60],
            [0.18 + body.trunk_arc, 0.46],
            [0.17 + body.trunk_arc, 0.40],
            [0.15, 0.365],
            [0.15 + body.knob, 0.31],
            [0.15 + body.knob, 0.255],
            [edge + 0.015, 0.20],
            [edge - 0.01, 0.08],
            [0.13, -0.05],
            [0.16, -0.35],
        ]
    )
    halves = [pose.place(spline(right), -1, 0.2), pose.place(spline(left), 1, 0.2)]
    return np.concatenate(halves)


def trunk(patient: Patient, pose: Pose) -> np.ndarray:
    """Skin outline of neck, shoulders and trunk, far below the picture."""
    body = patient.body
    flank = 1.10 + 0.22 * body.fat
    neck = 0.27 + 0.10 * body.fat
    rise = body.clavicle_rise
    half = np.array(
        [
            [neck, -0.9],
            [neck, -0.24],
            [neck + 0.12, -0.14 - 0.04 * body.fat],
            [0.75, -0.06 - rise],
            [1.12, -0.01 - rise],
            [1.34 + 0.08 * body.fat, 0.10 - rise],
            [flank + 0.16, 0.34],
            [flank + 0.03, 0.52],
            [flank, 0.8],
            [flank + 0.02, 1.1],
            [flank + 0.05, 2.0],
        ]
    )
    outline = spline(half)
    return np.concatenate([pose.place(outline, -1), pose.place(outline)[::-1]])


def arm(patient: Patient, pose: Pose, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(outline, midline of the humerus) of the upper arm."""
    shoulder = np.array([1.22, 0.07 - patient.body.clavicle_rise])
    angle = pose.knobs.arm
    along = np.array([np.sin(angle), np.cos(angle) * pose.half_width / pose.scale])
    across = np.array([np.cos(angle), -np.sin(angle) * pose.half_width / pose.scale])
    thick = 0.17 + 0.09 * patient.body.fat
    reach = np.array([-0.10, 0.3, 0.9, 2.2])[:, None] * along
    width = thick * np.array([0.9, 1.0, 0.95, 0.85])[:, None] * across
    outline = np.concatenate([shoulder + reach + width, (shoulder + reach - width)[::-1]])
    bone = shoulder + np.array([0.0, 0.12, 0.6, 2.2])[:, None] * along
    return pose.place(spline(outline, closed=True), side), pose.place(bone, side)


def breast(patient: Patient, pose: Pose, side: int) -> np.ndarray:
    """Outline of the breast over the lower chest: open above, round and sharp below."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    size = patient.body.breast
    u = 0.64 + (0.34 + 0.14 * size) * np.cos(t)
    v = patient.body.breast_level + (0.16 + 0.10 * size) * np.sin(t) * np.where(np.sin(t) < 0, 1.4, 1.0)
    return pose.place(np.stack([u, v], axis=1), side, 0.9)


def bubble(patient: Patient, pose: Pose) -> np.ndarray:
    """Air in the stomach under the left dome; flat below in an upright patient, where the fluid stands."""
    size = patient.body.gas
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    drop = np.sin(t) * 0.075 * size
    if not pose.supine:
        drop = np.minimum(drop, 0.03 * size)
    level = dome_levels(patient)["Left"] + 0.075 * size + 0.05
    return pose.place(np.stack([0.48 + 0.24 * size * np.cos(t), level + drop], axis=1))


def bowel(patient: Patient, pose: Pose, rng: np.random.Generator) -> list[np.ndarray]:
    """Gas in loops of the colon: every second one close under the left dome, the others anywhere below both."""
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    loops = []
    for number in range(int(rng.integers(0, ranges.BOWEL_LOOPS + 1))):
        flexure = number % 2 == 0
        side = "Left" if flexure or rng.random() < 0.5 else "Right"
        loop = ranges.sample(rng, ranges.FLEXURE if flexure else ranges.LOOP)
        level = dome_levels(patient)[side] + 0.05 + loop.size + loop.below
        ring = np.stack([np.cos(t) * (1 + 0.15 * np.cos(3 * t)), loop.flat * np.sin(t)], axis=1) * loop.size
        turn = np.array([[np.cos(loop.angle), np.sin(loop.angle)], [-np.sin(loop.angle), np.cos(loop.angle)]])
        loops.append(pose.place(ring @ turn + [loop.u, level], SIDES[side]))
    return loops
