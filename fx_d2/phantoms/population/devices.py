"""What lies on or in the patient besides tissue: electrodes, cables, tubes, lines, a pacemaker, hoses."""

from __future__ import annotations

import cv2
import numpy as np

from ..shapes import Canvas, spline
from . import ranges
from .contours import Contours
from .patient import Patient, Pose

UNIT = np.float32(1 / 255)


def add_devices(
    canvas: Canvas, patient: Patient, pose: Pose, outlines: Contours, absorbed: np.ndarray, rng: np.random.Generator
) -> None:
    """Adds the devices of a picture to the attenuation, in place."""
    present = {n: bool(rng.random() < c[int(pose.supine)]) for n, c in ranges.DEVICES.items()}
    if not any(present.values()):
        return
    layer = np.zeros(canvas.shape, np.uint8)
    thin = 0.006 * pose.scale
    body = patient.body

    def line(points: list | np.ndarray, width: float, value: int) -> None:
        canvas.lines(layer, [spline(pose.place(np.asarray(points), 1, 0.3))], width, value)

    jitter = rng.normal(0, 0.03, (6, 2))
    if present["endotracheal"]:
        tip = body.carina - rng.uniform(0.02, 0.16)
        tube = [[0.02, -0.6], [0.0, -0.1], [body.trachea_lean, tip]]
        line(tube, 0.028 * pose.scale, 60)
        line(np.array(tube) + [0.02, 0], thin, 200)
    if present["gastric"]:
        line([[0.03, -0.6], [0.02, 0.1], [0.03, 0.45], [0.10, 0.8], [0.35, 1.0], [0.3, 1.15]] + 0.4 * jitter, thin, 190)
    if present["central_line"]:
        side = rng.choice([-1, 1])
        start = [[0.95, -0.02], [0.5, 0.03]] if rng.random() < 0.5 else [[0.22, -0.5], [0.18, -0.1]]
        end = [[-0.14, 0.2], [-0.15, 0.32 + rng.uniform(0, 0.15)]]
        line(np.concatenate([np.array(start) * [side, 1], end]) + 0.3 * jitter[:4], thin, 150)
    if present["drain"]:
        side = rng.choice([-1, 1])
        line(np.array([[1.3, 0.75], [0.9, 0.65], [0.6, 0.35], [0.5, 0.15]]) * [side, 1] + jitter[:4], 2 * thin, 130)
    if present["pacemaker"]:
        spot = pose.place([0.78, 0.18] + jitter[0], int(rng.choice([-1, 1])), 0.8)
        can = spot + 0.075 * pose.scale * np.array([[-0.8, -1], [0.9, -0.9], [1, 0.7], [0, 1.0], [-0.9, 0.6]])
        np.maximum(layer, canvas.fill(spline(can, closed=True)), out=layer)
        for tip in ([-0.05, 0.62], [0.25, 0.80]):
            wire = np.stack([spot, *pose.place([[0.35, 0.10], [-0.12, 0.22], [-0.14, 0.45], tip], 1, 0.3)])
            canvas.lines(layer, [spline(wire)], thin, 210)
    if present["electrodes"] or present["cables"]:
        _electrodes(canvas, layer, pose, present["cables"], rng)
    if present["tubing"]:
        for _ in range(int(rng.integers(1, 3))):
            path = rng.uniform([-1.6, -0.2], [1.6, 1.3], (4, 2))
            line(path, rng.uniform(0.012, 0.03) * pose.scale, int(rng.integers(25, 90)))
    absorbed += cv2.GaussianBlur(layer, (0, 0), 0.5) * (UNIT * np.float32(0.45))


def _electrodes(canvas: Canvas, layer: np.ndarray, pose: Pose, cables: bool, rng: np.random.Generator) -> None:
    """Round electrodes on the chest; with cables, each has its own, and all leave the picture on one side."""
    away = pose.place([rng.choice([-1.5, 1.5]), rng.uniform(-0.2, 1.2)])
    for _ in range(int(rng.integers(2, 7))):
        spot = pose.place(rng.uniform([-0.95, -0.05], [0.95, 0.95]))
        centre = tuple(int(x) for x in canvas.pixels(spot))
        cv2.circle(layer, centre, max(1, round(0.018 * pose.scale * canvas.unit)), int(rng.integers(60, 130)), -1)
        cv2.circle(layer, centre, max(1, round(0.007 * pose.scale * canvas.unit)), 230, -1)
        if cables:
            bend = spot + (away - spot) * [[0.35], [0.7]] + rng.normal(0, 0.10 * pose.scale, (2, 2))
            canvas.lines(layer, [spline(np.stack([spot, *bend, away]))], 0.004, int(rng.integers(40, 130)))
