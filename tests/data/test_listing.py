"""Which files of a folder are images, and what is said of a folder that has none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.readers.image_index import ImageIndex
from fx_d2.phantoms.writing import write_dicom
from fx_d2.prediction.sources import find_images

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def test_names_and_content(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.TIF")
    for name in ("b.bmp", "c.webp", "d.png"):
        Image.fromarray(GREY).save(tmp_path / name)
    (tmp_path / "series").mkdir()
    for name in ("IM000001", "1.2.840.113619.2.55", "DICOMDIR", "notes.txt"):
        write_dicom(tmp_path / "series" / name, GREY)
    (tmp_path / "series" / "README").write_text("BM is a bitmap")
    (tmp_path / "series" / ".hidden").write_bytes((tmp_path / "d.png").read_bytes())
    expected = ["a.TIF", "b.bmp", "c.webp", "d.png", "series/1.2.840.113619.2.55", "series/IM000001"]
    index = ImageIndex(tmp_path)
    assert index.ids == expected and index.size("series/IM000001") == (8, 8)
    assert index.match("IM000001") == ["series/IM000001"]
    assert find_images([tmp_path]) == [tmp_path / name for name in expected]


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(GREY).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "back").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert [str(path.relative_to(tmp_path)) for path in find_images([tmp_path])] == ["in/a.png", "link/a.png"]


@pytest.mark.parametrize("look", [ImageIndex, lambda folder: find_images([folder])])
def test_a_folder_without_images_says_what_is_there(tmp_path, look):
    with pytest.raises(DataError, match="it holds no file at all; is the path right"):
        look(tmp_path)
    for name in ("a.zip", "b.zip", "c.csv"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"3 other files: 2 \.zip, 1 \.csv\. a\.zip: this is a zip archive; unpack it"):
        look(tmp_path)
    for name in ("a.ima", "b.ima", "c.ima"):
        write_dicom(tmp_path / name, GREY)
    with pytest.raises(DataError, match=r"a\.ima is a dicom file: give such files an ending that is looked for"):
        look(tmp_path)
