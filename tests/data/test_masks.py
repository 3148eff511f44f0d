"""Masks against shapes drawn by hand and against pycocotools."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from fx_d2.data.errors import DataError
from fx_d2.data.masks import decode_drawn, decode_masks, decode_segmentation
from fx_d2.data.rle import from_mask, from_relative_columns, union
from tests.real_data import REAL


def record(*annotations, height=6, width=8, **extra):
    return {"file_name": "x.png", "height": height, "width": width, "annotations": list(annotations), **extra}


def test_polygon_uncompressed_and_picture_give_the_same_rectangle(tmp_path):
    expected = np.zeros((6, 8), np.uint8)
    expected[1:4, 2:7] = 1  # rows 1-3, columns 2-6
    Image.fromarray(expected * 255).save(tmp_path / "m.png")
    # Down the columns: 2 columns and a row outside, then 3 inside and 3 outside, five times.
    runs = [2 * 6 + 1] + [3, 3] * 4 + [3, 2 + 6]
    for segmentation in (
        [[2, 1, 7, 1, 7, 4, 2, 4]],
        {"size": [6, 8], "counts": runs},
        {"png": str(tmp_path / "m.png")},
    ):
        masks = decode_masks(record({"segmentation": segmentation, "category_id": 1}), 3)
        assert masks.dtype == np.uint8 and masks.shape == (3, 6, 8)
        assert np.array_equal(masks[1], expected)
        assert not masks[[0, 2]].any()


def test_annotations_of_a_class_are_united_and_classes_overlap():
    left, right = [[0, 0, 4, 0, 4, 6, 0, 6]], [[3, 0, 8, 0, 8, 6, 3, 6]]
    masks = decode_masks(
        record(
            {"segmentation": left, "category_id": 0},
            {"segmentation": right, "category_id": 0},
            {"segmentation": right, "category_id": 1},
        ),
        2,
    )
    assert masks[0].all() and masks[1].sum() == 30


def test_polygons_are_drawn_as_coco_draws_them():
    """All over the image, across its borders and outside, at whole, half and any places."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = map(int, rng.integers(5, 60, 2))
        points = [rng.uniform(-20, 80, (count, 2)) for count in rng.integers(3, 9, rng.integers(1, 4))]
        polygons = [(np.round(2 * p) / 2 if rng.random() < 0.5 else p).ravel().tolist() for p in points]
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
        found = decode_segmentation(polygons, height, width)
        assert found.flags.c_contiguous and np.array_equal(found, expected)


