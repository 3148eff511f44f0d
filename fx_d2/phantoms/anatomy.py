"""A patient: the contours of body, lungs, heart, bones and vessels, drawn from a seeded generator.

Coordinates are body coordinates (see `shapes.Canvas`). Inside the chest they are often written (u, v): u = 1 is the
inner chest wall at its widest, v = 0 the lung apex and v = 1 the costophrenic angle.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .shapes import spline

SIDES = {"Right": -1, "Left": 1}


@dataclass(frozen=True)
class Anatomy:
    """One patient. Lengths in body units; `ctr` is the cardiothoracic ratio."""

    female: bool
    age: int
    habitus: float
    half_width: float
    apex: float
    base: float
    ctr: float
    lungs: dict[str, np.ndarray]
    heart: np.ndarray
    mediastinum: np.ndarray
    hila: dict[str, np.ndarray]
    domes: dict[str, float]
    build: dict[str, float] = field(default_factory=dict)

    def place(self, points: np.ndarray | list, side: int = 1) -> np.ndarray:
        """Body coordinates of chest coordinates (u, v); side -1 mirrors to the patient's right."""
        uv = np.asarray(points, dtype=float)
        height = self.base - self.apex
        return np.stack([side * uv[..., 0] * self.half_width, self.apex + uv[..., 1] * height], axis=-1)


def sample_anatomy(rng: np.random.Generator, ctr: float, portable: bool = False) -> Anatomy:
    """Draws a patient with the given cardiothoracic ratio; `portable` means a shallower breath."""
    habitus = float(np.clip(rng.normal(0, 0.5), -1, 1))
    female = bool(rng.random() < 0.5)
    half_width = 0.378 + 0.022 * habitus - 0.012 * female + rng.normal(0, 0.007)
    apex = rng.uniform(0.10, 0.145)
    base = apex + rng.normal(0.70, 0.022) - 0.03 * max(habitus, 0) - (0.055 if portable else 0.0)
    domes = {"Right": rng.normal(0.795, 0.015), "Left": 0.0}
    domes["Left"] = domes["Right"] + rng.uniform(0.03, 0.06)
    empty = np.zeros((0, 2))
    age = int(rng.integers(19, 90))
    shell = Anatomy(female, age, habitus, half_width, apex, base, ctr, {}, empty, empty, {}, domes)
    lungs = {name: _lung(rng, shell, side, domes[name]) for name, side in SIDES.items()}
    hila = {
        "Right": shell.place([0.23, 0.45 + rng.normal(0, 0.01)], -1),
        "Left": shell.place([0.25, 0.42 + rng.normal(0, 0.01)]),
    }
    extent = max(lung[:, 0].max() for lung in lungs.values()) - min(lung[:, 0].min() for lung in lungs.values())
    heart = _heart(rng, shell, ctr * extent)
    build = {
        "rib_width": rng.uniform(0.025, 0.031),
        "rib_density": rng.uniform(0.8, 1.2),
        "rib_slope": rng.uniform(0.85, 1.25),
        "vessels": rng.uniform(0.75, 1.25),
        "scapula": rng.uniform(-0.02, 0.05) - (0.07 if portable else 0.0),
        "clavicle": rng.normal(0, 0.02),
        "flank": 0.055 + 0.045 * max(habitus, -0.4) + rng.uniform(0, 0.02),
        "stomach": float(rng.random() < 0.45) * rng.uniform(0.5, 1.0),
        "breast": float(female) * rng.uniform(0.3, 1.0),
        "trachea": rng.normal(0, 0.006),
    }
    return replace(shell, lungs=lungs, heart=heart, mediastinum=_mediastinum(rng, shell), hila=hila, build=build)


def _lung(rng: np.random.Generator, shell: Anatomy, side: int, dome: float) -> np.ndarray:
    """Outline of one lung as if nothing lay in front of it: it reaches behind heart and mediastinum."""
    j = rng.normal(0, 0.008, 8)
    peak = 0.48 + rng.normal(0, 0.03)
    lateral = [
        [0.08, 0.12],
        [0.20, 0.035 + j[0]],
        [0.40 + j[1], 0.0],
        [0.62 + j[2], 0.055],
        [0.80 + j[3], 0.20],
        [0.915 + j[4], 0.42],
        [0.975 + j[5], 0.66],
        [1.0, 0.86],
        [0.99, 1.0],
        [0.99, 1.0],
    ]
    diaphragm = [
        [0.86, dome + 0.085],
        [0.70, dome + 0.02],
        [peak, dome],
        [0.28, dome + 0.012],
        [0.12, dome + 0.05 + j[6]],
        [0.05, dome + 0.06],
    ]
    return shell.place(spline(np.array(lateral + diaphragm), closed=True, steps=8), side)


