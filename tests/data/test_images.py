"""Pixels of PNG and JPEG files against Pillow and arithmetic."""

from __future__ import annotations

import resource
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from fx_d2.data.errors import DataError
from fx_d2.data.images import image_size, read_header, read_image, read_mask, source_files
from tests.real_data import REAL


@pytest.fixture
def grey() -> np.ndarray:
    """Every value from 0 to 255, 20 rows of 32."""
    return (np.arange(640).reshape(20, 32) * 7 % 256).astype(np.uint8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_pixels_survive_every_colour_mode(tmp_path, grey, mode):
    path = tmp_path / "x.PNG"
    Image.fromarray(grey).convert(mode).save(path)
    assert np.array_equal(read_image(path), grey)
    assert image_size(path) == (20, 32)


def test_palette_is_looked_up_and_alpha_dropped(tmp_path):
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette([10, 10, 10, 200, 200, 200, 90, 90, 90] + [0] * 759)
    image.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").tolist() == [[10, 200], [90, 200]]
    pixels = np.full((3, 4, 4), 77, np.uint8)
    pixels[..., 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 77).all()


def test_colour_becomes_luminance(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "c.png")
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(tmp_path / "c.png") - expected).max() <= 1


def test_one_bit_png_is_black_and_white(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").tolist() == [[255, 0]]


def test_sixteen_bits_give_the_eight_bit_picture(tmp_path, grey):
    cv2.imwrite(str(tmp_path / "x.png"), grey.astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / "x.png"), grey)
    colour = np.dstack([grey.astype(np.uint16) * 257] * 3)
    cv2.imwrite(str(tmp_path / "c.png"), colour)
    assert np.array_equal(read_image(tmp_path / "c.png"), grey)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_depth_is_found(tmp_path, bits):
    values = np.linspace(0, 2**bits - 1, 4000).round().astype(np.uint16).reshape(50, 80)
    cv2.imwrite(str(tmp_path / "x.png"), values)
    assert np.array_equal(read_image(tmp_path / "x.png"), np.rint(values * 255.0 / (2**bits - 1)).astype(np.uint8))


def test_a_burnt_in_marker_does_not_darken_the_radiograph(tmp_path):
    values = np.full((100, 100), 3000, np.uint16)
    values[0, :5] = 65535
    cv2.imwrite(str(tmp_path / "x.png"), values)
    image = read_image(tmp_path / "x.png")
    assert image[50, 50] == round(3000 * 255 / 4095) and image[0, 0] == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tag_is_applied(tmp_path, grey, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x.jpeg"
    Image.fromarray(grey).save(path, exif=exif, quality=100)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    image = read_image(path)
    assert image.shape == expected.shape == image_size(path)
    assert np.abs(image.astype(int) - expected).max() <= 2  # two decoders may round differently


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("reader", [read_image, image_size, read_mask])
def test_damaged_files_are_named(tmp_path, suffix, reader):
    path = tmp_path / f"whole.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    bad = tmp_path / f"bad.{suffix}"
    for content in (b"", b"not an image", data[:40], data[:-600]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=f"bad.{suffix}"):
            reader(bad)
    with pytest.raises(DataError, match="no such image"):
        reader(tmp_path / "none.png")
    bad.write_bytes(data + b"\0" * 6000)  # rubbish behind a complete image does no harm
    assert reader(bad) is not None


def test_masks_are_what_is_not_zero(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 0, 255, 255, 0, 0] + [9] * 759)
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[False, True, True]]


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared real radiographs are not there")
def test_real_radiographs_agree_with_pillow():
    paths = sorted((REAL / "shared_part").glob("*/images/*"))[::9]
    for path in paths:
        expected = np.asarray(Image.open(path).convert("RGB").convert("L")).astype(int)
        assert image_size(path) == expected.shape
        assert np.abs(read_image(path) - expected).mean() < 1


def test_header_of_every_depth(tmp_path, grey):
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 257)
    Image.fromarray(grey > 9).save(tmp_path / "bit.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png", bits=4)
    Image.fromarray(grey).save(tmp_path / "grey.jpg")
    bits = {name: read_header(tmp_path / name).bits for name in ("deep.png", "bit.png", "palette.png", "grey.jpg")}
    assert bits == {"deep.png": 16, "bit.png": 1, "palette.png": 8, "grey.jpg": 8}
    assert read_header(tmp_path / "deep.png").spacing is None
    assert source_files(tmp_path / "bit.png") == (tmp_path / "bit.png",)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(0, 5), "0 x 5|damaged|cannot be read"),
        (png(5, 0), "5 x 0|damaged|cannot be read"),
        (png(100_000, 100_000), "100000 x 100000|cannot be read"),
        (png(9_000, 9_000), "9000 x 9000 pixels"),
        (png(8, 8)[:30], "cannot be read"),
        (png(8, 8, bytes(72)).replace(b"IHDR", b"IHDX"), "cannot be read"),
        (b"\xff\xd8\xff" + bytes(50), "cannot be read"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "cannot be read"),
    ],
)
def test_headers_that_are_no_picture(tmp_path, content, message):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    for reader in (read_image, image_size, read_mask):
        with pytest.raises(DataError, match=rf"x\.png: .*({message})") as caught:
            reader(path)
        assert "\n" not in str(caught.value)


def test_pixels_that_do_not_decode(tmp_path):
    path = tmp_path / "x.png"
    for content in (png(8, 8, bytes(30)), png(8, 8, bytes(72))[:45] + b"\x00" * 20 + png(8, 8, bytes(72))[65:]):
        path.write_bytes(content)
        for reader in (read_image, read_mask):
            with pytest.raises(DataError, match="x.png: cannot be read"):
                reader(path)


def test_a_chunk_longer_than_the_file_costs_no_memory(tmp_path):
    path = tmp_path / "x.png"
    data = png(8, 8, bytes(72))
    length = data.index(b"IDAT") - 4
    path.write_bytes(data[:length] + b"\xff" + data[length + 1 :])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reader in (read_image, read_mask):
        with pytest.raises(DataError, match="x.png: .*damaged chunk"):
            reader(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KB; the chunk claims 4 GB


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_gif_masks_cut_short(tmp_path, grey, share):
    path = tmp_path / "left lung.gif"
    Image.fromarray(np.tile(grey, (4, 4))).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for reader in (image_size, read_mask):
        with pytest.raises(DataError, match="left lung.gif: "):
            reader(path)


def test_a_gif_film_is_no_mask(tmp_path, grey):
    frames = [Image.fromarray(np.roll(grey, shift)) for shift in range(3)]
    frames[0].save(tmp_path / "m.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="m.gif: a GIF of 3 pictures"):
        read_mask(tmp_path / "m.gif")


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared real radiographs are not there")
def test_bone_is_bright_in_every_real_format():
    """The spine and the belly are brighter than the lungs in each file, whatever its format and polarity."""
    folder = REAL / "formats"
    paths = [*folder.glob("replicas/*/**/*.dcm"), *folder.glob("replicas/node21/images/*.mha")]
    paths += [*folder.glob("genuine/shenzhen/images/*"), *folder.glob("genuine/siim/**/*.dcm")]
    paths += [folder / "genuine" / "dicom" / "CR-MONO1-10-chest"]
    assert len(paths) > 15
    for path in paths:
        image = read_image(path)
        height, width = image.shape
        middle = image[int(0.3 * height) : int(0.7 * height), int(0.45 * width) : int(0.55 * width)].mean()
        lungs = image[int(0.3 * height) : int(0.5 * height), int(0.2 * width) : int(0.35 * width)].mean()
        assert middle > lungs, path
