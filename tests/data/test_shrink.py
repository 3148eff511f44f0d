"""Area averages of masks against OpenCV's, which go over the whole picture."""

import cv2
import numpy as np
import pytest

from fx_d2.data.shrink import shrink_image, shrink_mask, shrunk_size


def draw(rng, height, width):
    rows, columns = np.mgrid[:height, :width]
    y, x, b, a = (rng.uniform(low, high) for low, high in ((0, height), (0, width), (2, height / 2), (2, width / 2)))
    return ((rows - y) / b) ** 2 + ((columns - x) / a) ** 2 < 1


def test_a_mask_by_hand():
    """Three pixels to two: each target pixel covers one and a half."""
    mask = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]], bool)
    # Columns (0, 1/3, ...): the middle one counts a third for each side; rows alike.
    across = np.array([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    expected = np.rint(255 * across @ mask @ across.T)
    assert np.array_equal(shrink_mask(mask, (2, 2)), expected.astype(np.uint8))
    assert expected.tolist() == [[85.0, 142.0], [28.0, 85.0]]


@pytest.mark.parametrize("size", [(100, 75), (97, 61), (50, 50), (3, 2), (200, 40), (33, 150)])
def test_masks_are_shrunk_as_opencv_shrinks_them(size):
    """Anywhere, across the border; whole sides kept. At a tie (parts of whole pixels) sums may round the other way."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = draw(rng, 150, 200)
        expected = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
        found = shrink_mask(mask, size)
        assert found.dtype == np.uint8 and np.abs(found.astype(int) - expected).max() <= 1
        assert (found != expected).mean() < 1e-2


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_and_a_full_mask(value):
    assert (shrink_mask(np.full((40, 30), value), (13, 11)) == 255 * value).all()
    assert (shrink_mask(np.full((40, 30), value), (30, 40)) == 255 * value).all()


def test_what_needs_no_shrinking_stays_as_it_is():
    image = np.zeros((4, 6), np.uint8)
    assert shrink_image(image, (6, 4)) is image
    assert shrunk_size((600, 400), np.array([[0.7, 0, 0], [0, 0.5, 0]])) == (600, 200)