def test_a_polygon_in_two_pieces():
    masks = decode_masks(
        record({"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2], [5, 3, 8, 3, 8, 6, 5, 6]], "category_id": 0}), 1
    )
    assert masks.sum() == 4 + 9


def test_unknown_classes_are_255_and_no_annotation_is_zero():
    masks = decode_masks(record(unknown_classes=[1]), 2)
    assert not masks[0].any() and (masks[1] == 255).all()


@pytest.mark.parametrize("seed", range(8))
def test_compressed_runs_agree_with_pycocotools(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 300, 2)
    # From noise to one large block: runs of every length, differences of either sign.
    noise = rng.random((height, width))
    mask = (np.sort(noise, axis=seed % 2) > rng.random()) if seed < 5 else noise > 0.5
    runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    for counts in (runs["counts"], runs["counts"].decode()):
        got = decode_segmentation({"size": [int(height), int(width)], "counts": counts}, int(height), int(width))
        assert np.array_equal(got, mask)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "empty"),
        ([1, 2, 3, 4, 5, 6], "list of polygons"),
        ([[1, 2, 3, 4e9, 5, 6]], "a point at 4e.09 pixels"),
        ([[1, 2, 3, 4]], "three points"),
        ([[1, 2, 3, 4, 5, float("nan")]], "finite"),
        ({"size": [8, 6], "counts": [48]}, r"\[8, 6\].*\[6, 8\]"),
        ({"size": [6, 8], "counts": [40]}, "40 pixels.*48"),
        ({"size": [6, 8], "counts": "0~~~"}, "cannot be read|cover"),
        ({"size": [6, 8], "counts": [10, -2, 40]}, "damaged"),
        ({"counts": [48]}, "size and counts"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_image(segmentation, message):
    with pytest.raises(DataError, match=f"x.png.*({message})"):
        decode_masks(record({"segmentation": segmentation, "category_id": 0}), 1)


def test_a_picture_of_another_size_is_an_error(tmp_path):
    Image.fromarray(np.zeros((3, 8), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match="8 x 3 .*8 x 6"):
        decode_masks(record({"segmentation": {"png": str(tmp_path / "m.png")}, "category_id": 0}), 1)


def test_left_and_right_from_two_files_and_masks_at_half_size(tmp_path):
    left, right = np.zeros((2, 3, 4), np.uint8)
    left[1, 3], right[0, :2] = 255, 1  # 0/255 and 0/1
    Image.fromarray(left).save(tmp_path / "left lung.gif")
    Image.fromarray(right).save(tmp_path / "right.png")
    Image.fromarray(right.astype(bool)).save(tmp_path / "one bit.png")
    names = ("left lung.gif", "right.png", "one bit.png")
    annotations = [
        {"segmentation": {"png": str(tmp_path / name), "factor": 2}, "category_id": number // 2}
        for number, name in enumerate(names)
    ]
    masks = decode_masks(record(*annotations), 2)
    for number, small in enumerate((left + right > 0, right > 0)):
        expected = [[small[row // 2, column // 2] for column in range(8)] for row in range(6)]
        assert np.array_equal(masks[number], expected)
    with pytest.raises(DataError, match=r"right.png.*4 x 3 .*8 x 6 and a factor of 3 is stated"):
        decode_masks(record({"segmentation": {"png": str(tmp_path / "right.png"), "factor": 3}, "category_id": 0}), 1)


def test_rows_of_a_published_dataset_are_united():
    rows = [from_relative_columns(text, 6, 8) for text in ("0 3 9 2", "1 5", "40 8")]
    masks = decode_masks(record(*({"segmentation": row, "category_id": 0} for row in rows)), 1)
    expected = np.zeros(48, bool)
    expected[[*range(0, 6), 12, 13, *range(40, 48)]] = True
    assert np.array_equal(masks[0], expected.reshape(8, 6).T)


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared real radiographs are not there")
def test_real_rows_of_siim_agree_with_a_literal_decoder():
    with (REAL / "formats" / "replicas" / "siim" / "train-rle.csv").open(newline="") as stream:
        table = [row for row in csv.reader(stream)][1:]
    masks = {}
    for name, text in table:
        found = from_relative_columns(text, 1024, 1024)
        assert (found is None) == (text.strip() == "-1")
        if found is not None:
            flat, position = np.zeros(1024 * 1024, bool), 0
            numbers = [int(number) for number in text.split()]
            for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
                flat[position + offset : position + offset + length] = True
                position += offset + length
            expected = flat.reshape(1024, 1024).T
            assert np.array_equal(decode_segmentation(found, 1024, 1024), expected)
            masks.setdefault(name, []).append((found, expected))
    assert masks
    for rows in masks.values():
        together = np.any([mask for _, mask in rows], axis=0)
        assert union([found for found, _ in rows]) == from_mask(together)


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared real radiographs are not there")
def test_real_mask_pictures_agree_with_their_polygons():
    folder = REAL / "formats" / "genuine" / "shenzhen"
    content = json.loads((folder / "annotations" / "lungs_coco.json").read_text())
    for entry in content["images"]:
        path = folder / "masks" / f"{Path(entry['file_name']).stem}_mask.png"
        outlines = [each["segmentation"] for each in content["annotations"] if each["image_id"] == entry["id"]]
        size = entry["height"], entry["width"]
        drawn = np.any([decode_segmentation(each, *size) for each in outlines], axis=0)
        picture = decode_segmentation({"png": str(path)}, *size)
        assert (drawn & picture).sum() / (drawn | picture).sum() > 0.97


def test_only_drawn_classes_have_an_array_and_it_lies_row_by_row(tmp_path):
    """Against a union pixel by pixel of what pycocotools draws."""
    shapes = np.random.default_rng(0).random((3, 6, 8)) < 0.4
    Image.fromarray(shapes[2].astype(np.uint8) * 255).save(tmp_path / "m.png")
    polygon = [[1.0, 1.0, 7.0, 1.5, 6.5, 5.0]]
    entries = [
        (4, from_mask(shapes[0])),
        (1, polygon),
        (4, from_mask(shapes[1])),
        (4, {"png": str(tmp_path / "m.png")}),
    ]
    annotations = [{"category_id": k, "segmentation": segmentation} for k, segmentation in entries]
    drawn = decode_drawn(record(*annotations))
    expected = np.zeros((6, 8), bool)
    for mask in shapes:
        for place in np.ndindex(6, 8):
            expected[place] |= mask[place]
    assert set(drawn) == {1, 4} and np.array_equal(drawn[4], expected)
    assert np.array_equal(drawn[1], coco_mask.decode(coco_mask.frPyObjects(polygon, 6, 8))[..., 0])
    for mask in drawn.values():
        assert mask.dtype == bool and mask.flags.c_contiguous
    assert decode_drawn(record()) == {}
