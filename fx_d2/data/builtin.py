"""The published datasets: reader, notes, and the images that each shares with others."""

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


@dataclass(frozen=True)
class Published:
    """One published dataset; ``images`` by split as published, without the splits that we draw."""

    name: str
    reader: type[PublishedReader]
    notes: str
    overlaps: tuple[Overlap, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)


# Counts, licences and how to get the files: datasets/README.md.
DATASETS: tuple[Published, ...] = (
    # -1 (uncertain) is at least as frequent as 1 for Atelectasis, Consolidation and Pneumonia, so the
    # policy matters. "No Finding" may go with "Support Devices".
    Published(
        "chexpert",
        CheXpert,
        "text-mined labels with many uncertain ones; the test labels come with CheXlocalize",
        images={"train": 223_414, "val": 234, "test": 668},
    ),
    # Some files are RGBA.
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
    # DICOM of 10 to 16 bits, both photometric interpretations, some JPEG 2000. The six findings are the method's.
    # Edema does not occur in the test part, so its AP is undefined there.
    Published(
        "vindr_cxr",
        VinDrCxr,
        "three readers in training, by vote and fusion; validation images are drawn from the training part",
        (Overlap("chexmask_vindr", "file name", "the same images"),),
        images={"test": 3_000},
    ),
    # Some files have a palette.
    Published(
        "shenzhen",
        Shenzhen,
        "no official split, no patients; contained in tbx11k (extra, not read)",
        (Overlap("tbx11k", "file name", "in its extra images, which are not read"),),
    ),
    # The Foundation X paper calls it MIMIC-II.
    Published(
        "mimic_cxr",
        MimicCxr,
        "labels by study; many lateral views",
        images={"train": 368_960, "val": 2_991, "test": 5_159},
    ),
    # PNG of 512 x 512. Healthy and sick-but-not-TB images are negatives.
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
    Published("candid_ptx", CandidPtx, "boxes are made from the masks; no official split"),
    # Normal 8,851, not normal 11,821, opacity 6,012 images.
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
    # -1 means no mask; the rows of an image may overlap.
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
    # 18,000 images; the authors advise a quality of 0.7 and more.
    Published(
        "chexmask_vindr",
        CheXmaskVinDr,
        "machine-made masks of heart and lungs on VinDr-CXR, in test, too; boxes are made from the masks",
        (Overlap("vindr_cxr", "file name", "the same images, the same split"),),
        images={"test": 3_000},
    ),
    Published(
        "vindr_ribcxr",
        VinDrRibCxr,
        "no public test part, so train and val only; whether images are of vindr_cxr is not published",
        (Overlap("vindr_cxr", "pixels", "same hospital source; not published whether images are shared"),),
        images={"train": 196, "val": 49},
    ),
    # PNG of about 4020 x 4892.
    Published(
        "montgomery",
        Montgomery,
        "no official split, no patients; contained in tbx11k (extra, not read)",
        (Overlap("tbx11k", "file name", "in its extra images, which are not read"),),
    ),
    Published(
        "jsrt",
        Jsrt,
        "no official split of JSRT (SCR has two folds, which sources tell differently); no patients",
        (Overlap("node21", "same_image", "part of NODE21"),),
    ),
)


def builtin_records(options: Mapping[str, Mapping[str, str | float]]) -> dict[str, DatasetRecord]:
    """The records of all built-in datasets, with the options (``DATASETS.OPTIONS``) given by dataset; reads nothing.

    Raises:
        DataError: an unknown dataset or option, or a value that it may not have.
    """
    for name in options:
        if name not in DATASET_OPTIONS:
            raise DataError(f"DATASETS.OPTIONS: no built-in dataset {name!r}; {nearest(name, DATASET_OPTIONS)}")
    return {entry.name: _record(entry, options.get(entry.name, {})) for entry in DATASETS}


def _record(entry: Published, chosen: Mapping[str, str | float]) -> DatasetRecord:
    options = DATASET_OPTIONS[entry.name]
    values = {key: option.default for key, option in options.items()} | dict(chosen)
    for key, value in chosen.items():
        place = f"DATASETS.OPTIONS.{entry.name}.{key}"
        if key not in options:
            raise DataError(f"{place}: no such option; {nearest(key, options, 'options')}")
        default, choices = options[key].default, options[key].choices
        if choices and value not in choices:
            raise DataError(f"{place}: {value!r}; {nearest(value, choices, 'it may be')}")
        if not isinstance(value, type(default)):
            needed = "text" if isinstance(default, str) else "a number such as 0.7"
            raise DataError(f"{place}: {value!r}; {needed} is needed")
    reader = entry.reader(entry.name, values)
    tasks = reader.tasks()
    splits = {split for task in tasks for shares in reader.parts(task).values() for split in shares}
    return DatasetRecord(
        name=entry.name,
        tasks=tasks,
        splits=tuple(split for split in ("train", "val", "test") if split in splits),
        read=reader.read,
        report=reader.report,
        source=SOURCE,
        notes=entry.notes,
        digest=json.dumps(values, sort_keys=True),
        overlaps=entry.overlaps,
        # Where the user has the splits drawn anew, the published numbers are of other images.
        published={} if values.get("splits") == "three" else dict(entry.images),
    )
