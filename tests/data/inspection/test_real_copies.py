"""Real radiographs re-encoded in the layouts of other sets are recognised, and nothing else is."""

import numpy as np
import pytest

from fx_d2.data.images import read_image
from fx_d2.data.inspection.fingerprint import thumbnail
from fx_d2.data.inspection.similar import find_similar
from tests.real_data import REAL

NIH = REAL / "shared_part" / "nih_cxr14" / "images"
REPLICAS = REAL / "formats" / "replicas"

# Which radiograph is in which file, as their boxes and masks show; two more SIIM files are padded to a square.
COPIES = {
    "rsna/stage_2_train_images/6630a75c-ef52-ab9e-5b3b-5ce3ce327438.dcm": "00000150_002.png",
    "rsna/stage_2_train_images/b4bffca7-a639-bd4b-540c-b010dc81f388.dcm": "00000334_002.png",
    "rsna/stage_2_train_images/1b5c26bf-25fe-8da4-d08a-c73832c049cd.dcm": "00000347_000.png",
    "rsna/stage_2_train_images/7927c124-9d6a-0b67-0e00-2c73f92814c4.dcm": "00001933_000.png",
    "node21/images/c9001.mha": "00000347_000.png",
    "node21/images/n9001.mha": "00010652_000.png",
}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real radiographs in {REAL}")
def test_dicom_and_metaimage_copies_of_png_radiographs():
    originals = sorted(NIH.glob("*.png"))
    copies = [REPLICAS / name for name in COPIES]
    small = np.stack([thumbnail(read_image(path)) for path in [*originals, *copies]])
    found = {(match.first, match.second) for match in find_similar(small)}
    names = [path.name for path in originals] + list(COPIES.values())  # a copy counts as what it shows
    assert all(names[first] == names[second] for first, second in found)
    across = {(names[first], copies[second - len(originals)]) for first, second in found if second >= len(originals)}
    assert across >= {(name, REPLICAS / copy) for copy, name in COPIES.items()}
    assert not {(first, second) for first, second in found if second < len(originals)}
