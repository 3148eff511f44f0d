"""Run-length masks against slow literal decoders, pycocotools and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fx_d2.data import rle
from fx_d2.data.errors import DataError


def blobs(seed: int, height: int, width: int) -> np.ndarray:
    """Boolean (H, W): from noise to a few smooth shapes that touch the borders, or nothing."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 0.1 + seed % 5 * 2)
    return noise > np.quantile(noise, min(1.0, rng.uniform(0, 1.05)))


SIZES = [(1, 1), (1, 9), (9, 1), (13, 17), (64, 48), (48, 64), (100, 90)]
CASES = [(seed, *SIZES[seed % len(SIZES)]) for seed in range(35)]


def runs_of(flat: np.ndarray) -> list[tuple[int, int]]:
    """Start and length of each run inside, pixel by pixel."""
    runs, start = [], None
    for position, inside in enumerate([*flat.tolist(), False]):
        if inside and start is None:
            start = position
        elif not inside and start is not None:
            runs.append((start, position - start))
            start = None
    return runs


def encode_relative_columns(mask: np.ndarray) -> str:
    """As the competition's own encoder, with the run at the last pixel kept."""
    parts, last = [], 0
    for start, length in runs_of(mask.ravel(order="F")):
        parts += [start - last, length]
        last = start + length
    return " ".join(map(str, parts)) or "-1"


def encode_absolute_rows(mask: np.ndarray) -> str:
    return " ".join(f"{start + 1} {length}" for start, length in runs_of(mask.ravel())) or "-1"


def decode_relative_columns(text: str, height: int, width: int) -> np.ndarray:
    """The competition's sample decoder, literally: fill width x height, then transpose."""
    mask = np.zeros(width * height, bool)
    numbers = [int(part) for part in text.split()]
    position = 0
    for offset, length in zip(numbers[0::2], numbers[1::2], strict=True):
        position += offset
        mask[position : position + length] = True
        position += length
    return mask.reshape(width, height).T


def decode_absolute_rows(text: str, height: int, width: int) -> np.ndarray:
    mask = np.zeros(height * width, bool)
    numbers = [int(part) for part in text.split()]
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        mask[start - 1 : start - 1 + length] = True
    return mask.reshape(height, width)


def pixels(record) -> np.ndarray:
    return coco_mask.decode({**record, "counts": record["counts"].encode()}).astype(bool)


@pytest.mark.parametrize(("seed", "height", "width"), CASES)
@pytest.mark.parametrize(
    ("convert", "encode", "decode"),
    [
        (rle.from_relative_columns, encode_relative_columns, decode_relative_columns),
        (rle.from_absolute_rows, encode_absolute_rows, decode_absolute_rows),
    ],
)
def test_published_encodings(convert, encode, decode, seed, height, width):
    mask = blobs(seed, height, width)
    text = encode(mask)
    record = convert(f" {text} ", height, width)  # stage 1 of SIIM writes blanks round the values
    if not mask.any():
        assert record is None
        return
    assert np.array_equal(decode(text, height, width), mask)
    assert np.array_equal(pixels(record), mask)
    assert record["counts"] == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert record["size"] == [height, width]


@pytest.mark.parametrize(("seed", "height", "width"), CASES)
def test_masks_there_and_back(seed, height, width):
    mask = blobs(seed, height, width)
    record = rle.from_mask(mask * 255)
    assert record["counts"] == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert np.array_equal(pixels(record), mask)
    flat = np.pad(mask.ravel(order="F"), 1)
    assert rle.read_edges(record).tolist() == np.flatnonzero(flat[1:] != flat[:-1]).tolist()
    other = np.roll(mask, 3)
    assert np.array_equal(pixels(rle.union([record, rle.from_mask(other), record])), mask | other)


@pytest.mark.parametrize(("seed", "height", "width"), CASES)
def test_components_agree_with_opencv(seed, height, width):
    mask = blobs(seed, height, width)
    record = rle.from_mask(mask)
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    parts = [pixels(part) for part in rle.components(record)]
    expected = {(labels == part).tobytes() for part in range(1, number)}
    assert len(parts) == number - 1 and {part.tobytes() for part in parts} == expected
    firsts = [part.ravel(order="F").argmax() for part in parts]
    assert firsts == sorted(firsts)
    boxes = rle.boxes_from_mask(record)
    theirs = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist()]
    assert sorted(map(tuple, boxes.tolist())) == sorted(theirs)
    for part, (x0, y0, x1, y1) in zip(parts, boxes.astype(int), strict=True):  # the same order
        assert part[y0:y1, x0:x1].sum() == part.sum() and part.any()
    large = [(x, y, x + w, y + h) for x, y, w, h, size in stats[1:].tolist() if size >= 5]
    assert sorted(map(tuple, rle.boxes_from_mask(record, min_area=5).tolist())) == sorted(large)


def test_runs_that_follow_without_a_gap_are_one():
    record = rle.from_relative_columns("2 3 0 4", 4, 4)
    assert record == rle.from_relative_columns("2 7", 4, 4)
    assert rle.from_absolute_rows("3 3 6 4", 4, 4) == rle.from_absolute_rows("3 7", 4, 4)
    assert rle.from_absolute_rows("6 4 3 3", 4, 4) == rle.from_absolute_rows("3 7", 4, 4)  # in any order
    assert rle.from_relative_columns("0 16", 4, 4) == rle.from_absolute_rows("1 16", 4, 4)


def test_zero_runs_within_counts_are_no_edges():
    record = {"size": [4, 4], "counts": [2, 3, 0, 4, 7]}
    assert rle.read_edges(record).tolist() == [2, 9] and len(rle.components(record)) == 1
    assert rle.components({"size": [4, 4], "counts": [16]}) == []
    assert rle.boxes_from_mask({"size": [4, 4], "counts": [16]}).shape == (0, 4)


@pytest.mark.parametrize("convert", [rle.from_relative_columns, rle.from_absolute_rows])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (float("nan"), "no run lengths"),
        (None, "no run lengths"),
        ("  ", "no run lengths"),
        ("1 2 3", "3 numbers.*pairs"),
        ("1 x", "whole numbers"),
        ("1 2.5", "whole numbers"),
        ("1 99999999999999999999", "whole numbers"),
        ("1 0", "length 0"),
        ("1 4 9 -3", "length -3"),
        ("10 90", "reach pixel (99|100)"),
        ("9223372036854775000 9223372036854775000", "reach pixel|negative|start"),
        ("3 5 -2 4", "overlap|counts? from 1"),
        ("-5 4", "negative|count from 1"),
    ],
)
def test_damaged_runs_are_one_clear_error(convert, text, message):
    with pytest.raises(DataError, match=message):
        convert(text, 8, 10)


def test_absolute_runs_that_overlap():
    with pytest.raises(DataError, match="start at 3 and 5 overlap"):
        rle.from_absolute_rows("3 4 5 2", 8, 10)
    with pytest.raises(DataError, match="starts at 0; starts count from 1"):
        rle.from_absolute_rows("0 4", 8, 10)


def test_masks_of_several_sizes_are_not_united():
    with pytest.raises(DataError, match="2 sizes"):
        rle.union([rle.from_mask(np.ones((2, 3))), rle.from_mask(np.ones((3, 2)))])
