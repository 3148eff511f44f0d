"""Every knob of the population and its range: the one place to read or change what the patients and pictures vary in.

A table maps a knob to (smallest, largest); `sample` draws each evenly between them. Shares and chances are numbers.
Lengths of anatomy are in chest units: the chest is 1 high from lung apex to costophrenic angle, and u = 1 is the inner
chest wall. `scale` is the height of the chest in heights of the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np

Table = Mapping[str, tuple[float, float]]

CHILDREN = 0.12  # share of patients below 16 years
AGES = {"child": (1, 16), "adult": (16, 95)}
FEMALE = 0.5
SUPINE = 0.4  # share of bedside pictures, where a dataset does not say otherwise
SCOLIOSIS = 0.25  # share of patients with a curved spine
GASTRIC_GAS = 0.55
BOWEL_LOOPS = 6  # of gas in the colon, at most; every second one close under the left dome
ENLARGED = 0.55  # cardiothoracic ratio above which Cardiomegaly is a label
NORMAL_CTR, ENLARGED_CTR = (0.36, 0.50), (0.56, 0.66)

BODY: Table = {
    "breadth": (1.00, 1.32),  # width / height of the chest, upright
    "fat": (0.0, 1.0),  # thickness of the soft tissue
    "taper": (0.0, 0.25),  # how far from the skin the trunk is thinner: shoulders and flanks are dark
    "apex": (0.24, 0.36),  # u of the lung apex
    "round_top": (1.6, 2.5),  # exponents of the lateral wall: 2 and 2 are an ellipse
    "round_side": (1.7, 2.5),
    "medial_top": (0.10, 0.17),  # u of the medial border at apex and base
    "medial_base": (0.12, 0.24),
    "dome": (0.10, 0.26),  # how far the right dome lies above the costophrenic angle
    "dome_left": (-0.01, 0.07),  # how much lower the left dome lies
    "dome_peak": (0.40, 0.62),  # u of the highest point of a dome
    "angle": (0.94, 1.0),  # u of the costophrenic angle
    "base_left": (0.95, 1.03),  # v of the left costophrenic angle
    "heart_shift": (0.26, 0.37),  # share of the heart on the patient's right
    "heart_top": (0.36, 0.44),
    "heart_apex": (-0.05, 0.03),  # v of the apex, relative to the floor
    "heart_waist": (-0.06, 0.06),  # fullness of the left border above the apex
    "knob": (0.00, 0.09),  # prominence of the aortic knob; grows with age
    "trunk_arc": (-0.01, 0.06),  # prominence of the pulmonary trunk
    "caval": (0.11, 0.19),  # u of the right mediastinal border
    "carina": (0.29, 0.37),
    "trachea": (0.05, 0.075),  # width
    "trachea_lean": (-0.05, 0.02),
    "ribs_first": (-0.10, -0.03),  # v of the first rib at the spine
    "ribs_step": (0.088, 0.104),
    "ribs_drop": (0.15, 0.34),  # how far a rib descends from the spine to the side
    "rib_width": (0.030, 0.046),
    "rib_density": (0.05, 0.11),
    "front_density": (0.4, 0.9),  # of the anterior arcs, relative
    "clavicle_level": (0.06, 0.17),  # v of the medial end
    "clavicle_rise": (-0.04, 0.17),  # how much higher the shoulder's end lies
    "clavicle_width": (0.034, 0.05),
    "vertebra": (0.10, 0.15),  # half width of the spine
    "spine_density": (0.06, 0.15),
    "vessels": (0.4, 1.3),
    "hilum": (0.5, 1.5),
    "texture": (0.3, 1.3),
    "border": (0.006, 0.020),  # softness of the borders of heart and mediastinum, 0.4 of it at the chest wall
    "lung_air": (0.18, 0.56),  # what the air takes out of the absorption
    "wall_air": (0.15, 0.60),  # share of it at the chest wall, where the lung is thin
    "gas": (0.5, 1.2),  # size of the stomach bubble
    "bowel": (0.0, 1.0),  # how dark the gas in the bowel is
    "breast": (0.2, 1.0),
    "breast_level": (0.62, 0.84),
    "belly": (-0.08, 0.25),  # how much denser the abdomen is than the chest, below 0 less dense
    "curve": (-0.10, 0.10),  # of a scoliosis, in u
    "curve_phase": (0.0, 1.0),
}

LOOP: Table = {
    "size": (0.06, 0.16),  # half the length of a loop of the colon
    "flat": (0.5, 1.0),  # its width / length
    "angle": (0.0, np.pi),
    "u": (0.1, 0.9),
    "below": (0.0, 0.5),  # how far it lies below the dome
}
FLEXURE: Table = {**LOOP, "u": (0.55, 0.9), "below": (0.0, 0.06)}

UPRIGHT: Table = {
    "tilt": (-3.0, 3.0),  # degrees in the plane of the picture
    "yaw": (-0.08, 0.08),  # turn about the long axis
    "pitch": (-0.03, 0.03),  # backwards: what lies in front moves up
    "breath": (0.92, 1.0),  # height of the chest by inspiration
    "width": (0.70, 1.04),  # of the chest in the picture
    "aspect": (0.82, 1.18),  # width / height of the picture
    "headroom": (0.12, 0.62),  # share of the free height that lies above the apex
    "aside": (-0.045, 0.045),  # of the chest from the middle, in widths of the picture
    "scapula": (0.00, 0.14),  # u beyond the wall
    "arm": (0.05, 0.45),  # angle of the arms away from the trunk, radians
    "scatter": (0.06, 0.24),
}
BEDSIDE: Table = {
    **UPRIGHT,
    "tilt": (-8.0, 8.0),
    "yaw": (-0.14, 0.14),
    "pitch": (-0.02, 0.09),
    "breath": (0.72, 0.95),
    "width": (0.62, 1.06),
    "aspect": (0.90, 1.30),
    "headroom": (0.10, 0.75),
    "aside": (-0.08, 0.08),
    "scapula": (-0.16, 0.08),
    "arm": (0.0, 0.6),
    "scatter": (0.12, 0.40),
}

# Looks: how attenuation becomes grey. `middle` and `slope` are the film curve, `equalise` the share of coarse contrast
# that the processing takes away, `detail` what it adds to fine contrast, `black` and `white` the ends of the scale.
LOOKS: Mapping[str, Table] = {
    "digital": {
        "middle": (0.66, 0.96),
        "slope": (4.0, 7.0),
        "equalise": (0.0, 0.25),
        "detail": (0.0, 0.5),
        "black": (0.0, 0.04),
        "white": (0.90, 1.0),
        "gamma": (0.8, 1.25),
    },
    "equalised": {
        "middle": (0.58, 0.80),
        "slope": (4.5, 7.5),
        "equalise": (0.30, 0.70),
        "detail": (0.3, 1.4),
        "black": (0.0, 0.06),
        "white": (0.85, 1.0),
        "gamma": (0.8, 1.3),
    },
    "film": {
        "middle": (0.62, 0.98),
        "slope": (3.0, 5.5),
        "equalise": (0.0, 0.1),
        "detail": (0.0, 0.0),
        "black": (0.02, 0.14),
        "white": (0.75, 0.98),
        "gamma": (0.7, 1.4),
    },
    "faded": {
        "middle": (0.55, 0.98),
        "slope": (2.2, 3.8),
        "equalise": (0.0, 0.2),
        "detail": (0.0, 0.3),
        "black": (0.02, 0.25),
        "white": (0.50, 0.85),
        "gamma": (0.8, 1.3),
    },
}
LOOK_SHARES = {"digital": 0.40, "equalised": 0.22, "film": 0.20, "faded": 0.18}

EXPOSURE: Table = {
    "noise": (0.003, 0.036),
    "grain": (0.0, 1.0),  # share of the noise that is correlated
    "blur": (0.2, 1.1),  # sigma, pixels of a 256-pixel picture
    "shade": (-0.12, 0.12),  # uneven illumination from side to side
}
GRID_LINES, JPEG, COLLIMATED, LETTERS, VIGNETTE = 0.05, 0.45, 0.35, 0.75, 0.08
JPEG_QUALITY = (35, 92)
COLLIMATION = (0.0, 0.07)  # width of a black border

DEVICES = {  # chance by position: upright, bedside
    "electrodes": (0.10, 0.65),
    "cables": (0.05, 0.50),
    "endotracheal": (0.0, 0.35),
    "gastric": (0.02, 0.35),
    "central_line": (0.06, 0.45),
    "pacemaker": (0.05, 0.08),
    "drain": (0.0, 0.10),
    "tubing": (0.0, 0.30),
}

HEALTHY = 0.30  # share of patients without a finding
MOST_FINDINGS = 3
DISEASE: Table = {
    "nodule": (0.025, 0.065),  # radius
    "mass": (0.07, 0.15),
    "consolidation": (0.08, 0.36),
    "infiltration": (0.08, 0.36),
    "atelectasis": (0.10, 0.24),  # length of the plate
    "effusion": (0.04, 0.65),  # height of the fluid above the costophrenic angle
    "pneumothorax": (0.10, 0.55),  # how far the lung has come away
    "edema": (0.35, 1.25),  # reach from the hilum; the whole lung at the end of the range
    "severity": (0.30, 1.0),
}


def sample(rng: np.random.Generator, *tables: Table) -> SimpleNamespace:
    """Draws every knob of the tables, evenly in its range; a later table's range stands for an earlier one's."""
    ranges = {name: limits for table in tables for name, limits in table.items()}
    low, high = np.array(list(ranges.values())).T
    return SimpleNamespace(**dict(zip(ranges, rng.uniform(low, high).tolist(), strict=True)))
