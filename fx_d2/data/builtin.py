"""The published datasets: which reader each has, what a user ought to know of it, and what it shares with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..config.dataset_options import DATASET_OPTIONS
from .errors import DataError, nearest
from .readers.candid_ptx import CandidPtx
from .readers.chestx_det import ChestXDet
from .readers.chexmask_vindr import CheXmaskVinDr
from .readers.chexpert import CheXpert
from .readers.jsrt import Jsrt
from .readers.mimic_cxr import MimicCxr
from .readers.montgomery import Montgomery
from .readers.nih_cxr14 import NihCxr14
from .readers.node21 import Node21
from .readers.published import PublishedReader
from .readers.rsna_pneumonia import RsnaPneumonia
from .readers.shenzhen import Shenzhen
from .readers.siim_acr import SiimAcr
from .readers.tbx11k import Tbx11k
from .readers.vindr_cxr import VinDrCxr
from .readers.vindr_ribcxr import VinDrRibCxr
from .records import DatasetRecord, Overlap

SOURCE = "fx_d2 (built-in)"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Published:
    """One row of the table.

    Attributes:
        name: the dataset's name.
        reader: reads it.
        notes: what a user of the data ought to know, in a line.
        overlaps: the datasets that share images with it.
        images: number of images by split, as published; left out where we draw the split.
    """

    name: str
    reader: type[PublishedReader]
    notes: str
    overlaps: tuple[Overlap, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)


DATASETS: tuple[Published, ...] = (
    # 223,414 training images of 64,540 patients (14 % lateral), validation 234, test 668 images of 500 patients.
    # Labels by a text labeller: 1, 0, -1 (uncertain), blank (not mentioned); for Atelectasis, Consolidation and
    # Pneumonia -1 is as frequent as 1 or more, so the policy matters. "No Finding" may go with "Support Devices".
    # Research-use agreement, registration.
    Published(
        "chexpert",
        CheXpert,
        "text-mined labels with many uncertain ones; the test labels come with CheXlocalize",
        images={"train": 223_414, "val": 234, "test": 668},
    ),
    # 112,120 PNG images of 30,805 patients, 86,524 for training and validation, 25,596 for test, by patient.
    # Text-mined labels. RSNA, SIIM-ACR, ChestX-Det and part of NODE21 are images of this set: training on one and
    # testing on another leaks. Some files are RGBA. Free use with attribution.
    Published(
        "nih_cxr14",
        NihCxr14,
        "text-mined labels; validation images are drawn from the official training list; all boxed images are in the "
        "official test list",
        (
            Overlap("rsna_pneumonia", "same_image", "21,804 of RSNA's 30,000 in train_val, 8,196 in test", True),
            Overlap("siim_acr", "pixels", "all of SIIM-ACR"),
            Overlap("chestx_det", "pixels", "all of ChestX-Det, renamed"),
            Overlap("node21", "same_image", "part of NODE21"),
        ),
        images={"test": 25_596},
    ),
    # 15,000 training images, three readers each; 3,000 test images by consensus of five. DICOM of 10 to 16 bits, both
    # photometric interpretations, some JPEG 2000. No patients. Credentialed access. The six findings are the method's;
    # 22 local and 6 global ones are published. Edema does not occur in the test part, so its AP is undefined there.
    Published(
        "vindr_cxr",
        VinDrCxr,
        "three readers in training, by vote and fusion; validation images are drawn from the training part",
        (Overlap("chexmask_vindr", "file name", "the same images"),),
        images={"test": 3_000},
    ),
    # 662 PNG images (336 tuberculosis), label in the file name, no official split; some files have a palette.
    # Contained again in TBX11K's extra images, which are not read here. Public.
    Published(
        "shenzhen",
        Shenzhen,
        "no official split, no patients; contained in tbx11k (extra, not read)",
        (Overlap("tbx11k", "file name", "in its extra images, which are not read"),),
    ),
    # 377,110 JPEG images of 65,379 patients: 368,960 / 2,991 / 5,159. Labels belong to the study, values as
    # CheXpert's, columns in alphabetical order. The Foundation X paper calls it MIMIC-II. Credentialed access; the
    # label tables too.
    Published(
        "mimic_cxr",
        MimicCxr,
        "labels by study; many lateral views",
        images={"train": 368_960, "val": 2_991, "test": 5_159},
    ),
    # 11,200 PNG images of 512 x 512: 6,600 / 1,800 / 2,800, truth of the test part withheld. 1,211 boxes on 799
    # images; healthy and sick-but-not-TB images are negatives. One class: active and latent together.
    # Sources disagree on the licence (CC BY-NC-SA 2.0 in the file).
    Published(
        "tbx11k",
        Tbx11k,
        "test truth withheld, so train and val only; no patients",
        (
            Overlap("shenzhen", "file name", "in its extra images, which are not read"),
            Overlap("montgomery", "file name", "in its extra images, which are not read"),
        ),
        images={"train": 6_600, "val": 1_800},
    ),
    # 4,882 MHA images of 1024 x 1024, 1,134 with 1,476 nodule boxes; no official validation split. Images come from
    # JSRT, PadChest, ChestX-ray14 and Open-I. CC BY-NC-ND 4.0, access at times restricted.
    Published(
        "node21",
        Node21,
        "images of JSRT, PadChest, ChestX-ray14 and Open-I, cropped and normalised; no official split",
        (
            Overlap("nih_cxr14", "same_image", "part; where filenames_orig_and_new.csv gives the old name", True),
            Overlap("jsrt", "same_image", "part; where filenames_orig_and_new.csv gives the old name"),
            Overlap("rsna_pneumonia", "same_image", "both have images of nih_cxr14", True),
            Overlap("siim_acr", "pixels", "both have images of nih_cxr14"),
            Overlap("chestx_det", "pixels", "both have images of nih_cxr14"),
        ),
    ),
    # 19,237 DICOM images of 1024 x 1024, about one in six with a pneumothorax; masks as run lengths relative to the
    # last run, column by column. Boxes are ours, from the masks. The patient is the first part of the report's file
    # name. Data use agreement of the institution.
    Published("candid_ptx", CandidPtx, "boxes are made from the masks; no official split"),
    # 26,684 labelled DICOM images of 1024 x 1024: Normal 8,851, not normal 11,821, opacity 6,012 with 9,555 boxes.
    # All are ChestX-ray14 images, 8,196 of the 30,000 from its test part; "patientId" is an image id.
    # Competition rules.
    Published(
        "rsna_pneumonia",
        RsnaPneumonia,
        "patientId is an image id: without the organisers' mapping file a patient may be in two splits",
        (
            Overlap("nih_cxr14", "same_image", "all images; 8,196 of 30,000 from its official test list", True),
            Overlap("siim_acr", "pixels", "both are from nih_cxr14"),
            Overlap("chestx_det", "pixels", "both are from nih_cxr14"),
            Overlap("node21", "same_image", "both have images of nih_cxr14"),
        ),
    ),
    # 3,025 training and 553 test PNG images of 1024 x 1024 with 7,905 and 1,734 boxes, a polygon each; images with
    # empty lists are negatives. From ChestX-ray14 under new names. Apache-2.0 on the annotations.
    Published(
        "chestx_det",
        ChestXDet,
        "images of nih_cxr14 under new names, patients unknown",
        (
            Overlap("nih_cxr14", "pixels", "all images, renamed; no public map"),
            Overlap("rsna_pneumonia", "pixels", "both are from nih_cxr14"),
            Overlap("siim_acr", "pixels", "both are from nih_cxr14"),
            Overlap("node21", "pixels", "both have images of nih_cxr14"),
        ),
        images={"test": 553},
    ),
    # 12,047 DICOM images of 1024 x 1024, 2,669 with a pneumothorax, some in several rows that overlap; -1 means none,
    # an image without a row is unknown. Boxes are ours, from the masks. From ChestX-ray14. Competition rules.
    Published(
        "siim_acr",
        SiimAcr,
        "boxes are made from the masks; images of nih_cxr14 without a public map, patients unknown; no official split",
        (
            Overlap("nih_cxr14", "pixels", "all images; no public map"),
            Overlap("rsna_pneumonia", "pixels", "both are from nih_cxr14"),
            Overlap("chestx_det", "pixels", "both are from nih_cxr14"),
            Overlap("node21", "pixels", "both have images of nih_cxr14"),
        ),
    ),
    # Machine-made masks of 18,000 VinDr-CXR images with an estimate of their quality (the authors advise 0.7 and more).
    # CC BY 4.0; the images stay credentialed.
    Published(
        "chexmask_vindr",
        CheXmaskVinDr,
        "machine-made masks of heart and lungs on VinDr-CXR, in test, too; boxes are made from the masks",
        (Overlap("vindr_cxr", "file name", "the same images, the same split"),),
        images={"test": 3_000},
    ),
    # 196 training and 49 validation PNG images of native size with polygons of 20 ribs. Data use agreement by mail.
    Published(
        "vindr_ribcxr",
        VinDrRibCxr,
        "no public test part, so train and val only; whether images are of vindr_cxr is not published",
        (Overlap("vindr_cxr", "pixels", "same hospital source; not published whether images are shared"),),
        images={"train": 196, "val": 49},
    ),
    # 138 PNG images of about 4020 x 4892, 58 with tuberculosis; a mask for each lung. Public.
    Published(
        "montgomery",
        Montgomery,
        "no official split, no patients; contained in tbx11k (extra, not read)",
        (Overlap("tbx11k", "file name", "in its extra images, which are not read"),),
    ),
    # 247 raw images of 2048 x 2048, 154 with a nodule; masks of lungs, heart and clavicles by SCR at half that size.
    # JSRT: registration. SCR: research only, no redistribution.
    Published(
        "jsrt",
        Jsrt,
        "no official split of JSRT (SCR has two folds, which sources tell differently); no patients",
        (Overlap("node21", "same_image", "part of NODE21"),),
    ),
)


def builtin_records(options: Mapping[str, Mapping[str, str | float]]) -> dict[str, DatasetRecord]:
    """The records of all built-in datasets; nothing is read.

    Args:
        options: by dataset, those of :data:`DATASET_OPTIONS` that differ from their defaults.

    Raises:
        DataError: an unknown dataset or option, or a value that it may not have.
    """
    for name in options:
        if name not in DATASET_OPTIONS:
            raise DataError(f"DATASETS.OPTIONS: no built-in dataset {name!r}; {nearest(name, DATASET_OPTIONS)}")
    return {entry.name: _record(entry, options.get(entry.name, {})) for entry in DATASETS}


def _record(entry: Published, chosen: Mapping[str, str | float]) -> DatasetRecord:
    known = DATASET_OPTIONS[entry.name]
    values = {key: option.default for key, option in known.items()}
    for key, value in chosen.items():
        place = f"DATASETS.OPTIONS.{entry.name}.{key}"
        if key not in known:
            raise DataError(f"{place}: no such option; {nearest(key, known, 'options')}")
        choices = known[key].choices
        if not isinstance(value, type(known[key].default)) or (choices and value not in choices):
            hint = (
                nearest(value, choices, "it may be")
                if choices
                else ("text is needed" if isinstance(known[key].default, str) else "a number such as 0.7 is needed")
            )
            raise DataError(f"{place}: {value!r}; {hint}")
        values[key] = value
    reader = entry.reader(entry.name, values)
    tasks = reader.tasks()
    have = {split for task in tasks for shares in reader.parts(task).values() for split in shares}
    splits = tuple(split for split in _SPLITS if split in have)
    return DatasetRecord(
        name=entry.name,
        tasks=tasks,
        splits=splits,
        read=reader.read,
        report=reader.report,
        source=SOURCE,
        notes=entry.notes,
        digest=json.dumps(values, sort_keys=True),
        overlaps=entry.overlaps,
        # Where the user has the splits drawn anew, the published numbers are of other images.
        published={} if values.get("splits") == "three" else dict(entry.images),
    )
