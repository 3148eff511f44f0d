"""The published datasets that Foundation X is pretrained on; their readers come with a later version."""

from __future__ import annotations

from functools import partial

from . import labels
from .errors import DataError
from .records import DatasetRecord, TaskRecord

SOURCE = "fx_d2 (built-in)"
_SPLITS = ("train", "val", "test")


def _read(name: str, task: str, split: str) -> list[dict]:
    raise DataError(
        f"{name}_{task}_{split}: the built-in reader of {name} is not there yet. Declare your copy under the name "
        f"{name!r} in a YAML file and list it in DATASETS.FILES; it takes the place of the built-in entry "
        "(datasets/README.md shows the form)"
    )


def _record(name: str, notes: str, **tasks: TaskRecord) -> DatasetRecord:
    return DatasetRecord(name, tasks, _SPLITS, partial(_read, name), SOURCE, notes)


BUILTIN: tuple[DatasetRecord, ...] = (
    # 223,414 training images of 64,540 patients (14 % lateral), validation 234, test 668 images of 500 patients.
    # Labels by a text labeller: 1, 0, -1 (uncertain), blank (not mentioned); for Atelectasis, Consolidation and
    # Pneumonia -1 is as frequent as 1 or more, so the policy matters. "No Finding" may go with "Support Devices".
    # Research-use agreement, registration.
    _record("chexpert", "text-mined labels with many uncertain ones", cls=TaskRecord(labels.CHEXPERT)),
    # 112,120 PNG images of 30,805 patients, 86,524 for training and validation, 25,596 for test, by patient.
    # Text-mined labels. RSNA, SIIM-ACR, ChestX-Det and part of NODE21 are images of this set: training on one and
    # testing on another leaks. Some files are RGBA. Free use with attribution.
    _record(
        "nih_cxr14",
        "text-mined labels; shares images with rsna_pneumonia, siim_acr, chestx_det, node21",
        cls=TaskRecord(labels.NIH_CXR14),
    ),
    # 15,000 training images, three readers each; 3,000 test images by consensus of five. DICOM, both photometric
    # interpretations. A class in training is what any of the three readers saw. Credentialed access.
    _record("vindr_cxr", "labels of three readers joined by or", cls=TaskRecord(labels.VINDR_CXR)),
    # 662 PNG images (336 tuberculosis), label in the file name, no official split; some files have a palette.
    # Contained again in TBX11K's extra images. Public.
    _record("shenzhen", "contained in tbx11k (extra)", cls=TaskRecord(labels.TUBERCULOSIS)),
    # 377,110 JPEG images of 65,379 patients: 368,960 / 2,991 / 5,159. Labels belong to the study, values as
    # CheXpert's. The Foundation X paper calls it MIMIC-II. Credentialed access; the label tables too.
    _record("mimic_cxr", "labels by study; many lateral views", cls=TaskRecord(labels.CHEXPERT)),
    # 11,200 PNG images of 512 x 512: 6,600 / 1,800 / 2,800, truth of the test part withheld. 1,211 boxes on 799
    # images; healthy and sick-but-not-TB images are negatives. One class: active and latent together.
    # Sources disagree on the licence (CC BY-NC-SA 2.0 in the file).
    _record(
        "tbx11k",
        "test truth withheld; extra images contain shenzhen and Montgomery",
        cls=TaskRecord(labels.TUBERCULOSIS),
        box=TaskRecord(labels.TUBERCULOSIS),
    ),
    # 4,882 MHA images of 1024 x 1024, 1,134 with 1,476 nodule boxes; no official validation split. Images come from
    # JSRT, PadChest, ChestX-ray14 and Open-I. Access at times restricted.
    _record(
        "node21",
        "shares images with nih_cxr14 and JSRT",
        cls=TaskRecord(labels.NODULE),
        box=TaskRecord(labels.NODULE),
    ),
    # 19,237 DICOM images of 1024 x 1024, about one in six with a pneumothorax; masks as run lengths relative to the
    # last run, column by column. The patient is the first part of the report's file name. Data use agreement.
    _record(
        "candid_ptx",
        "patient only in the report's file name",
        cls=TaskRecord(labels.PNEUMOTHORAX),
        box=TaskRecord(labels.PNEUMOTHORAX),
        mask=TaskRecord(labels.PNEUMOTHORAX),
    ),
    # 26,684 labelled DICOM images of 1024 x 1024: Normal 8,851, not normal 11,821, opacity 6,012 with 9,555 boxes.
    # All are ChestX-ray14 images, 8,196 of the 30,000 from its test part; "patientId" is an image id.
    # Competition rules.
    _record(
        "rsna_pneumonia",
        "all images are from nih_cxr14; patientId is an image id",
        cls=TaskRecord(labels.RSNA_PNEUMONIA, exclusive=True),
        box=TaskRecord(labels.RSNA_PNEUMONIA_BOX),
    ),
    # 3,025 training and 553 test PNG images of 1024 x 1024 with 7,905 and 1,734 boxes, a polygon each; images with
    # empty lists are negatives. From ChestX-ray14 under new names. Apache-2.0 on the annotations.
    _record(
        "chestx_det",
        "images are from nih_cxr14 under new names",
        cls=TaskRecord(labels.CHESTX_DET),
        box=TaskRecord(labels.CHESTX_DET),
        mask=TaskRecord(labels.CHESTX_DET),
    ),
    # 12,047 DICOM images of 1024 x 1024, 2,669 with a pneumothorax, some in several rows that overlap; -1 means none,
    # an image without a row is unknown. From ChestX-ray14. Competition rules.
    _record(
        "siim_acr",
        "images are from nih_cxr14; no public id map",
        cls=TaskRecord(labels.PNEUMOTHORAX),
        box=TaskRecord(labels.PNEUMOTHORAX),
        mask=TaskRecord(labels.PNEUMOTHORAX),
    ),
)
