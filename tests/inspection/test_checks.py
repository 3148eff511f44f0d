"""Every mistake in dataset dicts is named with file and image; counts and areas by hand."""

import math

import numpy as np
import pytest
from detectron2.structures import BoxMode

from fx_d2.inspection.checks import TaskCheck
from fx_d2.inspection.problems import problem_of
from fx_d2.inspection.statistics import area_statistics, is_normal_class, label_counts, mask_share
from fx_d2.inspection.survey import TaskData

NAN = math.nan


def record(image_id="a", **fields):
    return {"file_name": f"/d/{image_id}.png", "image_id": image_id, "height": 10, "width": 20, **fields}


def box(*corners, category=0):
    return {"bbox": list(corners), "bbox_mode": BoxMode.XYXY_ABS, "category_id": category}


def mask(segmentation, category=0):
    return {"segmentation": segmentation, "category_id": category}


def check(task, *records, classes=("A", "B"), exclusive=False, sizes=None, mask_areas=None):
    data = TaskData(classes, exclusive, list(records))
    return TaskCheck("ward", task, "train", data, sizes or {}, mask_areas or {})


def test_label_counts_by_hand():
    labels = np.array([[1, 0, NAN], [0.6, 0, NAN], [1, 1, NAN]])
    assert label_counts(labels, ("A", "B", "C")) == {
        "A": {"1": 2, "0": 0, "unknown": 0, "soft": 1},
        "B": {"1": 1, "0": 2, "unknown": 0, "soft": 0},
        "C": {"1": 0, "0": 0, "unknown": 3, "soft": 0},
    }


@pytest.mark.parametrize(
    ("name", "normal"),
    [("No Finding", True), ("no_finding", True), ("Normal", True), ("No Lung Opacity / Not Normal", False)],
)
def test_classes_that_mean_normal(name, normal):
    assert is_normal_class(name) == normal


def test_normal_images_by_labels():
    rows = [record(str(n), labels=labels) for n, labels in enumerate([[0, 0], [1, 0], [0, NAN], [0, 1]])]
    assert check("cls", *rows).normals == 1
    # With a class that says so, only it counts: three of the images have no 1 there.
    assert check("cls", *rows, classes=("A", "No Finding")).normals == 1
    assert check("cls", *rows, classes=("No Finding", "B")).normals == 1


def test_box_areas_by_hand():
    found = check(
        "box",
        record("a", annotations=[box(0, 0, 10, 10), box(0, 0, 20, 10)]),
        record("b", annotations=[box(5, 5, 9, 10), box(1, 1, 2, 3, category=1)]),
        record("c", annotations=[]),
    )
    assert found.normals == 1 and not found.problems
    assert area_statistics(found.shares, ("A", "B")) == {
        "A": {"annotations": 3, "images": 2, "share": {"min": 0.1, "median": 0.5, "max": 1.0}, "measured": 3},
        "B": {"annotations": 1, "images": 1, "share": {"min": 0.01, "median": 0.01, "max": 0.01}, "measured": 1},
    }


def test_mask_areas_by_hand():
    # 3 rows of 4: the first column twice over (6 pixels), as run lengths down the columns.
    assert mask_share({"size": [3, 4], "counts": [0, 6, 6]}, (3, 4)) == 0.5
    assert mask_share({"size": [3, 4], "counts": [0, 6, 6]}, None) == 0.5
    assert mask_share([[0, 0, 2, 0, 2, 3, 0, 3]], (3, 4)) == 0.5
    assert mask_share([[0, 0, 2, 0, 2, 3, 0, 3]], None) is None
    found = check(
        "mask",
        record("a", annotations=[mask({"png": "/m/a.png"}), mask({"png": "/m/0.png"}, 1)], unknown_classes=[]),
        record("b", annotations=[mask({"png": "/m/0.png"}), mask({"png": "/m/0.png"}, 1)], unknown_classes=[]),
        record("c", annotations=[mask({"png": "/m/0.png"})], unknown_classes=[1]),
        record("d", annotations=[mask({"png": "/m/unread.png"})], unknown_classes=[]),
        mask_areas={"/m/a.png": (10, 20, 50), "/m/0.png": (10, 20, 0)},
    )
    assert found.normals == 1  # b: both classes known, both masks empty
    facts = area_statistics(found.shares, ("A", "B"))
    assert facts["A"] == {
        "annotations": 2,
        "images": 2,
        "share": {"min": 0.25, "median": 0.25, "max": 0.25},
        "measured": 1,
    }
    assert facts["B"]["annotations"] == 0 and facts["B"]["share"] is None


