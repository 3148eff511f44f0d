"""From patient and findings to the picture and its truth.

Everything is drawn larger than the final image and averaged down. The rules of the truth masks:

* lungs: the outline a radiologist draws, down to the diaphragm, without heart and mediastinum; a lung with fluid or a
  pneumothorax keeps its full outline, since these lie inside it;
* heart: its whole outline, also where it lies in front of the diaphragm;
* findings: see `findings`; all are clipped to the lung fields. Boxes are the tight boxes of these masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .acquisition import Style, expose, place
from .anatomy import SIDES, Anatomy
from .attenuation import Rasters, attenuation
from .findings import CARDIOMEGALY, Finding
from .shapes import Canvas

OVERSAMPLING = 1.5
# Smaller leftovers of a clipped finding, in pixels of a 256-pixel image, are not annotated.
SMALLEST_AREA = 40


@dataclass(frozen=True)
class Radiograph:
    """One image with its truth.

    Attributes:
        image: (H, W) uint8 or uint16; air outside the patient is dark.
        labels: names of the findings in the image.
        instances: (class name, bool mask (H, W)) of every finding and of Heart, Left Lung, Right Lung.
        patient: whose picture it is, with `female` and `age`: an `Anatomy`, or a `population.Patient`.
        view: PA or AP.
    """

    image: np.ndarray
    labels: frozenset[str]
    instances: tuple[tuple[str, np.ndarray], ...]
    patient: Any
    view: str = "PA"

    def mask(self, name: str) -> np.ndarray:
        """Union (H, W), bool, of the instances of one class."""
        return np.any([np.zeros(self.image.shape, bool), *(m for n, m in self.instances if n == name)], axis=0)


def radiograph(
    patient: Anatomy,
    findings: list[Finding],
    style: Style,
    shape: tuple[int, int],
    tissue: np.random.Generator,
    acquisition: np.random.Generator,
) -> Radiograph:
    """Takes one picture.

    Args:
        patient: anatomy.
        findings: what is drawn besides it.
        style: how this hospital takes pictures.
        shape: (height, width) in pixels, multiples of 8.
        tissue: the draws of the patient's vessels and textures, the same for each picture of the patient.
        acquisition: the draws of this picture: placement, exposure, noise.
    """
    large = (round(shape[0] * OVERSAMPLING), round(shape[1] * OVERSAMPLING))
    canvas = Canvas(large, place(acquisition, style, large))
    rasters = Rasters(canvas, patient, findings)
    absorbed = _shrink(attenuation(canvas, patient, findings, rasters, tissue), shape)
    instances = [(f.name, _shrink(region, shape) > 127) for f, region in zip(findings, rasters.regions, strict=True)]
    smallest = SMALLEST_AREA * (shape[0] / 256) ** 2
    instances = [(name, mask) for name, mask in instances if mask.sum() >= smallest]
    labels = {name for name, _ in instances} | ({CARDIOMEGALY} if patient.ctr > 0.55 else set())
    instances.append(("Heart", _shrink(rasters.heart, shape) > 127))
    instances += [(f"{side} Lung", _shrink(rasters.fields[side], shape) > 127) for side in SIDES]
    view = "AP" if style.portable else "PA"
    return Radiograph(expose(acquisition, absorbed, style), frozenset(labels), tuple(instances), patient, view)


def _shrink(raster: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(raster, shape[::-1], interpolation=cv2.INTER_AREA)
