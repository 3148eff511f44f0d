"""Raw images of JSRT: byte order, polarity and the checks that stand in for a header."""

from __future__ import annotations

import numpy as np
import pytest

from fx_d2.data.errors import DataError
from fx_d2.data.images import image_size, read_header, read_image


@pytest.fixture
def words() -> np.ndarray:
    return (np.arange(2048 * 2048).reshape(2048, 2048) % 4096).astype(np.uint16)


@pytest.mark.parametrize("name", ["JPCLN001.IMG", "JPCNN093.img"])
def test_big_endian_twelve_bits_inverted(tmp_path, words, name):
    path = tmp_path / name
    words.astype(">u2").tofile(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.rint((4095 - words.astype(float)) * 255 / 4095))
    assert image_size(path) == (2048, 2048) and read_header(path).spacing == (0.175, 0.175)
    assert read_header(path).bits == 12


def test_another_byte_order_is_noticed(tmp_path, words):
    words.astype("<u2").tofile(tmp_path / "JPCLN001.IMG")
    with pytest.raises(DataError, match="JPCLN001.IMG: words above 4095"):
        read_image(tmp_path / "JPCLN001.IMG")


@pytest.mark.parametrize("size", [1, 8388607, 8388609])
def test_another_size_is_refused_with_the_right_one(tmp_path, size):
    path = tmp_path / "JPCLN001.IMG"
    path.write_bytes(b"\x01" * size)
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=f"JPCLN001.IMG: {size} bytes.*8388608"):
            reader(path)
