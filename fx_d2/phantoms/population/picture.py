"""One picture of the population with its truth.

The masks:

* Left Lung, Right Lung: the whole lung down to the dome, also where heart, great vessels or hilum lie before it, from
  chest wall to the side of the spine; disease inside belongs to it;
* Left Lung Field, Right Lung Field: what is visible of it, without heart and mediastinum;
* Heart: its whole outline; its width over that of both lungs is the patient's cardiothoracic ratio;
* Ribs, Left Clavicle, Right Clavicle, Diaphragm: bones where the picture has them, and a band along both domes;
* findings: see `disease`. Boxes are the tight boxes of these masks; Cardiomegaly has the heart's.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..radiograph import SMALLEST_AREA, Radiograph
from ..shapes import Canvas
from .contours import contours
from .devices import add_devices
from .disease import CARDIOMEGALY, region, sample_diseases
from .exposure import expose
from .layers import Rasters, attenuation
from .patient import Patient, Pose


def draw_picture(
    patient: Patient,
    pose: Pose,
    names: list[str],
    size: int,
    findings: np.random.Generator,
    tissue: np.random.Generator,
    acquisition: np.random.Generator,
    look: str | None = None,
) -> Radiograph:
    """Takes one picture.

    Args:
        patient: who.
        pose: how placed.
        names: findings besides the heart's size, of `disease.FINDINGS`; one that falls outside the field is no truth.
        size: height in pixels, a multiple of 8; the width follows from the pose.
        findings: draws of shapes and places of the findings, the same for each picture of the patient.
        tissue: draws of vessels and textures, likewise.
        acquisition: draws of devices, exposure and noise of this picture.
        look: a key of `ranges.LOOKS`; None draws one.
    """
    shape = (size, 8 * round(size * pose.aspect / 8))
    canvas = Canvas(shape, np.array([[size, 0.0, 0.0], [0.0, size, 0.0]]))
    outlines = contours(patient, pose)
    rasters = Rasters(canvas, patient, pose, outlines)
    diseases = sample_diseases(findings, names, patient, pose, outlines)
    absorbed = attenuation(canvas, patient, pose, outlines, rasters, diseases, tissue)
    add_devices(canvas, patient, pose, outlines, absorbed, acquisition)
    image = expose(acquisition, absorbed, pose, look)
    smallest = SMALLEST_AREA * (size / 256) ** 2
    instances = [(d.name, region(d, canvas.fill(d.contour), rasters.fields) > 127) for d in diseases]
    instances = [(name, mask) for name, mask in instances if mask.sum() >= smallest]
    heart = rasters.heart > 127
    if patient.enlarged:
        instances.append((CARDIOMEGALY, heart))
    labels = frozenset(name for name, _ in instances)
    instances += [(f"{side} Lung", lung > 127) for side, lung in rasters.lungs.items()]
    instances += [(f"{side} Lung Field", lung > 127) for side, lung in rasters.fields.items()]
    instances += [("Heart", heart), ("Ribs", cv2.max(rasters.back, rasters.front) > 127)]
    instances += [(f"{side} Clavicle", bone > 127) for side, bone in rasters.clavicles.items()]
    instances.append(("Diaphragm", rasters.diaphragm > 127))
    return Radiograph(image, labels, tuple(instances), patient, "AP" if pose.supine else "PA")
