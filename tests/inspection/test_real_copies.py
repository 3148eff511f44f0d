"""Real radiographs re-encoded in the layouts of other sets are recognised, and nothing else is."""

import numpy as np
import pytest

from fx_d2.data.images import read_image
from fx_d2.inspection.fingerprint import thumbnails
from fx_d2.inspection.similar import find_similar
from tests.real_data import REAL

SHARED, REPLICAS = REAL / "shared_part", REAL / "formats" / "replicas"
_UID = "1.2.826.0.1.3680043.10.543"
_SIIM = f"siim/dicom-images-train/{_UID}.{{0}}.2/{_UID}.{{0}}.3/{_UID}.{{0}}.1.dcm"

# Which radiograph is in which file; two of the SIIM files are scaled and padded to a square.
COPIES = {
    "rsna/stage_2_train_images/6630a75c-ef52-ab9e-5b3b-5ce3ce327438.dcm": "00000150_002.png",
    "rsna/stage_2_train_images/b4bffca7-a639-bd4b-540c-b010dc81f388.dcm": "00000334_002.png",
    "rsna/stage_2_train_images/1b5c26bf-25fe-8da4-d08a-c73832c049cd.dcm": "00000347_000.png",
    "rsna/stage_2_train_images/7927c124-9d6a-0b67-0e00-2c73f92814c4.dcm": "00001933_000.png",
    "node21/images/c9001.mha": "00000347_000.png",
    "node21/images/n9001.mha": "00010652_000.png",
    "montgomery/MontgomerySet/CXR_png/MCUCXR_9001_1.png": "ARDSSevere.jpg",
    "montgomery/MontgomerySet/CXR_png/MCUCXR_9002_1.png": "X-ray_of_cyst_in_pneumocystis_pneumonia_1.jpg",
    _SIIM.format("27443253098122"): "00000347_000.png",
    _SIIM.format("209191806780865"): "cavitating-pneumonia-4-day0-PA.jpg",
    _SIIM.format("6777461672404"): "acute-respiratory-distress-syndrome-ards.jpg",
}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real radiographs in {REAL}")
def test_copies_in_other_formats_and_nothing_else():
    originals = sorted(SHARED.glob("*/images/*"))
    shown = [path.name for path in originals] + list(COPIES.values())  # a copy counts as what it shows
    pictures = [thumbnails(read_image(path)) for path in [*originals, *(REPLICAS / name for name in COPIES)]]
    owner = np.repeat(np.arange(len(pictures)), [len(one) for one in pictures])
    found = {(owner[match.first], owner[match.second]) for match in find_similar(np.concatenate(pictures))}
    found = {(first, second) for first, second in found if first != second}
    assert all(shown[first] == shown[second] for first, second in found)
    assert {second for first, second in found if first < len(originals)} == set(range(len(originals), len(shown)))
