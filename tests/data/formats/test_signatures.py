"""Formats are told by content; what is no image is said to be what it is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.formats.signatures import recognise
from fx_d2.data.images import image_size, read_image, read_mask
from fx_d2.phantoms.writing import write_dicom, write_metaimage

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)


def test_names_do_not_matter(tmp_path):
    path = tmp_path / "misleading.png"
    for kind in ("dicom", "metaimage", "jpeg", "gif", "png"):
        if kind == "dicom":
            write_dicom(path, PIXELS)
        elif kind == "metaimage":
            write_metaimage(tmp_path / "x.mha", PIXELS)
            (tmp_path / "x.mha").replace(path)
        else:
            Image.fromarray(PIXELS).save(path, format=kind)
        assert recognise(path) == kind
        assert image_size(path) == (8, 8)
        if kind in ("dicom", "metaimage", "png"):
            assert np.array_equal(read_image(path), PIXELS)


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.mha", "a.IMG", "a", "a.jpg"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; copy it again"),
        (bytes(5000), "nothing but zeros"),
        (b"PK\x03\x04" + bytes(99), "a zip archive; unpack it"),
        (b"\x1f\x8b\x08" + bytes(99), "a gzip archive; unpack it"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page.*download it again"),
        (b"<HTML><head></head></HTML>", "a web page.*download it again"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer.*git lfs pull"),
        (b"RIFF1234WAVE" + bytes(99), "a sound or a film"),
        (b"%PDF-1.7\n", "a PDF document"),
    ],
)
def test_what_lies_in_place_of_an_image_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    for reader in (read_image, image_size, read_mask):
        with pytest.raises(DataError, match=f"{name}: .*{message}") as caught:
            reader(path)
        assert "\n" not in str(caught.value)


def test_missing_files_folders_and_plain_text(tmp_path):
    for reader in (read_image, image_size, read_mask):
        with pytest.raises(DataError, match="gone.dcm: no such image file"):
            reader(tmp_path / "gone.dcm")
        with pytest.raises(DataError, match=f"{tmp_path.name}: is a folder"):
            reader(tmp_path)
        (tmp_path / "t.dcm").write_text("patient,label\n1,0\n")
        with pytest.raises(DataError, match="t.dcm: not an image of a known format"):
            reader(tmp_path / "t.dcm")


def test_a_gif_is_a_mask_and_a_dicom_is_not(tmp_path):
    Image.fromarray(np.where(PIXELS > 9, 200, 0).astype(np.uint8)).save(tmp_path / "m.gif")
    with pytest.raises(DataError, match="m.gif: a GIF file can be a mask"):
        read_image(tmp_path / "m.gif")
    assert np.array_equal(read_mask(tmp_path / "m.gif"), PIXELS > 9)
    write_dicom(tmp_path / "d.dcm", PIXELS)
    with pytest.raises(DataError, match="d.dcm: a dicom file cannot be a mask"):
        read_mask(tmp_path / "d.dcm")