def _heart(rng: np.random.Generator, shell: Anatomy, width: float) -> np.ndarray:
    """Heart outline, stretched so that its transverse diameter is exactly `width`; the apex points to the left."""
    floor = shell.domes["Left"] + 0.055
    top = 0.37 + rng.normal(0, 0.01)
    droop = rng.uniform(-0.02, 0.02)
    outline = np.array(
        [
            [0.00, top],
            [-0.35, top + 0.05],
            [-0.75, top + 0.15],
            [-1.0, top + 0.28],
            [-0.93, floor - 0.06],
            [-0.60, floor - 0.015],
            [0.30, floor + 0.01],
            [1.25, floor + 0.015 + droop],
            [1.95, floor - 0.015 + droop],
            [2.20, floor - 0.075 + droop],
            [2.02, floor - 0.17],
            [1.55, top + 0.19],
            [0.95, top + 0.09],
            [0.45, top + 0.02],
        ]
    )
    curve = spline(outline, closed=True)
    x = (curve[:, 0] - curve[:, 0].min()) / np.ptp(curve[:, 0])
    shift = rng.uniform(0.30, 0.34)
    placed = shell.place(np.stack([np.zeros_like(x), curve[:, 1]], axis=1))
    placed[:, 0] = (x - shift) * width
    return placed


def _mediastinum(rng: np.random.Generator, shell: Anatomy) -> np.ndarray:
    """Great vessels and midline: right edge is the caval vein, left edge shows aortic knob and pulmonary trunk."""
    knob = rng.uniform(0.02, 0.06) + 0.0007 * max(shell.age - 50, 0)
    wide = rng.normal(0, 0.008)
    right = [
        [-0.20, -0.30],
        [-0.165, 0.0],
        [-0.155 - wide, 0.15],
        [-0.165 - wide, 0.30],
        [-0.165 - wide, 0.45],
        [-0.15, 0.62],
        [-0.11, 1.0],
        [-0.11, 1.0],
    ]
    left = [
        [0.11, 1.0],
        [0.11, 1.0],
        [0.15, 0.60],
        [0.175, 0.49],
        [0.205 + wide, 0.425],
        [0.172, 0.365],
        [0.17 + knob, 0.305],
        [0.165 + knob, 0.25],
        [0.15, 0.20],
        [0.135, 0.08],
        [0.17, -0.1],
        [0.2, -0.3],
    ]
    return shell.place(spline(np.array(right + left), closed=True))


def trunk(patient: Anatomy) -> np.ndarray:
    """Skin outline of neck, shoulders and trunk, wider than any image at the bottom."""
    neck = 0.085 + 0.012 * patient.habitus
    shoulder = patient.apex - 0.035
    flank = patient.half_width + patient.build["flank"]
    half = np.array(
        [
            [neck, -0.3],
            [neck, patient.apex - 0.12],
            [neck + 0.03, shoulder - 0.04],
            [0.26, shoulder + 0.005],
            [0.42, shoulder + 0.035],
            [0.50, shoulder + 0.12],
            [0.475, shoulder + 0.26],
            [flank + 0.03, shoulder + 0.37],
            [flank, 0.68],
            [flank - 0.005, 0.85],
            [flank + 0.005, 1.3],
        ]
    )
    right = spline(half)
    return np.concatenate([right, right[::-1] * [-1, 1]])


