"""MetaImage files against arithmetic and against SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest

from fx_d2.data.errors import DataError
from fx_d2.data.images import image_size, read_header, read_image
from fx_d2.phantoms.writing import write_metaimage
from tests.real_data import REAL

RAMP = (np.arange(40 * 32) * 4095 // 1279).astype(np.uint16).reshape(40, 32)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("suffix", ["mha", "mhd"])
def test_twelve_bits_become_eight(tmp_path, suffix, compressed, big_endian):
    path = tmp_path / f"x.{suffix}"
    write_metaimage(path, RAMP, (0.2, 0.1), compressed, big_endian)
    assert np.array_equal(read_image(path), np.rint(RAMP * (255 / 4095)))
    assert image_size(path) == (40, 32) and read_header(path).spacing == (0.2, 0.1)
    assert read_header(path).bits == 16


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_other_types(tmp_path, dtype):
    values = np.linspace(0, 255, 1280).round().reshape(40, 32)
    write_metaimage(tmp_path / "x.mha", values.astype(dtype))
    image = read_image(tmp_path / "x.mha")
    if dtype in (np.uint8, np.int16):
        assert np.array_equal(image, values)  # 0..255 is 8-bit grey
    else:
        assert image[0, 0] == 0 and image[-1, -1] == 255 and np.abs(image - values).max() <= 2


def test_fractions_and_negative_values_are_scaled_by_their_range(tmp_path):
    for values in (RAMP / 4095.0 * 3 - 1, RAMP.astype(np.int16) - 2000):
        write_metaimage(tmp_path / "x.mha", values)
        image = read_image(tmp_path / "x.mha").astype(int)
        assert image.min() == 0 and image.max() == 255 and (np.diff(image.ravel()) >= 0).all()
        assert abs(image[20, 0] - 128) <= 1
    write_metaimage(tmp_path / "x.mha", np.where(RAMP > 9, RAMP, np.nan).astype(np.float32))
    with pytest.raises(DataError, match="x.mha: some pixels are infinite or not numbers"):
        read_image(tmp_path / "x.mha")


def test_the_default_spacing_is_unknown(tmp_path):
    write_metaimage(tmp_path / "x.mha", RAMP)
    assert read_header(tmp_path / "x.mha").spacing is None


def test_one_slice_is_an_image_and_a_stack_is_not(tmp_path):
    path = tmp_path / "x.mha"
    write_metaimage(path, RAMP)
    data = path.read_bytes().replace(b"NDims = 2", b"NDims = 3")
    path.write_bytes(data.replace(b"DimSize = 32 40", b"DimSize = 32 40 1"))
    assert read_image(path).shape == (40, 32)
    path.write_bytes(data.replace(b"DimSize = 32 40", b"DimSize = 32 20 2"))
    with pytest.raises(DataError, match="x.mha: DimSize 32 20 2 is not one two-dimensional image"):
        image_size(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.04, 0.3, 0.6, 0.99])
def test_files_cut_short(tmp_path, compressed, share):
    path = tmp_path / "x.mha"
    write_metaimage(path, RAMP, compressed=compressed)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match="x.mha: .*copy (it|the file) again"):
            reader(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"DimSize = 32 40", b"DimSize = 999999 999999", "999999 x 999999"),
        (b"DimSize = 32 40", b"DimSize = 0 40", "0 x 40"),
        (b"DimSize = 32 40", b"DimSize = a b", "DimSize"),
        (b"DimSize = 32 40\n", b"", "DimSize"),
        (b"MET_USHORT", b"MET_STRING", "MET_STRING"),
        (b"MET_USHORT", b"MET_DOUBLE", "copy it again"),
        (b"BinaryData = True", b"BinaryData = False", "text"),
        (b"ElementDataFile = LOCAL", b"ElementDataFile = gone.raw", "gone.raw"),
        (b"ElementType", b"ElementNumberOfChannels = 3\nElementType", "3 channel"),
    ],
)
def test_headers_that_are_no_radiograph(tmp_path, old, new, message):
    path = tmp_path / "x.mha"
    write_metaimage(path, RAMP)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=f"x.mha: .*{message}"):
            reader(path)


def test_damaged_zlib_and_too_much_of_it(tmp_path):
    path = tmp_path / "x.mha"
    write_metaimage(path, RAMP, compressed=True)
    data = bytearray(path.read_bytes())
    start = data.index(b"LOCAL\n") + 6
    data[start + 40 : start + 60] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(DataError, match="x.mha: .*copy the file again|x.mha: .*cut short"):
        read_image(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_simpleitk_writes_and_we_read(tmp_path, dtype, compressed):
    itk = pytest.importorskip("SimpleITK")
    values = (RAMP // 17 if dtype == np.uint8 else RAMP).astype(dtype)
    image = itk.GetImageFromArray(values)
    image.SetSpacing((0.1, 0.2))
    for suffix in ("mha", "mhd"):
        path = tmp_path / f"x.{suffix}"
        itk.WriteImage(image, str(path), useCompression=compressed)
        expected = tmp_path / "ours.mha"
        write_metaimage(expected, values)
        assert np.array_equal(read_image(path), read_image(expected))
        assert read_header(path).spacing == (0.2, 0.1)


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared real radiographs are not there")
def test_node21_replicas_agree_with_simpleitk():
    itk = pytest.importorskip("SimpleITK")
    for path in (REAL / "formats" / "replicas" / "node21" / "images").glob("*.mha"):
        theirs = itk.GetArrayFromImage(itk.ReadImage(str(path)))
        assert np.abs(read_image(path) - np.minimum(theirs, 4095) * (255 / 4095)).max() <= 0.5 + 1e-6
        assert image_size(path) == theirs.shape
