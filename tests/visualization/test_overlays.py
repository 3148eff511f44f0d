"""Truth and prediction are drawn where they are, and only there."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, BoxMode, Instances

from fx_d2.visualization.drawing import overlay_boxes, overlay_masks
from fx_d2.visualization.overlays import draw_case, write_overlays
from fx_d2.visualization.palette import color_of
from fx_d2.visualization.panels import GAP, choose_rows, shorten, text_width

METADATA = SimpleNamespace(thing_classes=["nodule", "mass"], exclusive=False)
HEIGHT, WIDTH, SCALE = 96, 128, 4  # the shorter side is drawn with 384 pixels


@pytest.fixture
def case(tmp_path):
    def build(task, **truth):
        path = tmp_path / "a.png"
        cv2.imwrite(str(path), np.full((HEIGHT, WIDTH), 100, np.uint8))
        entry = {"file_name": str(path), "image_id": "p1/a.png", "unit": f"toy/{task}"}
        return {**entry, "height": HEIGHT, "width": WIDTH, **truth}

    return build


def truth_box(*box, k=0, crowd=0):
    return {"bbox": list(box), "bbox_mode": BoxMode.XYWH_ABS, "category_id": k, "iscrowd": crowd}


def found(*rows):
    """Rows x0, y0, x1, y1, score, class."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    instances = Instances((HEIGHT, WIDTH), pred_boxes=Boxes(table[:, :4]), scores=table[:, 4])
    instances.pred_classes = table[:, 5].long()
    return {"instances": instances}


def halves(picture):
    """The two panels, without title, captions and legend."""
    top = 28 + 22
    body = picture[top : top + HEIGHT * SCALE]
    left, right = body[:, : WIDTH * SCALE], body[:, -WIDTH * SCALE :]
    assert picture.shape[1] == 2 * WIDTH * SCALE + GAP
    return left, right


def changed(panel):
    """Where a panel differs from the plain image."""
    return (panel != 100).any(axis=2)


def test_boxes_on_their_sides(case):
    record = case("box", annotations=[truth_box(20, 30, 40, 50)])
    picture = draw_case(record, found((70, 10, 100, 40, 0.9, 1), (5, 60, 30, 90, 0.2, 0)), METADATA)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    left, right = (changed(half) for half in halves(picture))
    edge = 30 * SCALE + 100  # inside the truth's left edge, below its label
    assert left[edge, 20 * SCALE] and left[edge, 60 * SCALE] and not right[edge, 20 * SCALE]
    assert right[25 * SCALE, 70 * SCALE] and not left[25 * SCALE, 70 * SCALE]
    assert not left[50 * SCALE, 40 * SCALE]  # its middle stays free
    assert not right[60 * SCALE :].any()  # below the threshold: not drawn
    lower = halves(draw_case(record, found((5, 60, 30, 90, 0.2, 0)), METADATA, score_threshold=0.1))[1]
    assert changed(lower)[75 * SCALE, 5 * SCALE]


def test_a_class_has_one_color_on_both_sides(case):
    record = case("box", annotations=[truth_box(20, 30, 40, 50, k=1)])
    left, right = halves(draw_case(record, found((20, 30, 60, 80, 0.9, 1)), METADATA))
    expected = np.rint(255 * np.array(color_of(1)))
    for half in (left, right):
        edge = half[60 * SCALE, 20 * SCALE - 2 : 20 * SCALE + 2].astype(float)
        assert np.abs(edge - expected).max(axis=1).min() <= 2


def test_nothing_to_draw_leaves_the_image(case):
    record = case("box", annotations=[])
    for output in (found(), found((1, 1, 9, 9, 0.1, 0))):
        assert not any(changed(half).any() for half in halves(draw_case(record, output, METADATA)))


