"""How many images the published datasets have, for estimates where the data are not at hand.

What counts on disk is :func:`fx_d2.engine.build.training_sizes`; a download with missing images has fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from fx_d2.config.dataset_options import DATASET_OPTIONS
from fx_d2.data.builtin import DATASETS, Published
from fx_d2.data.readers.published import PublishedReader
from fx_d2.schedule import Unit

# Annotated images of each part as the publisher divides it. Sources are the publishers' own lists and tables, named
# dataset by dataset in datasets/README.md.
PARTS: dict[str, dict[str, int]] = {
    "chexpert": {"train": 223_414, "val": 234, "test": 668},
    "nih_cxr14": {"train_val": 86_524, "test": 25_596},
    "vindr_cxr": {"train": 15_000, "test": 3_000},
    "shenzhen": {"all": 662},
    "mimic_cxr": {"train": 368_960, "validate": 2_991, "test": 5_159},
    "tbx11k": {"train": 6_600, "val": 1_800},
    "node21": {"all": 4_882},
    "candid_ptx": {"all": 19_237},
    "rsna_pneumonia": {"all": 26_684},
    "chestx_det": {"train": 3_025, "test": 553},
    "siim_acr": {"all": 12_047},
    "chexmask_vindr": {"train": 15_000, "test": 3_000},
    "vindr_ribcxr": {"train": 196, "val": 49},
    "montgomery": {"all": 138},
    "jsrt": {"all": 247},
}
# The one set whose boxes are on a part of the images only (TBX11K's single image without a box is not counted out).
_BOXED = {Unit("nih_cxr14", "box"): {"train_val": 0, "test": 880}}


@dataclass(frozen=True)
class Sizes:
    """Images of a unit by split; 0 where there is no such split."""

    train: int
    val: int
    test: int


def published_sizes(unit: Unit) -> Sizes:
    """Images of a unit if the whole dataset is on disk and its splits are drawn as by default.

    A drawn split has its share of the images, which a draw by patient meets to a few images. CheXmask's masks of low
    quality, which the reader leaves out, are counted.

    Raises:
        ValueError: the unit is none of a built-in dataset.
    """
    reader = _READERS.get(unit.dataset)
    if reader is None or unit.task not in reader.tasks():
        known = ", ".join(f"{name}/{task}" for name in sorted(_READERS) for task in _READERS[name].tasks())
        raise ValueError(f"unit {unit}: no published size is known; those of {known} are")
    images = _BOXED.get(unit, PARTS[unit.dataset])
    sizes = dict.fromkeys(("train", "val", "test"), 0)
    for part, shares in reader.parts(unit.task).items():
        first, *others = shares
        drawn = {split: round(shares[split] * images[part]) for split in others}
        for split, count in {first: images[part] - sum(drawn.values()), **drawn}.items():
            sizes[split] += count
    return Sizes(**sizes)


def _reader(entry: Published) -> PublishedReader:
    return entry.reader(entry.name, {key: option.default for key, option in DATASET_OPTIONS[entry.name].items()})


_READERS = MappingProxyType({entry.name: _reader(entry) for entry in DATASETS})
