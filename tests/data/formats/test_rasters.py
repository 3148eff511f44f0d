"""TIFF, BMP and WebP files that Pillow, OpenCV and SimpleITK wrote."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.images import read_header, read_image

GREY = (np.arange(30 * 40) % 251).astype(np.uint8).reshape(30, 40)
DEEP = (np.arange(30 * 40) * 4095 // 1199).astype(np.uint16).reshape(30, 40)  # 0..4095: 12 bits
SCALED = np.rint(DEEP * (255 / 4095)).astype(np.uint8)


def written(tmp_path, picture: Image.Image, name: str, **options):
    picture.save(tmp_path / name, **options)
    header = read_header(tmp_path / name)
    assert (header.height, header.width) == (picture.height, picture.width)
    return read_image(tmp_path / name)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_of_8_and_12_bits(tmp_path, compression):
    assert np.array_equal(written(tmp_path, Image.fromarray(GREY), "a.tif", compression=compression), GREY)
    assert np.array_equal(written(tmp_path, Image.fromarray(DEEP), "b.tif", compression=compression), SCALED)
    assert [read_header(tmp_path / name).bits for name in ("a.tif", "b.tif")] == [8, 16]
    assert read_header(tmp_path / "a.tif").kind == "tiff"


def test_tiff_of_opencv_and_simpleitk(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    cv2.imwrite(str(tmp_path / "a.tiff"), DEEP)
    sitk.WriteImage(sitk.GetImageFromArray(DEEP), str(tmp_path / "b.tiff"))
    for name in ("a.tiff", "b.tiff"):
        assert np.array_equal(read_image(tmp_path / name), SCALED)
    # Fractions by their range: all but 0.1 % at either end, here from the second value to the last but one.
    sitk.WriteImage(sitk.GetImageFromArray(DEEP.astype(np.float32) / 4096 - 0.5), str(tmp_path / "f.tiff"))
    assert np.abs(read_image(tmp_path / "f.tiff").astype(int) - SCALED).max() <= 1


def test_tiff_whose_white_is_zero(tmp_path):
    """Tag 262 is 0: the stored 0 is white. The tag is rewritten in the bytes of a file of Pillow."""
    for pixels, expected in ((GREY, 255 - GREY), (DEEP, 255 - SCALED)):
        Image.fromarray(pixels).save(tmp_path / "a.tif")
        data = (tmp_path / "a.tif").read_bytes()
        entry = bytes.fromhex("06010300010000000100")
        assert data.count(entry) == 1
        (tmp_path / "a.tif").write_bytes(data.replace(entry, entry[:-2] + bytes(2)))
        assert np.array_equal(read_image(tmp_path / "a.tif"), expected)


def test_colour_palette_one_bit_alpha_and_orientation(tmp_path):
    colour = np.zeros((30, 40, 3), np.uint8)
    colour[..., 0] = 200  # red: 0.299 * 200 = 59.8
    for name in ("a.tif", "a.bmp", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        assert (written(tmp_path, Image.fromarray(colour), name, **options) == 60).all()
        assert read_header(tmp_path / name).kind == {"tif": "tiff"}.get(name[2:], name[2:])
    assert np.array_equal(written(tmp_path, Image.fromarray(GREY), "g.bmp"), GREY)  # with a palette of greys
    assert np.array_equal(written(tmp_path, Image.fromarray(GREY > 9), "bit.tif"), (GREY > 9) * 255)
    assert np.array_equal(written(tmp_path, Image.fromarray(GREY > 9), "bit.bmp"), (GREY > 9) * 255)
    both = Image.merge("LA", (Image.fromarray(GREY), Image.new("L", (40, 30), 7)))
    assert np.array_equal(written(tmp_path, both, "alpha.tif"), GREY)
    for name, options in (("o.tif", {}), ("o.webp", {"lossless": True})):
        exif = Image.Exif()
        exif[0x0112] = 3  # turned by half a circle
        Image.fromarray(np.dstack([GREY] * 3)).save(tmp_path / name, exif=exif, **options)
        assert np.array_equal(read_image(tmp_path / name), GREY[::-1, ::-1])


def test_lying_on_their_side(tmp_path):
    """Orientation 6: the first row is the right side. Height and width change places in the header, too."""
    for name in ("o.tif", "o.webp"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.dstack([GREY] * 3)).save(tmp_path / name, exif=exif, lossless=True)
        header = read_header(tmp_path / name)
        assert (header.height, header.width) == (40, 30)
        assert np.array_equal(read_image(tmp_path / name), np.rot90(GREY, -1))


def test_a_preview_is_passed_over_and_several_pictures_are_refused(tmp_path):
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[:15, :20])]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"two\.tif: 2 pictures in one file; a radiograph has one"):
        read_image(tmp_path / "two.tif")
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(tmp_path / "preview.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(read_image(tmp_path / "preview.tif"), GREY)


@pytest.mark.parametrize("name", ["a.tif", "a.bmp", "a.webp"])
def test_files_cut_short(tmp_path, name):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    for reader in (read_image, read_header):
        with pytest.raises(DataError, match=rf"{name}: "):
            reader(tmp_path / name)


def test_colour_of_16_bits_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), np.dstack([DEEP] * 3))
    with pytest.raises(DataError, match=r"a\.tif: colour of 16 bits is not read; write it as grey"):
        read_image(tmp_path / "a.tif")
