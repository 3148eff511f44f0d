"""The attenuation of every tissue as layers that add up: 0 is air, about 1 the abdomen.

Whatever has soft edges is computed on a raster of a quarter of the size, which looks the same and costs a sixteenth.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..shapes import Canvas
from . import contours as outline
from . import skeleton
from .contours import Contours
from .disease import Disease, add_disease
from .patient import SIDES, Patient, Pose
from .vessels import roots, vessels

UNIT = np.float32(1 / 255)
SOFT = 4


class Rasters:
    """uint8 (H, W), 0..255, of what truth and several layers need: whole lungs, heart, mediastinum, bones, domes."""

    def __init__(self, canvas: Canvas, patient: Patient, pose: Pose, outlines: Contours) -> None:
        self.lungs = {name: canvas.fill(outlines.lungs[name]) for name in SIDES}
        self.heart = canvas.fill(outlines.heart)
        self.solid = cv2.max(self.heart, canvas.fill(outlines.mediastinum))
        self.fields = {name: cv2.subtract(self.lungs[name], self.solid) for name in SIDES}
        self.both = cv2.max(self.lungs["Left"], self.lungs["Right"])
        arcs = [skeleton.ribs(patient, pose, side) for side in SIDES.values()]
        self.back = canvas.fill(*(rib for back, _ in arcs for rib in back))
        self.front = canvas.fill(*(rib for _, front in arcs for rib in front))
        self.clavicles = {n: canvas.fill(skeleton.clavicle(patient, pose, side)) for n, side in SIDES.items()}
        line = np.zeros(canvas.shape, np.uint8)
        self.diaphragm = canvas.lines(line, list(outlines.domes.values()), 0.03 * pose.scale, 255)


def attenuation(
    canvas: Canvas,
    patient: Patient,
    pose: Pose,
    outlines: Contours,
    rasters: Rasters,
    diseases: list[Disease],
    rng: np.random.Generator,
) -> np.ndarray:
    """Sum of all layers, float32 (H, W). `rng` draws what belongs to the patient: vessels and mottling."""
    soft = Canvas((canvas.shape[0] // SOFT, canvas.shape[1] // SOFT), canvas.matrix / SOFT)
    absorbed, air = _soft_tissue(soft, patient, pose, outlines, rng)
    wide = canvas.shape[::-1]
    absorbed = np.asarray(cv2.resize(absorbed, wide, interpolation=cv2.INTER_LINEAR))
    air = np.asarray(cv2.resize(air, wide, interpolation=cv2.INTER_LINEAR))
    skin = canvas.fill(outline.trunk(patient, pose), *(outline.arm(patient, pose, side)[0] for side in SIDES.values()))
    absorbed *= canvas.blur(skin, 0.003 * pose.scale) * UNIT
    # Lungs end sharply at domes and chest wall, and less sharply behind heart and mediastinum.
    solid = canvas.blur(rasters.solid, patient.body.border * pose.scale)
    air *= canvas.blur(rasters.both, 0.4 * patient.body.border * pose.scale) * UNIT
    marks = _marks(canvas, patient, pose, outlines, rasters, rng)
    marks = cv2.min(marks, cv2.subtract(rasters.both, cv2.convertScaleAbs(solid, alpha=0.75)))
    # The heart lies before a thin part of the lung, the upper mediastinum before a thick one.
    top, bottom = canvas.pixels(pose.place([[0.0, 0.15], [0.0, 0.55]]))[:, 1]
    below = np.clip((np.arange(canvas.shape[0], dtype=np.float32) - top) / (bottom - top), 0, 1)[:, None]
    air *= 1 - solid * (UNIT * (np.float32(0.62) + np.float32(0.24) * below))
    air *= 1 + np.float32(0.05 * patient.body.texture) * mottle(rng, 44, canvas.shape)
    marks = add_disease(canvas, pose, rasters.fields, diseases, absorbed, air, marks, rng)
    absorbed -= air
    absorbed += marks * (UNIT * np.float32(0.17 * patient.body.vessels))
    _airways(canvas, patient, pose, outlines, absorbed)
    _bones(canvas, patient, pose, rasters, absorbed)
    return absorbed


def mottle(rng: np.random.Generator, cells: int, shape: tuple[int, int]) -> np.ndarray:
    """Smooth random field (float32) of unit deviation with about `cells` bumps along each side."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _soft_tissue(
    soft: Canvas, patient: Patient, pose: Pose, outlines: Contours, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(absorption of trunk, arms, breasts, heart and abdomen; what the air of the lungs takes away), at soft size."""
    body, scale = patient.body, pose.scale
    skin = soft.fill(outline.trunk(patient, pose))
    reach = 0.13 + 0.09 * body.fat + body.taper
    absorbed = soft.depth(skin, reach * scale, 1) * np.float32(0.86 + 0.08 * body.fat)
    limbs = [outline.arm(patient, pose, side) for side in SIDES.values()]
    for limb, bone in limbs:
        area = soft.fill(limb)
        if area.any():
            thick = soft.depth(area, 0.15 * scale, 1) * np.float32(0.62)
            shaft = soft.lines(np.zeros_like(area), [bone], 0.075 * scale, 150)
            shaft = soft.blur(soft.lines(shaft, [bone[:2]], 0.12 * scale, 190), 0.012 * scale)
            absorbed = np.maximum(absorbed, thick + shaft * (UNIT * np.float32(0.22)))
    lungs = {name: soft.fill(outlines.lungs[name]) for name in SIDES}
    both = cv2.max(lungs["Left"], lungs["Right"])
    heart = soft.fill(outlines.heart)
    belly = soft.blur(soft.fill(pose.place([[-2, 0.85], [2, 0.85], [2, 3], [-2, 3]])), 0.06 * scale)
    belly = cv2.min(belly, cv2.subtract(skin, both))
    absorbed += belly * (UNIT * (np.float32(0.04 + body.belly) + 0.02 * mottle(rng, 9, soft.shape)))
    absorbed += soft.depth(heart, 0.20 * scale, 1) * np.float32(0.10)
    air = np.zeros(soft.shape, np.float32)
    for lung in lungs.values():
        # As thick as a chord of a round chest: at the wall the lung is thin, and it goes on beyond what is dark.
        inside = soft.depth(lung, 0.24 * scale, 1)
        air += (lung > 0) * (body.wall_air + (1 - np.float32(body.wall_air)) * np.sqrt(inside))
    air *= np.float32(body.lung_air)
    air *= 1 + np.float32(0.05 * body.texture) * mottle(rng, 7, soft.shape)
    if body.breast:
        for side in SIDES.values():
            shape = soft.fill(outline.breast(patient, pose, side))
            absorbed += soft.depth(shape, 0.20 * scale, 1) * np.float32(0.17 * body.breast)
    loops = outline.bowel(patient, pose, rng)
    if loops:
        gas = soft.blur(cv2.subtract(soft.fill(*loops), both), 0.012 * scale)
        absorbed -= gas * (UNIT * np.float32(0.20 * body.bowel))
    if body.gas:
        gas = soft.blur(cv2.subtract(soft.fill(outline.bubble(patient, pose)), both), 0.010 * scale)
        absorbed -= gas * (UNIT * np.float32(0.14 + 0.16 * body.gas))
    return absorbed, air


def _marks(
    canvas: Canvas,
    patient: Patient,
    pose: Pose,
    outlines: Contours,
    rasters: Rasters,
    rng: np.random.Generator,
) -> np.ndarray:
    """Vessels and hila, uint8."""
    marks = np.zeros(canvas.shape, np.uint8)
    for curves, width in vessels(rng, outlines, pose):
        canvas.lines(marks, curves, width * pose.scale, min(255, int(45 + 7500 * width)))
    centre = canvas.lines(np.zeros_like(marks), roots(rng, outlines, pose), 0.055 * pose.scale, 200)
    centre = canvas.blur(centre, 0.014 * pose.scale)
    return cv2.add(canvas.blur(marks, 0.003), cv2.convertScaleAbs(centre, alpha=0.45 * patient.body.hilum))


def _airways(canvas: Canvas, patient: Patient, pose: Pose, outlines: Contours, absorbed: np.ndarray) -> None:
    """Trachea and main bronchi take a dark column out of the mediastinum, in place."""
    body = patient.body
    carina = pose.place([0.0, body.carina])
    top = pose.place([[0.0, -0.5], [0.0, 0.0], [body.trachea_lean, body.carina - 0.12]])
    tubes = np.zeros(canvas.shape, np.uint8)
    canvas.lines(tubes, [np.array([carina, hilum]) for hilum in outlines.hila.values()], 0.035 * pose.scale, 110)
    canvas.lines(tubes, [np.concatenate([top, carina[None]])], body.trachea * pose.scale, 230)
    absorbed -= canvas.blur(tubes, 0.008 * pose.scale) * (UNIT * np.float32(0.15))


def _bones(canvas: Canvas, patient: Patient, pose: Pose, rasters: Rasters, absorbed: np.ndarray) -> None:
    """Adds spine, ribs, clavicles and shoulder blades, in place; cortex is denser than marrow."""
    body = patient.body
    inner = [skeleton.ribs(patient, pose, side, inner=0.55) for side in SIDES.values()]
    bright = np.zeros_like(absorbed)
    for raster, marrow, density in (
        (rasters.back, [rib for back, _ in inner for rib in back], body.rib_density),
        (rasters.front, [rib for _, front in inner for rib in front], body.rib_density * body.front_density),
    ):
        hollow = cv2.convertScaleAbs(canvas.fill(*marrow), alpha=0.45)
        ribs = canvas.blur(cv2.subtract(raster, hollow), 0.004 * pose.scale)
        bright += ribs * (UNIT * np.float32(density))
    hollow = canvas.fill(*(skeleton.clavicle(patient, pose, side, inner=0.5) for side in SIDES.values()))
    collar = cv2.max(rasters.clavicles["Left"], rasters.clavicles["Right"])
    collar = cv2.subtract(collar, cv2.convertScaleAbs(hollow, alpha=0.3))
    blades = canvas.fill(*(skeleton.scapula(patient, pose, side) for side in SIDES.values()))
    edge = cv2.morphologyEx(blades, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    column, discs, marks = skeleton.spine(patient, pose)
    spine = cv2.convertScaleAbs(canvas.fill(column), alpha=0.6)
    canvas.lines(spine, discs, 0.012 * pose.scale, 105)
    canvas.lines(spine, marks, 0.016 * pose.scale, 240)
    bright += canvas.blur(collar, 0.004 * pose.scale) * (UNIT * np.float32(1.5 * body.rib_density))
    bright += canvas.blur(spine, 0.010 * pose.scale) * (UNIT * np.float32(body.spine_density))
    bright += canvas.blur(cv2.addWeighted(blades, 0.6, edge, 0.4, 0), 0.006) * (UNIT * np.float32(0.07))
    # Scattered rays hide bones where the body is thick: over heart and abdomen ribs are faint.
    absorbed += bright * np.clip(1.35 - absorbed, 0.25, 1)
