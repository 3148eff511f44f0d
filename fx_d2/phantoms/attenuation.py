"""The attenuation of every tissue on the way of the rays, as layers that add up: 0 is air, about 1 is the abdomen."""

from __future__ import annotations

import cv2
import numpy as np

from . import anatomy as body
from .anatomy import SIDES, Anatomy
from .findings import Finding
from .shapes import Canvas

_WHITE = np.float32(1 / 255)


class Rasters:
    """What several layers need: lung outlines by side, heart and mediastinum, and the region of each finding.

    All are uint8 (H, W), 0..255 with smooth edges.
    """

    def __init__(self, canvas: Canvas, patient: Anatomy, findings: list[Finding]) -> None:
        self.lungs = {side: canvas.fill(patient.lungs[side]) for side in SIDES}
        self.heart = canvas.fill(patient.heart)
        self.solid = cv2.max(self.heart, canvas.fill(patient.mediastinum))
        self.fields = {side: cv2.subtract(self.lungs[side], self.solid) for side in SIDES}
        self.contours = [canvas.fill(finding.contour) for finding in findings]
        self.regions = []
        for finding, inside in zip(findings, self.contours, strict=True):
            seen = self.fields[finding.side]
            outwards = finding.name == "Pneumothorax"
            self.regions.append(cv2.subtract(seen, inside) if outwards else cv2.min(seen, inside))


def attenuation(
    canvas: Canvas, patient: Anatomy, findings: list[Finding], rasters: Rasters, rng: np.random.Generator
) -> np.ndarray:
    """Sum of all layers, float32 (H, W). `rng` draws what belongs to the patient: vessels and mottling."""
    absorbed = _soft_tissue(canvas, patient, rasters, rng)
    air, marks = _air(canvas, patient, rasters, rng), _vessels(canvas, patient, rasters, rng)
    for finding, region, contour in zip(findings, rasters.regions, rasters.contours, strict=True):
        lung = rasters.lungs[finding.side]
        if finding.name == "Effusion":
            # The fluid reaches behind the heart, where nobody sees its edge; the truth ends with the lung field.
            fluid = canvas.blur(cv2.min(contour, lung), 0.004)
            air *= 1 - fluid * (_WHITE * np.float32(0.90 * finding.strength))
            marks = cv2.subtract(marks, fluid)
        elif finding.name == "Pneumothorax":
            marks = _collapse(finding, region, contour, lung, air, marks, absorbed)
        elif finding.name == "Consolidation":
            soft = canvas.blur(contour, 0.009)
            marks = cv2.subtract(marks, cv2.convertScaleAbs(soft, alpha=0.5))
            air *= 1 - _opacity(canvas, finding, soft, rng)
        elif finding.name == "Nodule":
            soft = cv2.min(canvas.blur(contour, 0.006), lung)
            absorbed += soft * (_WHITE * np.float32(0.26 * finding.strength))
    absorbed -= air
    absorbed += marks * (_WHITE * np.float32(0.15 * patient.build["vessels"]))
    _airways(canvas, patient, absorbed)
    _bones(canvas, patient, absorbed)
    return absorbed


