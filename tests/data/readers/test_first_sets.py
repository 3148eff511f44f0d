"""CheXpert, ChestX-ray14, RSNA Pneumonia and ChestX-Det, read from fake trees in their published layout."""

from __future__ import annotations

import math

import pytest

from fx_d2.data.errors import DataError

NAN = math.nan


def same(left, right):
    return len(left) == len(right) and all(a == b or (a != a and b != b) for a, b in zip(left, right, strict=True))


def test_chexpert_blanks_and_uncertain_labels(read):
    row = "patient00002/study1/view1_frontal.jpg"  # ,,1.0,-1.0,,,-1.0,,-1.0,,1.0,,,
    known = [0, NAN, 1, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 1, NAN, NAN, NAN]
    assert same(read("chexpert", "cls", "train", uncertain="ignore")[row]["labels"], known)
    ones = [0, NAN, 1, 1, NAN, NAN, 1, NAN, 1, NAN, 1, NAN, NAN, NAN]
    assert same(read("chexpert", "cls", "train", uncertain="one")[row]["labels"], ones)
    zeros = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert same(read("chexpert", "cls", "train", uncertain="zero", blank="zero")[row]["labels"], zeros)
    soft = read("chexpert", "cls", "train")[row]["labels"]
    drawn = [soft[k] for k in (3, 6, 8)]
    assert all(0.55 <= value <= 0.85 for value in drawn) and len(set(drawn)) == 3
    assert same(read("chexpert", "cls", "train")[row]["labels"], soft)


def test_chexpert_no_finding_settles_findings_but_not_devices(read):
    records = read("chexpert", "cls", "train")
    assert records["patient00001/study1/view1_frontal.jpg"]["labels"] == [1.0] + 12 * [0.0] + [1.0]
    assert same(records["patient00005/study1/view1_frontal.jpg"]["labels"], [1.0] + 12 * [0.0] + [NAN])
    # Devices are no finding: they do not make "No Finding" 0.
    assert math.isnan(records["patient00002/study2/view1_frontal.jpg"]["labels"][0])


def test_chexpert_views_and_splits(read):
    assert "patient00002/study1/view2_lateral.jpg" in read("chexpert", "cls", "train")
    assert "patient00002/study1/view2_lateral.jpg" not in read("chexpert", "cls", "train", views="frontal")
    assert set(read("chexpert", "cls", "test", splits="three")) == set(read("chexpert", "cls", "val"))
    train, val = (read("chexpert", "cls", split, splits="three") for split in ("train", "val"))
    assert {item["patient_id"] for item in train.values()}.isdisjoint(item["patient_id"] for item in val.values())
    assert set(train) | set(val) == set(read("chexpert", "cls", "train"))


def test_nih_labels_and_boxes(read):
    train, val, test = (read("nih_cxr14", "cls", split) for split in ("train", "val", "test"))
    assert set(test) == {"00000006_000.png", "00000006_001.png", "00000007_000.png"}
    both = train | val
    assert [k for k, v in enumerate(both["00000004_000.png"]["labels"]) if v] == [4, 5, 12]
    assert sum(both["00000002_000.png"]["labels"]) == 0
    boxes = read("nih_cxr14", "box", "test")
    assert set(boxes) == {"00000006_000.png", "00000006_001.png"}  # not looked at is not empty
    first, second = boxes["00000006_001.png"]["annotations"]
    assert first["category_id"] == 3 and second["bbox"] == [100.5, 600.25, 200.125, 150.5]  # Infiltrate: Infiltration
    with pytest.raises(DataError, match="official test list; DATASETS.OPTIONS.nih_cxr14.boxes drawn"):
        read("nih_cxr14", "box", "train")


def test_rsna_classes_boxes_and_patients(read):
    splits = [read("rsna_pneumonia", "box", split) for split in ("train", "val", "test")]
    patients = [{item["patient_id"] for item in split.values()} for split in splits]
    assert sum(map(len, splits)) == 24 and sum(map(len, patients)) == len(set().union(*patients)) == 12
    every = splits[0] | splits[1] | splits[2]
    name = "00000003-14fd-4e49-80ba-63a80b6bddd6"
    assert [entry["bbox"] for entry in every[name]["annotations"]] == [[264, 152, 213, 379], [562, 152, 256, 453]]
    assert every[name]["same_image"] == ("nih_cxr14", "00000101_001.png")
    assert every[name.replace("3-", "4-", 1)]["annotations"] == []
    labels = read("rsna_pneumonia", "cls", "train")
    assert set(labels) == set(splits[0])
    assert all(sum(item["labels"]) == 1 for item in labels.values())


def test_chestx_det_parallel_arrays(read):
    every = read("chestx_det", "box", "train") | read("chestx_det", "box", "val")
    assert every["36199.png"]["annotations"] == []
    assert [entry["bbox"] for entry in every["36204.png"]["annotations"]] == [[400, 500, 300, 220], [233, 666, 25, 27]]
    masks = read("chestx_det", "mask", "test")["39524.png"]["annotations"]
    assert masks[0]["category_id"] == 4 and len(masks[0]["segmentation"][0]) == 8
