"""Hila and pulmonary vessels: trees that branch from each hilum towards the chest wall."""

from __future__ import annotations

import numpy as np

from .contours import Contours
from .patient import SIDES, Pose

WIDTHS = (0.015, 0.010, 0.007, 0.0045, 0.003)  # by generation, in heights of the chest


def vessels(rng: np.random.Generator, outlines: Contours, pose: Pose) -> list[tuple[list[np.ndarray], float]]:
    """[(curves, width)] in picture coordinates, thinnest first. Lower vessels are larger in an upright patient."""
    layers: list[list[np.ndarray]] = [[] for _ in WIDTHS]
    for name, side in SIDES.items():
        count = int(rng.integers(11, 16))
        angle = np.linspace(-1.35, 1.45, count) + rng.normal(0, 0.13, count)
        reach = rng.uniform(0.5, 0.9, count)
        reach /= np.hypot(np.cos(angle) / (0.72 * pose.half_width), np.sin(angle) / (0.46 * pose.scale))
        spread = np.stack([np.zeros(count), np.linspace(-0.06, 0.08, count) * pose.scale], axis=1)
        start = outlines.hila[name] + spread
        for generation in range(3):
            t = np.linspace(0, 1, 9)
            turn = angle[:, None] + (rng.normal(0, 0.5, len(angle))[:, None] + 0.3 * np.sin(angle)[:, None]) * t
            step = np.stack([side * np.cos(turn), np.sin(turn)], axis=2) * (reach[:, None, None] / 8)
            curve = start[:, None] + np.cumsum(step, axis=1) - step[:, :1]
            layers[generation].extend(curve[:, :5])
            layers[generation + 1].extend(curve[:, 4:8])
            layers[generation + 2].extend(curve[:, 6:])
            forks = np.array([2, 4, 6]) if generation == 0 else np.array([3, 5])
            start = curve[:, forks].reshape(-1, 2)
            split = rng.choice([-1, 1], (len(angle), len(forks))) * rng.uniform(0.3, 0.9, (len(angle), len(forks)))
            angle = (turn[:, forks] + split).reshape(-1)
            reach = (reach[:, None] * rng.uniform(0.3, 0.6, split.shape)).reshape(-1)
    return list(zip(layers[::-1], WIDTHS[::-1], strict=True))


def roots(rng: np.random.Generator, outlines: Contours, pose: Pose) -> list[np.ndarray]:
    """Thick curves of the central arteries at each hilum: one up, one down and out, like a comma."""
    curves = []
    for name, side in SIDES.items():
        bow = rng.uniform(0.03, 0.08)
        shape = np.array([[-0.06, -0.06], [-0.01, -0.01], [bow * 0.6, 0.05], [bow, 0.13]])
        curves.append(outlines.hila[name] + shape * [side * pose.half_width, pose.scale])
    return curves
