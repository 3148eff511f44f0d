"""Boxes and masks of a user's files in another form than declared: refused, or counted where they are few."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.readers.coco import CocoFile, CocoOptions
from fx_d2.data.readers.image_index import ImageIndex

HEIGHT, WIDTH = 60, 100
CORNERS = CocoOptions(bbox="xyxy")


@pytest.fixture
def index(tmp_path) -> ImageIndex:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "images" / "a.png")
    return ImageIndex(tmp_path / "images")


def coco(tmp_path: Path, key: str, values: list, options=CocoOptions(), **others) -> CocoFile:  # noqa: B008
    annotations = [
        {"id": 10 + n, "image_id": 1, "category_id": 1, key: value, **others} for n, value in enumerate(values)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "Mass"}],
        "annotations": annotations,
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    return CocoFile(tmp_path / "c.json", "box" if key == "bbox" else "mask", None, options)


def boxes(reader: CocoFile, index: ImageIndex) -> list:
    return [annotation["bbox"] for annotation in reader.read(index)["a.png"]["annotations"]]


def counts(reader: CocoFile) -> dict[str, int]:
    return {reason: event.times for reason, event in reader.events.items()}


SHARES = [[0.1, 0.1, 0.3, 0.3], [0, 0, 1, 1], [0.5, 0.25, 0.5, 0.7]]


@pytest.mark.parametrize("options", [CocoOptions(), CORNERS])
def test_boxes_in_0_to_1_are_refused(tmp_path, index, options):
    message = r"c\.json: all 3 boxes lie in 0\.\.1: shares of the image, not pixels; .* \(first: .*annotation 10\)"
    with pytest.raises(DataError, match=message):
        coco(tmp_path, "bbox", SHARES, options).read(index)
    with pytest.raises(DataError, match=r"3 of 4 boxes lie in 0\.\.1"):
        coco(tmp_path, "bbox", [*SHARES, [0.2, 0.2, 5, 5]], options).read(index)


def test_a_few_boxes_below_a_pixel_are_kept_and_counted(tmp_path, index):
    whole = [[1, 2, 30, 40], [5, 5, 1, 1], [50, 50, 10, 10], [0, 0, 0, 0], [0, 0, 0, 0]]
    reader = coco(tmp_path, "bbox", [*whole, [7, 7, 0.5, 9], [0.1, 0.1, 0.3, 0.3]])
    assert boxes(reader, index) == [*whole[:3], [7, 7, 0.5, 9], pytest.approx([0.1, 0.1, 0.3, 0.3])]
    assert counts(reader) == {
        "boxes outside the image or without an area left out": 2,
        "boxes that are narrower or lower than a pixel, kept": 2,
    }
    event = reader.events["boxes that are narrower or lower than a pixel, kept"]
    assert event.first == f"{reader.path}: annotation 15"


def test_a_file_of_placeholders_is_no_file_of_shares(tmp_path, index):
    assert boxes(coco(tmp_path, "bbox", [[0, 0, 0, 0]] * 3), index) == []
    assert coco(tmp_path, "bbox", []).read(index) == {"a.png": {"annotations": []}}


# The second fits in both forms.
AS_CORNERS = [[50, 10, 90, 55], [10, 10, 40, 40], [60, 30, 100, 60]]


def test_corners_are_recognised_and_refused(tmp_path, index):
    message = (
        r"c\.json: 2 of 3 boxes reach out of their images as x, y, width, height \(first: .*annotation 10: "
        r"50, 10, 90, 55\), and all fit as corners x0, y0, x1, y1; .*bbox: xyxy"
    )
    with pytest.raises(DataError, match=message):
        coco(tmp_path, "bbox", AS_CORNERS).read(index)


@pytest.mark.parametrize(
    "also",
    [
        [[40, 30, 20, 20]],  # no corners: it would end before it begins
        [[10, 10, 20, 20], [12, 12, 30, 30]],  # most are within the image as they are
    ],
)
def test_boxes_that_reach_out_are_clipped_where_they_are_no_corners(tmp_path, index, also):
    values = [*AS_CORNERS, *also]
    reader = coco(tmp_path, "bbox", values)
    expected = [[x, y, min(w, WIDTH - x), min(h, HEIGHT - y)] for x, y, w, h in values]
    assert boxes(reader, index) == expected
    assert counts(reader) == {"boxes clipped to the image": 2}


@pytest.mark.parametrize(
    ("options", "own"), [(CORNERS, {}), (CocoOptions(), {"bbox_mode": 0}), (CORNERS, {"bbox_mode": 0})]
)
def test_declared_corners(tmp_path, index, options, own):
    reader = coco(tmp_path, "bbox", [*AS_CORNERS, [90, 50, 110, 70], [5, 5, 5, 9]], options, **own)
    assert boxes(reader, index) == [[50, 10, 40, 45], [10, 10, 30, 30], [60, 30, 40, 30], [90, 50, 10, 10]]
    assert counts(reader) == {
        "boxes clipped to the image": 1,
        "boxes outside the image or without an area left out": 1,
    }


def test_the_mode_of_an_annotation_goes_before_the_option(tmp_path, index):
    assert boxes(coco(tmp_path, "bbox", [[50, 10, 20, 30]], CORNERS, bbox_mode=1), index) == [[50, 10, 20, 30]]
    for mode in (4, True, "XYXY", [0]):
        with pytest.raises(DataError, match=r"annotation 10: bbox_mode .*; xywh, xyxy, 1, 0 are read"):
            coco(tmp_path, "bbox", [[50, 10, 20, 30]], bbox_mode=mode).read(index)


def test_widths_that_are_declared_as_corners(tmp_path, index):
    message = r"1 of 1 boxes end before they begin as corners .*annotation 10: 50, 10, 20, 30\); .*bbox: xywh"
    with pytest.raises(DataError, match=message):
        coco(tmp_path, "bbox", [[50, 10, 20, 30]], CORNERS).read(index)


SQUARE = [[1, 1, 9, 1, 9, 9, 1, 9]]
SMALL = [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]


def test_polygons_in_0_to_1_are_refused(tmp_path, index):
    with pytest.raises(DataError, match=r"c\.json: all 2 masks lie in 0\.\.1: shares.*first: .*annotation 10\)"):
        coco(tmp_path, "segmentation", [SMALL, [[0, 0, 0.5, 0, 0.5, 0.5], [0.7, 0.7, 1, 0.7, 1, 1]]]).read(index)


def test_a_few_masks_below_a_pixel_are_counted(tmp_path, index):
    """COCO's drawing takes the pixel in whose middle row and column the first two lie; the third marks none."""
    small = [[[3, 3, 3.9, 3, 3.9, 3.9, 3, 3.9]], [[5, 5, 5.9, 5, 5.9, 30, 5, 30]], [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]]]
    reader = coco(tmp_path, "segmentation", [SQUARE, *small])
    kept = [item["segmentation"] for item in reader.read(index)["a.png"]["annotations"]]
    assert kept == [SQUARE, *small[:2]]
    assert counts(reader) == {
        "masks that are narrower or lower than a pixel, kept": 2,
        "masks that mark no pixel of the image left out": 1,
    }


@pytest.mark.parametrize("empty", [[], [[]]])
def test_empty_segmentations_are_counted(tmp_path, index, empty):
    with pytest.raises(DataError, match=r"c\.json: 2 annotations with an empty .*annotation 11\); .*empty_masks: drop"):
        coco(tmp_path, "segmentation", [SQUARE, empty, empty]).read(index)
    reader = coco(tmp_path, "segmentation", [SQUARE, empty, empty], CocoOptions(drop_empty=True))
    assert [item["segmentation"] for item in reader.read(index)["a.png"]["annotations"]] == [SQUARE]
    reason = "annotations with an empty segmentation left out (empty_masks: drop)"
    assert counts(reader) == {reason: 2} and reader.events[reason].first == f"{reader.path}: annotation 11"
    with pytest.raises(DataError, match=r"all 1 annotation with an empty .*for task box"):
        coco(tmp_path, "segmentation", [empty], CocoOptions(drop_empty=True)).read(index)