def test_a_size_that_the_record_lacks_comes_from_the_file():
    entry = {"file_name": "/d/a.dcm", "image_id": "a", "annotations": [box(0, 0, 5, 5)]}
    assert check("box", entry).shares == {0: [("a", None)]}
    assert check("box", entry, sizes={"/d/a.dcm": (10, 10)}).shares == {0: [("a", 0.25)]}


WRONG = {
    "labels short": ("cls", {"labels": [1]}, "1 labels for 2 classes"),
    "label beyond": ("cls", {"labels": [0, -1]}, "label -1 of 'B' is neither in 0..1 nor unknown"),
    "label infinite": ("cls", {"labels": [math.inf, 0]}, "label inf of 'A'"),
    "box NaN": ("box", {"annotations": [box(0, 0, NAN, 5)]}, "is not four finite numbers"),
    "box short": ("box", {"annotations": [box(0, 0, 5)]}, "is not four finite numbers"),
    "box empty": ("box", {"annotations": [box(5, 5, 5, 9)]}, "box (5, 5, 5, 9) has no area"),
    "box outside": ("box", {"annotations": [box(0, 0, 22, 5)]}, "reaches beyond the image of 20 x 10 pixels"),
    "box class": ("box", {"annotations": [box(0, 0, 5, 5, category=2)]}, "category_id 2 is not in 0..1"),
    "box without mode": ("box", {"annotations": [{"bbox": [0, 0, 1, 1], "category_id": 0}]}, "'bbox_mode' is missing"),
    "runs beyond": ("mask", {"annotations": [mask({"size": [10, 20], "counts": [0, 500]})]}, "cover 500 pixels"),
    "runs of another size": ("mask", {"annotations": [mask({"size": [5, 5], "counts": [25]})]}, "is not the image's"),
    "polygon of a point": ("mask", {"annotations": [mask([[1, 1]])]}, "at least three points"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named_with_file_and_image(case):
    task, fields, message = WRONG[case]
    problems = check(task, record("good", **_good(task)), record("bad", **fields)).problems
    assert len(problems) == 1, problems
    assert problems[0].file == "/d/bad.png" and problems[0].row.startswith("image 'bad'")
    assert message in problems[0].message
    assert problems[0].line().startswith(f"ward/{task} train: /d/bad.png, image 'bad'")


def _good(task):
    return {"labels": [1, 0]} if task == "cls" else {"annotations": []}


def test_exclusive_labels_add_up_to_one():
    rows = [record(str(n), labels=labels) for n, labels in enumerate([[1, 0], [1, 1], [NAN, NAN], [0, 0]])]
    problems = check("cls", *rows, exclusive=True).problems
    assert [(problem.file, problem.message.split(", ")[0]) for problem in problems] == [
        ("/d/1.png", "the labels of exclusive classes add up to 2"),
        ("/d/3.png", "the labels of exclusive classes add up to 0"),
    ]


def test_an_image_that_is_listed_twice():
    problems = check("cls", record("a", labels=[1, 0]), record("b", labels=[1, 0]), record("a", labels=[0, 0])).problems
    assert [(problem.row, problem.message) for problem in problems] == [
        ("image 'a'", "the image is listed 2 times; keep one row")
    ]


@pytest.mark.parametrize(
    ("message", "file", "row", "rest"),
    [
        ("/d/l.csv, line 7, column 'A': label 'x'; write 1", "/d/l.csv", "line 7, column 'A'", "label 'x'; write 1"),
        ("/d/c.json: annotation 12: no segmentation", "/d/c.json", "annotation 12", "no segmentation"),
        ("/d/c.json: not a COCO file", "/d/c.json", "", "not a COCO file"),
        ("patient 'P' is in two splits: keep one", "", "", "patient 'P' is in two splits: keep one"),
    ],
)
def test_file_and_row_of_a_reader_s_message(message, file, row, rest):
    problem = problem_of(ValueError(message), "ward", "cls")
    assert (problem.file, problem.row, problem.message) == (file, row, rest)
