"""Outputs and truth in common classes."""

import math

import pytest
import torch
from detectron2.structures import Boxes, Instances

from fx_d2.external.plan import Pairing
from fx_d2.external.translate import choose_truth, translate
from fx_d2.schedule import Unit

NAMES = ("Heart", "Left Lung", "Right Lung")


def pairing(task, classes):
    return Pairing(Unit("truth", task), Unit("net", task), classes, "plan.yaml")


def test_findings_and_masks_take_the_highest_probability():
    classes = {"Lungs": ("Right Lung", "Left Lung"), "Heart": ("Heart",)}
    scores = translate({"scores": torch.tensor([0.1, 0.7, 0.4])}, pairing("cls", classes), NAMES)["scores"]
    assert scores.tolist() == pytest.approx([0.7, 0.1])
    masks = torch.tensor([[[0.1, 0.2]], [[0.9, 0.3]], [[0.5, 0.6]]])
    found = translate({"masks": masks, "instances": None}, pairing("mask", classes), NAMES)
    assert found["masks"].tolist() == [
        [[pytest.approx(0.9), pytest.approx(0.6)]],
        [[pytest.approx(0.1), pytest.approx(0.2)]],
    ]


def test_boxes_get_the_numbers_of_the_truth_and_others_go():
    instances = Instances((10, 20))
    instances.pred_boxes = Boxes(torch.arange(16.0).reshape(4, 4))
    instances.scores, instances.pred_classes = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([2, 0, 1, 2])
    found = translate(
        {"instances": instances}, pairing("box", {"Left": ("Left Lung",), "Right": ("Right Lung",)}), NAMES
    )
    rows = sorted(zip(found["instances"].scores.tolist(), found["instances"].pred_classes.tolist(), strict=True))
    assert rows == [(pytest.approx(0.6), 1), (pytest.approx(0.7), 0), (pytest.approx(0.9), 1)]
    assert instances.pred_classes.tolist() == [2, 0, 1, 2]  # the prediction itself is left as it was
    both = translate({"instances": instances}, pairing("box", {"Lung": ("Left Lung", "Right Lung")}), NAMES)[
        "instances"
    ]
    assert sorted(both.scores.tolist()) == pytest.approx([0.6, 0.7, 0.9]) and both.pred_classes.tolist() == [0, 0, 0]


def test_the_truth_of_some_classes_in_another_order():
    assert choose_truth({"labels": [1, 0, math.nan, 1]}, [3, 1])["labels"] == [1, 0]
    record = {
        "file_name": "a.png",
        "annotations": [
            {"category_id": 0, "bbox": [0]},
            {"category_id": 2, "bbox": [2]},
            {"category_id": 2, "bbox": [3]},
        ],
        "unknown_classes": [0, 1],
    }
    chosen = choose_truth(record, [2, 1])
    assert [(a["category_id"], a["bbox"]) for a in chosen["annotations"]] == [(0, [2]), (0, [3])]
    assert chosen["unknown_classes"] == [1] and chosen["file_name"] == "a.png"
    assert [a["category_id"] for a in record["annotations"]] == [0, 2, 2]
    assert choose_truth(record, [1])["annotations"] == []