def arm(patient: Anatomy, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(outline, midline of the humerus) of the upper arm, hanging away from the trunk."""
    shoulder = patient.apex - 0.035
    bone = np.array([[0.452, shoulder + 0.085], [0.49, shoulder + 0.24], [0.545, shoulder + 0.5], [0.58, 1.3]])
    outline = np.array(
        [
            [0.40, shoulder + 0.03],
            [0.50, shoulder + 0.06],
            [0.575, shoulder + 0.2],
            [0.63, 0.6],
            [0.67, 1.3],
            [0.52, 1.3],
            [0.475, 0.65],
            [0.44, shoulder + 0.35],
        ]
    )
    mirror = np.array([side, 1])
    return spline(outline, closed=True) * mirror, spline(bone) * mirror


def ribs(patient: Anatomy, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Midlines, each (ribs, points, 2) from the first rib down: ten posterior arcs, seven anterior arcs."""
    lung = patient.lungs["Left" if side == 1 else "Right"]
    u, v = np.abs(lung[:, 0]) / patient.half_width, (lung[:, 1] - patient.apex) / (patient.base - patient.apex)
    wall = (u > 0.4) & (np.arange(len(v)) <= np.argmax(v)) & (np.gradient(v) > 0)
    number = np.arange(10)
    start = -0.075 + 0.099 * number
    drop = patient.build["rib_slope"] * (0.07 + 0.020 * np.minimum(number, 6))
    turn = start + drop + 0.05
    edge = np.interp(turn, v[wall], u[wall]) + 0.012
    edge[:2] = np.minimum(edge[:2], [0.60, 0.80])
    back_u = [0.10 + 0 * edge, 0.24 + 0 * edge, 0.45 * edge + 0.1, 0.80 * edge, 0.955 * edge, edge]
    back_v = [start + 0.028, start + 0.005, start + 0.02, start + 0.45 * drop, start + 0.85 * drop, turn]
    front_u = [edge, 0.955 * edge, 0.80 * edge, 0.55 * edge, 0.42 * edge + 0.04]
    front_v = [turn, turn + 0.045, turn + 0.10, turn + 0.145, turn + 0.155]
    back, front = (np.stack([np.stack(x, 1), np.stack(y, 1)], 2) for x, y in ((back_u, back_v), (front_u, front_v)))
    return patient.place(spline(back), side), patient.place(spline(front[:7]), side)


def clavicle(patient: Anatomy, side: int) -> np.ndarray:
    """Midline of the clavicle, from the manubrium to the shoulder."""
    tilt = patient.build["clavicle"]
    points = [[0.13, 0.155], [0.30, 0.135], [0.55, 0.085 + tilt], [0.85, 0.055 + tilt], [1.15, 0.015 + 2 * tilt]]
    return patient.place(spline(np.array(points)), side)


def scapula(patient: Anatomy, side: int) -> np.ndarray:
    """Outline of the shoulder blade; its medial border lies beside the lung, on portable films over it."""
    x = patient.half_width + patient.build["scapula"]
    points = np.array(
        [
            [x - 0.02, 0.20],
            [x + 0.06, 0.17],
            [x + 0.12, 0.20],
            [x + 0.10, 0.30],
            [x + 0.055, 0.43],
            [x + 0.02, 0.47],
            [x - 0.005, 0.38],
        ]
    )
    return spline(points, closed=True) * [side, 1]


def breast(patient: Anatomy, side: int) -> np.ndarray:
    """Outline of the breast shadow over the lower lung."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return patient.place(np.stack([0.62 + 0.42 * np.cos(t), 0.80 + 0.24 * np.sin(t)], axis=1), side)


def stomach_bubble(patient: Anatomy) -> np.ndarray:
    """Air in the stomach under the left dome, flat below where the fluid stands."""
    t = np.linspace(-np.pi, 0, 24)
    size = patient.build["stomach"]
    return patient.place(np.stack([0.52 + 0.26 * size * np.cos(t), patient.domes["Left"] + 0.15 + 0.1 * np.sin(t)], 1))


def abdomen(patient: Anatomy) -> np.ndarray:
    """Everything below the domes."""
    return patient.place(np.array([[-2, 0.86], [2, 0.86], [2, 2.0], [-2, 2.0]]))


def spine(patient: Anatomy) -> list[tuple[list[np.ndarray], float, int]]:
    """[(lines, width, value 0..255)] of the column, its discs, pedicles and spinous processes, in drawing order."""
    step = (patient.base - patient.apex) / 11
    levels = patient.apex - 4 * step + step * np.arange(20)
    return [
        ([np.array([[0.0, -0.3], [0.0, 1.4]])], 0.085, 190),
        ([np.array([[-0.04, y], [0.04, y]]) for y in levels], 0.010, 110),
        ([np.array([[x, y + 0.4 * step], [x, y + 0.55 * step]]) for y in levels for x in (-0.028, 0.028)], 0.012, 245),
        ([np.array([[0, y + 0.6 * step], [0, y + 0.95 * step]]) for y in levels], 0.010, 245),
    ]


def vessels(rng: np.random.Generator, patient: Anatomy) -> list[tuple[list[np.ndarray], float]]:
    """Pulmonary vessels: [(curves, width)], branching out from both hila, thinnest first."""
    height = patient.base - patient.apex
    layers: list[list[np.ndarray]] = [[], [], [], [], []]
    for name, side in SIDES.items():
        count = 10
        angle = np.linspace(-1.40, 1.45, count) + rng.normal(0, 0.12, count)
        reach = rng.uniform(0.65, 0.95, count)
        reach = reach / np.hypot(np.cos(angle) / (0.72 * patient.half_width), np.sin(angle) / (0.46 * height))
        # Vessels leave all along the hilum, not from one point.
        start = patient.hila[name] + np.stack([np.zeros(count), np.linspace(-0.045, 0.055, count)], axis=1)
        for generation in range(3):
            bend = rng.normal(0, 0.35, len(angle))[:, None] * np.linspace(0, 1, 9)
            turn = angle[:, None] + bend + 0.25 * np.sin(angle)[:, None] * np.linspace(0, 1, 9)
            step = np.stack([side * np.cos(turn), np.sin(turn)], axis=2) * (reach[:, None, None] / 8)
            curve = start[:, None] + np.cumsum(step, axis=1) - step[:, :1]
            layers[generation].extend(curve[:, :5])
            layers[generation + 1].extend(curve[:, 4:8])
            layers[generation + 2].extend(curve[:, 6:])
            forks = np.array([2, 4, 6]) if generation == 0 else np.array([3, 5])
            start = curve[:, forks].reshape(-1, 2)
            spread = rng.choice([-1, 1], (len(angle), len(forks))) * rng.uniform(0.35, 0.9, (len(angle), len(forks)))
            angle = (turn[:, forks] + spread).reshape(-1)
            reach = (reach[:, None] * rng.uniform(0.3, 0.5, spread.shape)).reshape(-1)
    widths = (0.0110, 0.0080, 0.0056, 0.0040, 0.0030)
    return list(zip(layers[::-1], widths[::-1], strict=True))
