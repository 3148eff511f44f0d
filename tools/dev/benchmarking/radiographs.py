"""Made-up radiographs in the size, format and with as much truth as the published ones, for the real mapper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from detectron2.structures import BoxMode

from fx_d2.data import rle
from fx_d2.phantoms.trees.pictures import chest, seed_of
from fx_d2.phantoms.trees.pictures import write_dicom as write_jpeg_dicom
from fx_d2.phantoms.writing import write_dicom, write_metaimage
from fx_d2.schedule import Unit


@dataclass(frozen=True)
class Form:
    """How the images of a dataset are published.

    Attributes:
        height, width: pixels, of a common image where sizes differ. suffix: of the file, ``.jpeg.dcm`` for JPEG within
        DICOM. regions: boxes or masks an image, on average.
    """

    height: int
    width: int
    suffix: str
    regions: float = 0.0


# Formats and numbers of regions: datasets/README.md. CheXpert in its small edition. VinDr-CXR, Shenzhen and MIMIC-CXR
# vary; a third of VinDr-CXR is JPEG 2000, which has a table of its own.
FORMS = {
    "chexpert": Form(320, 390, ".jpg"),
    "nih_cxr14": Form(1024, 1024, ".png", 984 / 880),
    "vindr_cxr": Form(3056, 2500, ".dcm"),
    "shenzhen": Form(3000, 3000, ".png"),
    "mimic_cxr": Form(3056, 2544, ".jpg"),
    "tbx11k": Form(512, 512, ".png", 1211 / 8400),
    "node21": Form(1024, 1024, ".mha", 1476 / 4882),
    "candid_ptx": Form(1024, 1024, ".dcm", 1 / 6),
    "rsna_pneumonia": Form(1024, 1024, ".jpeg.dcm", 9555 / 26684),
    "chestx_det": Form(1024, 1024, ".png", 7905 / 3025),
    "siim_acr": Form(1024, 1024, ".jpeg.dcm", 3576 / 12047),
}


def make_records(unit: Unit, classes: int, folder: Path | None, count: int) -> list[dict]:
    """Dataset dicts of ``count`` images.

    Args:
        folder: of the files, which the units of a dataset share and which are written where missing; None: no file.

    Raises:
        ValueError: the dataset's form is not known.
    """
    if unit.dataset not in FORMS:
        raise ValueError(f"FX.CYCLE.UNITS: no form of {unit.dataset} is known here, only of {', '.join(FORMS)}")
    form, records = FORMS[unit.dataset], []
    for number in range(count):
        path = (folder or Path()) / unit.dataset / f"{number}{form.suffix}"
        if folder is not None and not path.exists():
            _write(path, form)
        record = {"file_name": str(path), "image_id": path.name, "height": form.height, "width": form.width}
        regions = round(form.regions * (number + 1)) - round(form.regions * number)
        labels = [float(k == number % classes) for k in range(classes)]
        regions = [_region(form, (number + k) % classes, number + k, unit) for k in range(regions)]
        records.append({**record, "unit": str(unit), "labels": labels, "annotations": regions})
    return records


def _write(path: Path, form: Form) -> None:
    """A crude chest with the noise of a detector, without which files are small and quick to decode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if form.suffix == ".jpeg.dcm":
        return write_jpeg_dicom(path, form.height, form.width, jpeg=True)
    noise = np.random.default_rng(seed_of(path)).normal(0, 3, (form.height, form.width))
    pixels = (chest(form.height, form.width, seed_of(path)) + noise).clip(0, 255)
    if form.suffix == ".dcm":
        write_dicom(path, (16 * pixels).astype(np.uint16), 12)
    elif form.suffix == ".mha":
        write_metaimage(path, (16 * pixels).astype(np.uint16))
    else:
        cv2.imwrite(str(path), pixels.astype(np.uint8))


def _region(form: Form, category: int, seed: int, unit: Unit) -> dict:
    """An ellipse of about a twelfth of the image: box, and mask as outline (ChestX-Det) or as run lengths."""
    rng = np.random.default_rng(seed)
    (x, y), (w, h) = rng.uniform(0.1, 0.5, 2) * (form.width, form.height), 0.3 * np.array([form.width, form.height])
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    if unit.dataset == "chestx_det":
        outline = np.stack([x + w / 2 * (1 + np.cos(angles)), y + h / 2 * (1 + np.sin(angles))], axis=1)
        mask = [outline.ravel().tolist()]
    else:
        rows, columns = np.ogrid[: form.height, : form.width]
        mask = rle.from_mask(((rows - y - h / 2) / (h / 2)) ** 2 + ((columns - x - w / 2) / (w / 2)) ** 2 < 1)
    box = {"bbox": [x, y, w, h], "bbox_mode": BoxMode.XYWH_ABS, "category_id": category, "iscrowd": 0}
    return {**box, "segmentation": mask}
