"""Bones as outlines and lines in picture coordinates: ribs, clavicles, scapulae, spine."""

from __future__ import annotations

import numpy as np

from ..shapes import spline
from .contours import wall
from .patient import Patient, Pose

RIBS, FRONT_RIBS = 11, 7


def _band(line: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Outline (..., 2N, 2) of a line (..., N, 2) drawn `width` wide, in the units of the line."""
    along = np.gradient(line, axis=-2)
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    across /= np.linalg.norm(across, axis=-1, keepdims=True) + 1e-9
    half = np.asarray(width)[..., None] / 2 * across
    return np.concatenate([line + half, (line - half)[..., ::-1, :]], axis=-2)


def ribs(patient: Patient, pose: Pose, side: int, inner: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Outlines (ribs, points, 2) of the posterior and of the anterior arcs, from the first rib down.

    A rib is half a ring in a plane that slopes down to the front. Seen from the front, its back part is a quarter of an
    ellipse from the spine down to the side, its front part another one onwards to the breastbone.

    Args:
        patient: whose ribs.
        pose: of the picture.
        side: -1 is the patient's right.
        inner: share of the width: less than 1 gives the marrow between the two edges.
    """
    body = patient.body
    number = np.arange(RIBS)[:, None]
    start = body.ribs_first + body.ribs_step * number + 0.004 * np.sin(7 * number + body.curve_phase)
    drop = body.ribs_drop * (0.55 + 0.45 * np.minimum(number, 5) / 5)
    # The upper ribs are short: the first hardly leaves the mediastinum.
    reach = np.minimum(wall(patient, start + drop) + 0.02, 0.58 + 0.14 * number)
    back, front = np.linspace(0, np.pi / 2, 15), np.linspace(np.pi / 2, 0.80 * np.pi, 10)
    arcs = []
    for angle, count in ((back, RIBS), (front, FRONT_RIBS)):
        u = 0.10 + (reach - 0.10) * np.sin(angle)
        v = start + drop * (1 - np.cos(angle)) + 0.03 * np.exp(-((u - 0.10) / 0.12))
        line = pose.place(np.stack([u, v], axis=2)[:count], side, -np.cos(angle))
        width = body.rib_width * pose.scale * (0.85 + 0.25 * np.sin(angle)) * inner
        arcs.append(_band(line, np.broadcast_to(width, line.shape[:2])))
    return arcs[0], arcs[1]


def clavicle(patient: Patient, pose: Pose, side: int, inner: float = 1.0) -> np.ndarray:
    """Outline of a clavicle: an S from the breastbone to the shoulder, thick at both ends."""
    level, rise = patient.body.clavicle_level, patient.body.clavicle_rise
    points = [
        [0.11, level + 0.02],
        [0.30, level + 0.0 - 0.1 * rise],
        [0.58, level - 0.055 - 0.5 * rise],
        [0.86, level - 0.075 - 1.0 * rise],
        [1.12, level - 0.045 - 1.2 * rise],
    ]
    line = spline(pose.place(np.array(points), side, np.linspace(0.8, 0.0, 5)))
    width = patient.body.clavicle_width * pose.scale * (0.85 + 0.5 * np.linspace(-1, 1, len(line)) ** 2) * inner
    return _band(line, width)


def scapula(patient: Patient, pose: Pose, side: int) -> np.ndarray:
    """Outline of the shoulder blade; its medial border lies beside the lung, in bedside pictures over it."""
    x = wall(patient, np.array(0.4)) + pose.knobs.scapula
    rise = patient.body.clavicle_rise
    points = [
        [x - 0.10, 0.12],
        [x + 0.02, 0.03 - 0.5 * rise],
        [x + 0.22, -0.02 - rise],
        [x + 0.36, 0.01 - rise],
        [x + 0.28, 0.06 - rise],
        [x + 0.30, 0.17 - 0.5 * rise],
        [x + 0.20, 0.20 - 0.4 * rise],
        [x + 0.13, 0.40],
        [x + 0.05, 0.54],
        [x - 0.03, 0.36],
    ]
    return pose.place(spline(np.array(points), closed=True), side, -0.7)


def spine(patient: Patient, pose: Pose) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """(outline of the column, discs, pedicles and spinous processes), the latter two as short lines."""
    half, step = patient.body.vertebra, 0.082
    levels = np.arange(-1.0, 2.6, step)
    v = np.linspace(-1.0, 2.6, 130)
    edge = half * (0.88 + 0.12 * np.cos(2 * np.pi * (v - levels[0]) / step)) * (0.85 + 0.25 * np.clip(v, 0, 1))
    column = np.concatenate([np.stack([-edge, v], axis=1), np.stack([edge, v], axis=1)[::-1]])
    discs = [np.array([[-0.8 * half, y], [0.8 * half, y]]) for y in levels]
    marks = [np.array([[x, y + 0.35 * step], [x, y + 0.60 * step]]) for y in levels for x in (-0.6 * half, 0.6 * half)]
    marks += [np.array([[0.0, y + 0.55 * step], [0.0, y + 0.95 * step]]) for y in levels]
    return pose.place(column, 1, -0.8), list(pose.place(discs, 1, -0.8)), list(pose.place(marks, 1, -0.9))
