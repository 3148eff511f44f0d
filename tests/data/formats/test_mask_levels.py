"""Masks that went through JPEG, have soft edges, or are no masks: their areas are known from how they were drawn."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from fx_d2.data.errors import DataError
from fx_d2.data.images import is_soft_mask, read_mask

DRAWN = np.zeros((60, 80), bool)
DRAWN[20:40, 25:55] = True  # 600 of 4,800 pixels


def save(tmp_path, pixels, name="m.png"):
    Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path / name


def through_jpeg(quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray((DRAWN * 250).astype(np.uint8)).save(stream, "jpeg", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("value", [1, 2, 100, 255, 257, 65535])
def test_two_levels_are_read_as_they_are(tmp_path, value):
    path = save(tmp_path, (DRAWN * value).astype(np.uint8 if value < 256 else np.uint16))
    assert np.array_equal(read_mask(path), DRAWN) and not is_soft_mask(path)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 128, 0), (10, 20, 30)])
def test_two_colours_are_two_levels(tmp_path, colour):
    path = save(tmp_path, DRAWN[..., None] * np.array(colour, np.uint8))
    assert np.array_equal(read_mask(path), DRAWN) and not is_soft_mask(path)


def test_one_level_is_all_or_nothing(tmp_path):
    assert not read_mask(save(tmp_path, np.zeros((6, 8), np.uint8))).any()
    assert read_mask(save(tmp_path, np.full((6, 8), 7, np.uint8))).all()


@pytest.mark.parametrize("quality", [95, 75, 40])
def test_a_mask_that_was_a_jpeg(tmp_path, quality):
    noisy = through_jpeg(quality)
    assert len(np.unique(noisy)) > 2  # else this tests nothing
    path = save(tmp_path, noisy)
    assert np.array_equal(read_mask(path), DRAWN) and is_soft_mask(path)
    Image.fromarray((DRAWN * 250).astype(np.uint8)).save(tmp_path / "m.jpg", quality=quality)
    assert np.array_equal(read_mask(tmp_path / "m.jpg"), DRAWN)


def test_noise_without_any_black_pixel(tmp_path):
    noise = np.random.default_rng(0).integers(1, 7, DRAWN.shape)
    assert np.array_equal(read_mask(save(tmp_path, np.where(DRAWN, 250, noise).astype(np.uint8))), DRAWN)


@pytest.mark.parametrize("softness", ["antialiased", "blurred", "much blurred", "enlarged", "colour"])
def test_soft_edges_are_cut_at_half(tmp_path, softness):
    large = Image.new("L", (640, 480))
    ImageDraw.Draw(large).ellipse((200, 130, 400, 350), fill=255)
    small = np.asarray(large).reshape(60, 8, 80, 8).mean((1, 3))  # the share of each pixel inside
    expected = small >= 127.5
    soft = Image.fromarray(np.rint(small).astype(np.uint8))
    if "blurred" in softness:
        soft = soft.filter(ImageFilter.GaussianBlur(3 if "much" in softness else 1.5))
    if softness == "enlarged":
        soft = soft.resize((320, 240), Image.Resampling.BICUBIC)
        expected = np.asarray(large.resize((320, 240), Image.Resampling.BOX)) > 127
    if softness == "colour":
        soft = Image.merge("RGB", (Image.new("L", soft.size), soft, Image.new("L", soft.size)))
    grey = np.asarray(soft).reshape(*soft.size[::-1], -1).max(2)
    mask = read_mask(save(tmp_path, np.asarray(soft)))
    assert np.count_nonzero(grey) > 1.05 * expected.sum()  # what "not zero" would give
    # A blurred disc is smaller at half of its brightness.
    wrong = {"blurred": 0.03, "much blurred": 0.1, "enlarged": 0.02}.get(softness, 0)
    assert np.count_nonzero(mask != expected) <= wrong * expected.sum()


def test_label_maps_and_pictures_are_refused(tmp_path):
    labels = np.zeros((60, 80), np.uint8)
    labels[10:50, 5:30], labels[10:50, 50:75] = 1, 2
    with pytest.raises(DataError, match=r"m\.png: 3 levels from 0 to 2, and 1000 pixels between dark and bright"):
        read_mask(save(tmp_path, labels))
    with pytest.raises(DataError, match=r"levels are 1 to 2, none of them 0 or near it"):
        read_mask(save(tmp_path, labels.clip(1, 2)))
    with pytest.raises(DataError, match="no soft edge"):
        read_mask(save(tmp_path, cv2.resize(np.array([[0, 255]], np.uint8), (80, 60), interpolation=cv2.INTER_LINEAR)))
