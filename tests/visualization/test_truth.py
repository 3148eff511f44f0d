"""Pictures of training data: the truth is where it belongs, in the colour of its class, and is said in words."""

import math

import cv2
import numpy as np
import torch
from detectron2.structures import Boxes, BoxMode, Instances

from fx_d2.visualization.palette import color_of
from fx_d2.visualization.sheets import annotation_sheet, choose_images, view_sheet
from fx_d2.visualization.truth import (
    View,
    draw_view,
    input_view,
    label_list,
    stored_view,
    summary,
    truth_legend,
)

CLASSES = ("Left Lung", "Heart")


def is_near(picture, color, tolerance=40):
    """Pixels of about a colour: bool (H, W)."""
    return (np.abs(picture.astype(int) - np.round(np.array(color) * 255)) <= tolerance).all(2)


def record(tmp_path, task, **fields):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((40, 80), 60, np.uint8))
    return {"file_name": str(path), "image_id": "a.png", "height": 40, "width": 80, "unit": f"ward/{task}", **fields}


def box(x0, y0, x1, y1, category=0, **more):
    return {"bbox": [x0, y0, x1, y1], "bbox_mode": BoxMode.XYXY_ABS, "category_id": category, **more}


def test_a_stored_box_is_drawn_where_it_lies(tmp_path):
    view = stored_view(record(tmp_path, "box", annotations=[box(20, 10, 60, 30, category=1)]), 2)
    picture = draw_view(view, CLASSES, 400)
    assert picture.shape == (400, 800, 3)
    drawn = is_near(picture, color_of(1))
    # Ten times as large: the upper edge is at 100, from 200 to 600; nothing of that colour is far from the edges.
    assert drawn[98:103, 210:590].any(0).mean() > 0.95
    assert drawn[110:290, 598:603].any(1).mean() > 0.9
    assert not drawn[130:270, 230:570].any()
    assert summary(view, CLASSES) == "1 box" and truth_legend(view, CLASSES) == [("Heart (1)", color_of(1))]


def test_masks_are_drawn_in_their_colours_and_unknown_ones_are_named(tmp_path):
    polygon = {"segmentation": [[0, 0, 40, 0, 40, 40, 0, 40]], "category_id": 0}
    view = stored_view(record(tmp_path, "mask", annotations=[polygon], unknown_classes=[1]), 2)
    picture = draw_view(view, CLASSES, 400).astype(int)
    assert (picture[200, 200] - picture[200, 600])[0] > 20  # orange has more red than the grey it lies on
    assert (picture[200, 600] == picture[200, 600, 0]).all()
    assert summary(view, CLASSES) == "1 of 2 classes drawn"
    assert [text for text, _ in truth_legend(view, CLASSES)] == ["Left Lung: 50 % of the image", "Heart: unknown"]


def test_a_record_without_size_is_drawn(tmp_path):
    entry = record(tmp_path, "mask", annotations=[{"segmentation": [[0, 0, 40, 0, 40, 40, 0, 40]], "category_id": 0}])
    del entry["height"], entry["width"]
    assert (stored_view(entry, 1).masks[0, :, :40] == 1).all()


def test_labels_in_words():
    view = View(np.zeros((4, 4), np.uint8), labels=[1, 0, math.nan, 0.7])
    assert summary(view, "ABCD") == "2 of 4 present, 1 unknown"


def test_the_label_list_shows_present_classes_where_room_is_short():
    labels = [0.0] * 40
    labels[37] = 1.0
    names = [f"Class {k}" for k in range(40)]
    # Orange is in the list (the class that is present), although only a third of the rows fits.
    short = label_list(200, 340, names, labels)
    assert short.shape == (200, 340, 3) and is_near(short, color_of(0)).any()
    assert not is_near(label_list(200, 340, names, [0.0] * 40), color_of(0)).any()


def test_what_the_mapper_gives():
    truth = Instances((64, 64), gt_boxes=Boxes(torch.tensor([[1.0, 2, 3, 4]])), gt_classes=torch.tensor([1]))
    student, teacher = torch.zeros(1, 64, 64, dtype=torch.uint8), torch.ones(1, 64, 64, dtype=torch.uint8)
    mapped = {"image": student, "image_teacher": teacher, "instances": truth}
    view = input_view(mapped, "image_teacher")
    assert (view.image == 1).all() and view.boxes.tolist() == [[1, 2, 3, 4]] and view.categories == [1]
    assert input_view({"image": student, "labels": torch.tensor([1.0])}).labels == [1.0]
    assert input_view({"image": student, "masks": torch.zeros(2, 64, 64, dtype=torch.uint8)}).masks.shape == (2, 64, 64)


def test_sheets_of_every_task_hold_stored_image_and_draws(tmp_path):
    entry = record(tmp_path, "cls", labels=[1.0, math.nan])
    assert annotation_sheet(entry, CLASSES).shape[1] == 2 * 560 + 8 + 340
    view = {"image": torch.full((1, 64, 64), 250, dtype=torch.uint8), "labels": torch.tensor([1.0, math.nan])}
    alone = view_sheet(entry, CLASSES, [view])
    both = view_sheet(entry, CLASSES, [{**view, "image_teacher": view["image"]}] * 2)
    assert both.shape[1] - alone.shape[1] == 320 + 8
    # Tiles of a mapper's picture: one in the first sheet, two and their teacher's views in the second.
    bright = [(sheet == 250).all(2).sum() for sheet in (alone, both)]
    assert bright == [320 * 320, 4 * 320 * 320]


def test_images_that_show_something_come_first():
    records = [{"annotations": [1] if number % 5 == 0 else []} for number in range(100)]
    chosen = choose_images(records, 8)
    assert [bool(entry["annotations"]) for entry in chosen] == [True] * 6 + [False] * 2
    assert chosen[0] is records[0] and chosen[5] is records[95]
    assert len(choose_images(records[1:5], 8)) == 4
    assert len(choose_images([{"labels": [1.0]}] * 3, 8)) == 3