def _mottle(rng: np.random.Generator, cells: int, canvas: Canvas) -> np.ndarray:
    """Smooth random field (float32) of unit deviation with about `cells` bumps along each side."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(grid, canvas.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _soft_tissue(canvas: Canvas, patient: Anatomy, rasters: Rasters, rng: np.random.Generator) -> np.ndarray:
    skin = canvas.fill(body.trunk(patient))
    absorbed = canvas.depth(skin, 0.17 + 0.03 * patient.habitus)
    # The trunk is thicker towards the abdomen.
    absorbed *= np.linspace(0.72, 1.0, canvas.shape[0], dtype=np.float32)[:, None] * (1 + 0.10 * patient.habitus)
    for side in (-1, 1):
        outline, bone = body.arm(patient, side)
        limb = canvas.fill(outline)
        if limb.any():
            absorbed = np.maximum(absorbed, 0.60 * canvas.depth(limb, 0.10))
            shaft = canvas.lines(np.zeros_like(limb), [bone], 0.040, 150)
            shaft = canvas.lines(shaft, [bone[:2]], 0.062, 190)
            absorbed += canvas.blur(shaft, 0.006) * (_WHITE * np.float32(0.16))
    lungs = cv2.max(rasters.lungs["Left"], rasters.lungs["Right"])
    belly = cv2.min(canvas.blur(canvas.fill(body.abdomen(patient)), 0.05), cv2.subtract(skin, lungs))
    absorbed += belly * (0.16 + 0.025 * _mottle(rng, 10, canvas)) * _WHITE
    # Thin at the neck, thick at the heart, without a visible upper edge of the heart.
    absorbed += rasters.solid * (_WHITE * (0.04 + 0.11 * _below_carina(canvas, patient)))
    absorbed += canvas.depth(rasters.heart, 0.18) * np.float32(0.09)
    if patient.build["breast"]:
        for side in (-1, 1):
            shadow = canvas.depth(canvas.fill(body.breast(patient, side)), 0.12)
            absorbed += shadow * np.float32(0.15 * patient.build["breast"])
    if patient.build["stomach"]:
        gas = canvas.blur(cv2.subtract(canvas.fill(body.stomach_bubble(patient)), lungs), 0.007)
        absorbed -= gas * (_WHITE * np.float32(0.30 * patient.build["stomach"]))
    return absorbed


def _below_carina(canvas: Canvas, patient: Anatomy) -> np.ndarray:
    """Column (H, 1), float32, that rises from 0 at the upper mediastinum to 1 at the middle of the heart."""
    upper, lower = canvas.pixels(patient.place([[0.0, 0.22], [0.0, 0.58]]))[:, 1]
    share = np.clip((np.arange(canvas.shape[0]) - upper) / (lower - upper), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)[:, None]


def _air(canvas: Canvas, patient: Anatomy, rasters: Rasters, rng: np.random.Generator) -> np.ndarray:
    """How much the air in the lungs takes away; a lung is thin at its edge and partly lies behind the heart."""
    air = np.zeros(canvas.shape, np.float32)
    for lung in rasters.lungs.values():
        air += lung * (_WHITE * (0.30 + 0.24 * canvas.depth(lung, 0.15)))
    air *= 1 - rasters.solid * (_WHITE * (0.57 + 0.20 * _below_carina(canvas, patient)))
    air *= 1 + 0.035 * _mottle(rng, 20, canvas)
    return air


def _vessels(canvas: Canvas, patient: Anatomy, rasters: Rasters, rng: np.random.Generator) -> np.ndarray:
    """Vessels and hila inside the lungs, uint8; hardly visible through the heart."""
    marks = np.zeros(canvas.shape, np.uint8)
    for curves, width in body.vessels(rng, patient):
        canvas.lines(marks, curves, width, min(255, int(60 + 17000 * width)))
    hila = [
        patient.hila[name] + np.array([[-0.014 * side, -0.04], [0, 0], [0.002 * side, 0.05]])
        for name, side in SIDES.items()
    ]
    roots = canvas.blur(canvas.lines(np.zeros_like(marks), hila, 0.034, 235), 0.008)
    hidden = cv2.convertScaleAbs(rasters.solid, alpha=0.85)
    lungs = cv2.max(rasters.lungs["Left"], rasters.lungs["Right"])
    return cv2.min(cv2.max(marks, roots), cv2.subtract(lungs, hidden))


def _collapse(
    finding: Finding,
    region: np.ndarray,
    contour: np.ndarray,
    lung: np.ndarray,
    air: np.ndarray,
    marks: np.ndarray,
    absorbed: np.ndarray,
) -> np.ndarray:
    """Pneumothorax: darker gap without vessels, a thin pleural line, a slightly denser lung. Returns the marks."""
    collapsed = cv2.min(contour, lung)
    rim = cv2.morphologyEx(collapsed, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    line = cv2.min(rim, cv2.dilate(region, np.ones((5, 5), np.uint8)))
    absorbed += line * (_WHITE * np.float32(0.13))
    air += region * (_WHITE * np.float32(0.12 * finding.strength)) - collapsed * (_WHITE * np.float32(0.05))
    return cv2.subtract(marks, region)


def _opacity(canvas: Canvas, finding: Finding, soft: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Share of the air (float32, 0..0.9) that a consolidation replaces: patchy, with air left in the bronchi."""
    bronchi = canvas.lines(np.zeros_like(soft), finding.bronchi, 0.0075, 255)
    opacity = soft * (_WHITE * np.float32(0.66 * finding.strength)) * (1 + 0.08 * _mottle(rng, 40, canvas))
    opacity *= 1 - canvas.blur(bronchi, 0.003) * (_WHITE * np.float32(0.32))
    return np.clip(opacity, 0, 0.9)


def _airways(canvas: Canvas, patient: Anatomy, absorbed: np.ndarray) -> None:
    """Trachea and main bronchi take a dark column out of the mediastinum."""
    lean = patient.build["trachea"]
    carina = patient.place([0.0, 0.36])
    tubes = np.zeros(canvas.shape, np.uint8)
    canvas.lines(tubes, [np.array([carina, hilum]) for hilum in patient.hila.values()], 0.022, 110)
    canvas.lines(tubes, [np.array([[lean, -0.2], [lean, carina[1] - 0.08], carina])], 0.046, 240)
    absorbed -= canvas.blur(tubes, 0.006) * (_WHITE * np.float32(0.19))


def _bones(canvas: Canvas, patient: Anatomy, absorbed: np.ndarray) -> None:
    """Adds spine, ribs, clavicles and shoulder blades, in place; cortex is denser than marrow."""
    width, density = patient.build["rib_width"], patient.build["rib_density"]
    arcs = [body.ribs(patient, side) for side in (-1, 1)]
    for part, strength in ((0, 0.115), (1, 0.060)):
        raster = np.zeros(canvas.shape, np.uint8)
        for side in arcs:
            canvas.lines(raster, side[part], width, 255)
            canvas.lines(raster, side[part], width * 0.64, 160)
        absorbed += raster * (_WHITE * np.float32(strength * density))
    raster = np.zeros(canvas.shape, np.uint8)
    collar_bones = [body.clavicle(patient, side) for side in (-1, 1)]
    canvas.lines(raster, collar_bones, 0.036, 255)
    canvas.lines(raster, collar_bones, 0.023, 190)
    absorbed += raster * (_WHITE * np.float32(0.14))
    blades = canvas.fill(*(body.scapula(patient, side) for side in (-1, 1)))
    absorbed += canvas.blur(blades, 0.005) * (_WHITE * np.float32(0.06))
    raster = np.zeros(canvas.shape, np.uint8)
    for curves, line_width, value in body.spine(patient):
        canvas.lines(raster, curves, line_width, value)
    absorbed += canvas.blur(raster, 0.0035) * (_WHITE * np.float32(0.13))
