"""Masks and label maps in TIFF, BMP and WebP files of Pillow, OpenCV and SimpleITK."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.images import is_soft_mask, read_label_map, read_mask

DRAWN = np.zeros((60, 80), bool)
DRAWN[20:40, 25:55] = True  # 600 of 4,800 pixels
LABELS = DRAWN * 1 + np.tri(60, 80, -40, dtype=int) * 2  # 0, 1, 2
GREY = (DRAWN * 255).astype(np.uint8)
NAMES = ["m.tif", "m.bmp", "m.webp"]


def save(tmp_path, picture, name, **options):
    options = {"lossless": True, **options} if name.endswith("webp") else options
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [1, 100, 255])
def test_masks_of_two_levels(tmp_path, name, level):
    colour = np.zeros((60, 80, 3), np.uint8)
    colour[DRAWN, 2] = level
    for picture in ((DRAWN * level).astype(np.uint8), colour):
        path = save(tmp_path, picture, name)
        assert np.array_equal(read_mask(path), DRAWN) and not is_soft_mask(path)


@pytest.mark.parametrize("name", NAMES)
def test_one_bit_palette_and_alpha(tmp_path, name):
    palette = Image.fromarray(DRAWN.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 9, 90, 0] + [0] * 762)
    pictures = [Image.fromarray(DRAWN), palette] if name != "m.webp" else []
    pictures += [Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)]))] if name != "m.bmp" else []
    for picture in pictures:
        assert np.array_equal(read_mask(save(tmp_path, picture, name)), DRAWN)


def test_tiff_of_more_bits(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    for kind in (np.uint16, np.uint32, np.float32):
        for level in (1, 700):
            sitk.WriteImage(sitk.GetImageFromArray((DRAWN * level).astype(kind)), str(tmp_path / "m.tif"))
            assert np.array_equal(read_mask(tmp_path / "m.tif"), DRAWN)
        sitk.WriteImage(sitk.GetImageFromArray((LABELS * 300).astype(kind)), str(tmp_path / "l.tif"))
        assert np.array_equal(read_label_map(tmp_path / "l.tif"), LABELS * 300)
    soft = cv2.GaussianBlur(DRAWN.astype(np.float32), (0, 0), 1)
    sitk.WriteImage(sitk.GetImageFromArray(soft), str(tmp_path / "s.tif"))
    assert np.array_equal(read_mask(tmp_path / "s.tif"), soft >= soft.max() / 2) and is_soft_mask(tmp_path / "s.tif")
    for values, message in ((soft, "whole numbers from 0 to 65535"), (DRAWN - 1.0, "whole numbers")):
        sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.float32)), str(tmp_path / "b.tif"))
        with pytest.raises(DataError, match=rf"b\.tif: a label map holds {message}"):
            read_label_map(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"b\.tif: a mask with values below 0"):
        read_mask(tmp_path / "b.tif")


def test_a_mask_in_lossy_webp_is_cut_or_refused_with_the_reason(tmp_path):
    path = save(tmp_path, GREY, "m.webp", lossless=False, quality=60)
    assert np.array_equal(read_mask(path), DRAWN)
    ramp = np.tile(np.linspace(0, 250, 80).astype(np.uint8), (60, 1))
    path = save(tmp_path, ramp, "m.webp", lossless=False, quality=60)
    with pytest.raises(
        DataError, match=r"m\.webp: .*no soft edge.*; lossy compression makes such levels, too: write masks"
    ):
        read_mask(path)
    with pytest.raises(DataError, match=r"which has 0 outside and one level inside$"):
        read_mask(save(tmp_path, ramp, "m.webp"))


@pytest.mark.parametrize("name", NAMES)
def test_label_maps(tmp_path, name):
    numbers = LABELS.astype(np.uint8)
    for picture in (numbers, Image.fromarray(numbers).convert("RGB")):
        assert np.array_equal(read_label_map(save(tmp_path, picture, name)), numbers)
    colour = np.dstack([numbers * 40, numbers, numbers])
    with pytest.raises(DataError, match=r"a label map in colour"):
        read_label_map(save(tmp_path, colour, name))
    if name != "m.webp":
        palette = Image.fromarray(numbers, "P")
        palette.putpalette([0, 0, 0, 200, 0, 0, 200, 0, 0] + [0] * 759)  # one colour for both: only the numbers tell
        assert np.array_equal(read_label_map(save(tmp_path, palette, name)), numbers)
        assert np.array_equal(read_label_map(save(tmp_path, Image.fromarray(DRAWN), name)), DRAWN)
        cv2.imwrite(str(tmp_path / name), numbers)
        assert np.array_equal(read_label_map(tmp_path / name), numbers)


@pytest.mark.parametrize("options", [{"name": "m.webp", "lossless": False}, {"name": "m.tif", "compression": "jpeg"}])
def test_lossy_label_maps_are_refused(tmp_path, options):
    alpha = np.dstack([LABELS] * 3 + [LABELS * 50 + 100]).astype(np.uint8)  # an extended WebP file: alpha in front
    for picture in (LABELS.astype(np.uint8), alpha) if options["name"] == "m.webp" else (LABELS.astype(np.uint8),):
        with pytest.raises(DataError, match=r"a label map with lossy compression, which changes its numbers"):
            read_label_map(save(tmp_path, picture, **options))
    assert np.array_equal(read_label_map(save(tmp_path, alpha, "ok.webp", exact=True)), LABELS)


def test_white_as_zero(tmp_path):
    """Tag 262 is 0: a mask is bright as a viewer shows it; what the numbers of a label map are is not certain."""
    for pixels, length in ((GREY, 1), (DRAWN.astype(np.uint16) * 9, 2)):
        Image.fromarray(pixels).save(tmp_path / "a.tif")
        data = (tmp_path / "a.tif").read_bytes()
        entry = bytes.fromhex("06010300010000000100")
        assert data.count(entry) == 1
        (tmp_path / "a.tif").write_bytes(data.replace(entry, entry[:-2] + bytes(2)))
        if length == 1:
            assert np.array_equal(read_mask(tmp_path / "a.tif"), ~DRAWN)
        else:
            with pytest.raises(DataError, match=r"a\.tif: a mask of more than 8 bits whose 0 is white"):
                read_mask(tmp_path / "a.tif")
        with pytest.raises(DataError, match=r"a\.tif: a label map whose 0 is white"):
            read_label_map(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits_keeps_its_numbers(tmp_path, bits):
    """Written by hand: Pillow writes no grey of 2 or 4 bits."""
    numbers = np.arange(16, dtype=np.uint8).reshape(2, 8) % (1 << bits)
    rows = b""
    for row in numbers:
        packed = np.packbits(((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).ravel())
        rows += b"\0" + packed.tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 2, bits, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "m.png").write_bytes(data)
    assert np.array_equal(read_label_map(tmp_path / "m.png"), numbers)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_one_message(tmp_path, name):
    path = save(tmp_path, np.random.default_rng(0).integers(0, 2, (60, 80)).astype(np.uint8), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for reader in (read_mask, read_label_map):
        with pytest.raises(DataError, match=rf"{name}: "):
            reader(path)