def test_labels_keep_clear_of_one_another():
    image = np.full((384, 384, 3), 100, np.uint8)
    box = np.array([100.0, 100.0, 250.0, 250.0])
    one = overlay_boxes(image, [(box, "nodule", color_of(0), "-")])
    two = overlay_boxes(image, [(box, "nodule", color_of(0), "-"), (box + 4, "nodule", color_of(0), "-")])
    # A label is a dark plate: twice as much of it where neither covers the other.
    dark = [(picture < 60).all(axis=2).sum() for picture in (one, two)]
    assert dark[1] > 1.9 * dark[0] > 0


def test_masks_are_tinted_inside_only(case):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:50, 30:70] = 1
    polygon = [[30, 20, 70, 20, 70, 50, 30, 50]]
    record = case("mask", annotations=[{"segmentation": polygon, "category_id": 0, "iscrowd": 0}], unknown_classes=[1])
    instances = Instances((HEIGHT, WIDTH), pred_masks=torch.from_numpy(mask[None] > 0), scores=torch.ones(1))
    instances.pred_classes = torch.tensor([0])
    output = {"masks": torch.zeros(2, HEIGHT, WIDTH), "instances": instances}
    left, right = (changed(half) for half in halves(draw_case(record, output, METADATA)))
    for half in (left, right):
        assert half[35 * SCALE, 50 * SCALE] and not half[70 * SCALE :].any() and not half[:, : 28 * SCALE].any()
    output["instances"] = instances[:0]
    assert not changed(halves(draw_case(record, output, METADATA))[1]).any()


def test_a_hole_of_a_mask_stays_free():
    image = np.full((100, 100, 3), 100, np.uint8)
    mask = np.zeros((1, 100, 100), bool)
    mask[0, 10:90, 10:90] = True
    mask[0, 40:60, 40:60] = False
    picture = changed(overlay_masks(image, mask))
    assert picture[20, 20] and not picture[50, 50] and not picture[5, 5]


def test_scores_beside_the_image(case):
    record = case("cls", labels=[1.0, float("nan")])
    low, high = (
        draw_case(record, {"scores": torch.tensor([value, 0.5])}, METADATA)[:, WIDTH * SCALE :] for value in (0.1, 0.9)
    )
    orange = np.rint(255 * np.array(color_of(0)))
    longer, shorter = ((np.abs(p - orange).max(axis=2) <= 2).sum() for p in (high, low))
    assert longer > shorter > 0
    assert low.shape == high.shape


def test_large_images_are_reduced(case):
    record = case("box", annotations=[truth_box(200, 300, 400, 500)], height=1536, width=2048)
    cv2.imwrite(record["file_name"], np.full((1536, 2048), 100, np.uint8))
    picture = draw_case(record, found(), METADATA)
    assert picture.shape[:2] == (28 + 22 + 768, 2 * 1024 + GAP)
    assert changed(picture[50:, :1024])[400, 100]


def test_files_have_distinct_plain_names(case, tmp_path):
    record = case("box", annotations=[])
    pairs = [(record, found()), (dict(record, image_id="p1 a/../ü.png"), found())]
    paths = write_overlays(pairs, METADATA, tmp_path / "new" / "overlays", prefix="toy_box")
    assert [path.name for path in paths] == ["toy_box_01_p1-a.png", "toy_box_02_p1-a-..-.png"]
    assert all(cv2.imread(str(path)) is not None for path in paths)


def test_rows_keep_what_is_present_then_what_scores_high():
    assert choose_rows([0.0, 1.0, float("nan"), 0.0], [0.3, 0.1, 0.9, 0.8], 3) == [1, 2, 3]
    assert choose_rows([0.0, 1.0], [0.3, 0.1], 5) == [0, 1]


def test_long_texts_lose_their_middle():
    text = "a/very/long/path/" * 10 + "end.png"
    short = shorten(text, 200)
    assert text_width(short) <= 200 and short.startswith("a/very") and short.endswith("end.png") and "…" in short
    assert shorten("short", 200) == "short"
