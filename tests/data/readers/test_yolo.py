"""YOLO labels of one's own: where they lie, what a row means, and every mistake by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.user_datasets import load_user_datasets

HEIGHT, WIDTH = 50, 200


@pytest.fixture
def declare(tmp_path):
    """``declare({image: labels or None}, task...)`` writes images, labels beside them by path, and gives the record."""

    def write(files: dict, images="data/images", labels="data/labels", written="data/data.yaml", **task):
        for name, text in files.items():
            path = tmp_path / images / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(path)
            target = tmp_path / labels / Path(name).with_suffix(".txt")
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                target.write_text(text)
        if written:
            (tmp_path / written).write_text("names: [Mass, Nodule]\nnc: 2\n")
        declared = {"images": images, "splits": {"train": 1.0}, "tasks": {"box": {"yolo": labels, **task}}}
        (tmp_path / "my.yaml").write_text(yaml.safe_dump({"datasets": {"toy": declared}}))
        return load_user_datasets(tmp_path / "my.yaml")["toy"]

    return write


def boxes(record) -> dict[str, list]:
    return {
        item["image_id"]: [(a["category_id"], *a["bbox"]) for a in item["annotations"]]
        for item in record.read("box", "train")
    }


def test_rows(declare, caplog):
    """A box, a polygon by its extent, rounding clipped, an empty file as a negative, no file as unknown."""
    caplog.set_level("INFO")
    text = "1 0.5 0.5 0.2 0.4\n\n0 0.1 0.2 0.3 0.2 0.25 0.6\r\n1 0.95 0.5 0.1 1.008\n0 0.3 0.4 0 0.1\n"
    record = declare({"a.png": text, "b.png": "", "c.png": None})
    assert record.tasks["box"].classes == ("Mass", "Nodule")
    found = boxes(record)
    assert set(found) == {"a.png", "b.png"} and found["b.png"] == []
    assert [value for box in found["a.png"] for value in box] == pytest.approx(
        [1, 80, 15, 40, 20] + [0, 20, 10, 40, 20] + [1, 180, 0, 20, 50]
    )
    events = {reason: (event.times, event.first) for reason, event in record.report("box", "train").events.items()}
    path = record.read("box", "train")[0]["file_name"].replace("images", "labels").replace("png", "txt")
    assert events == {
        "boxes clipped to the image": (1, f"{path}, line 4"),
        "boxes outside the image or without an area left out": (1, f"{path}, line 5"),
    }
    assert "1 image without a label file left out (no_file: negative keeps them)" in caplog.text
    record = declare({"a.png": text, "b.png": "", "c.png": None}, no_file="negative", classes=["Nodule"])
    assert {name: len(value) for name, value in boxes(record).items()} == {"a.png": 2, "b.png": 0, "c.png": 0}
    assert "2 boxes of other classes than Nodule left out" in caplog.text


@pytest.mark.parametrize(
    ("images", "labels", "name"),
    [
        ("data/images", "data/labels", "train/a.png"),
        ("data/images/train", "data/labels/train", "a.png"),
        ("data", "data", "train/images/a.png"),  # labels in train/labels, or beside the images
    ],
)
def test_layouts(declare, tmp_path, images, labels, name):
    record = declare({name: "0 0.5 0.5 1 1"}, images, labels)
    assert boxes(record) == {name: [(0, 0, 0, WIDTH, HEIGHT)]}
    if images == labels:
        beside = tmp_path / "data" / "train" / "images" / "a.txt"
        (tmp_path / "data" / "train" / "labels").mkdir()
        beside.rename(tmp_path / "data" / "train" / "labels" / "a.txt")
        assert boxes(declare({name: None}, images, labels)) == {name: [(0, 0, 0, WIDTH, HEIGHT)]}


def test_labels_by_name_alone_fit_one_image(declare, tmp_path, caplog):
    for folder in ("one", "two"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        declare({f"{folder}/{folder}.png": None}, "images", "labels", None, classes=["Mass"])
    for name in ("one", "other", "classes", "README.dataset"):
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 1 1" if name[0] == "o" else "Mass\n")
    found = boxes(declare({}, "images", "labels", None))
    assert found == {"one/one.png": [(0, 0, 0, WIDTH, HEIGHT)]}
    assert "1 label file without an image (first: other.txt)" in caplog.text
    (tmp_path / "images" / "two" / "two.png").rename(tmp_path / "images" / "two" / "one.png")
    with pytest.raises(DataError, match=r"one\.txt: fits both one/one\.png and two/one\.png; use the subfolders"):
        boxes(declare({}, "images", "labels", None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.2 0.4\n0 0.5 0.5 0.2 0.4 0.9", r"line 2: .*a sixth number is a score"),
        ("0 0.5 0.5 0.2", r"line 1: .*4 numbers; class x y width height are 5"),
        ("0 0.1 0.2 0.3 0.2 0.25 0.6 0.7", r"line 1: .*8 numbers"),
        ("\n0 100 20 40 20", r"line 2: .*100 is not in 0\.\.1; YOLO has shares"),
        ("0 0.5 0.5 0.2 1.011", r"1\.011 is not in 0\.\.1"),
        ("0 0.5 -0.011 0.2 1", r"-0\.011 is not in 0\.\.1"),
        ("0 0.5 nan 0.2 1", r"nan is not in 0\.\.1"),
        ("0 0.5 0.5 -0.005 1", r"line 1: .*width and height are 0 or more"),
        ("Mass 0.5 0.5 0.2 1", r"line 1: .*a row is numbers"),
        ("0,0.5,0.5,0.2,1", r"line 1: .*a row is numbers"),
        ("0.5 0.5 0.5 0.2 1", r"line 1: .*the class is a whole number"),
        ("2 0.5 0.5 0.2 1", r"line 1: class 2 is not among those of .*data\.yaml \(0 Mass, 1 Nodule\)"),
    ],
)
def test_a_wrong_row(declare, text, message):
    with pytest.raises(DataError, match=rf"labels/a\.txt, {message}" if "line" in message else message):
        declare({"a.png": text}).read("box", "train")


def test_a_file_that_is_no_text_and_a_folder_without_labels(declare, tmp_path):
    declare({"a.png": ""})
    (tmp_path / "data" / "labels" / "a.txt").write_bytes(b"\xff\xfe0\0")
    with pytest.raises(DataError, match=r"a\.txt: not a text file in UTF-8"):
        declare({}).read("box", "train")
    (tmp_path / "data" / "labels" / "a.txt").unlink()
    with pytest.raises(DataError, match=r"no label file fits an image \(0 text files there; .* would be a\.txt\)"):
        declare({}, no_file="negative").read("box", "train")


@pytest.mark.parametrize(
    ("names", "content", "classes"),
    [
        ("data/data.yaml", "names: {0: A, 2: C}", ("A", "C")),
        ("data/labels/data.yaml", "train: ../train/images\nnames:\n- A\n- C\n", ("A", "C")),
        ("data/classes.txt", "A\n\nC\n", ("A", "C")),  # C is class 2: the number is that of the line
        ("classes.txt", "A\nB\n", ("A", "B")),
    ],
)
def test_where_names_are_found(declare, tmp_path, names, content, classes):
    declare({"a.png": "0 0.5 0.5 1 1"}, written=None, classes=["A"])
    (tmp_path / names).write_text(content)
    record = declare({}, written=None)
    assert record.tasks["box"].classes == classes
    assert boxes(record) == {"a.png": [(0, 0, 0, WIDTH, HEIGHT)]}


def test_a_file_of_names_may_be_named(declare, tmp_path):
    declare({"a.png": "1 0.5 0.5 1 1"})
    (tmp_path / "mine.yml").write_text("path: ..\nnames:\n  0: X\n  1: Y\n")
    declared = {"images": "data/images", "splits": {"train": 1.0}}
    declared["tasks"] = {"box": {"yolo": "data/labels", "names": "mine.yml", "classes": ["Y"]}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"datasets": {"toy": declared}}))
    assert boxes(load_user_datasets(tmp_path / "my.yaml")["toy"]) == {"a.png": [(0, 0, 0, WIDTH, HEIGHT)]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names: [A]\nkpt_shape: [17, 3]", r"data\.yaml: kpt_shape: these labels are keypoints"),
        ("names: [A, A]", r"data\.yaml: names: 'A' is named twice"),
        ("names: [no, yes]", r"class 0 is False, which is no text"),
        ("names: {a: A}", r"a class number is a whole number from 0, not 'a'"),
        ("names: A", r"names is to be a list"),
        ("names: [A, B]\nnc: 3", r"nc is 3, but there are 2 names"),
        ("names: [A", r"data\.yaml, line"),
        ("names: [B]", r"data\.yaml and classes\.txt have different names"),
        ("datasets: {}", None),  # a file of ours
    ],
)
def test_mistakes_in_names(declare, tmp_path, content, message):
    declare({"a.png": ""}, written=None, classes=["A"])
    (tmp_path / "data" / "data.yaml").write_text(content)
    (tmp_path / "data" / "classes.txt").write_text("A")
    if message:
        with pytest.raises(DataError, match=message):
            declare({}, written=None)
    else:
        assert declare({}, written=None).tasks["box"].classes == ("A",)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"classes": ["Mas"]}, r"box\.classes: no class 'Mas' in .*data\.yaml; did you mean 'Mass'"),
        ({"no_file": "drop"}, r"box\.no_file: unknown or negative is needed, not 'drop'"),
        ({"bbox": "xyxy"}, r"box\.bbox: goes with file; yolo has one form"),
        ({"file": "my.yaml"}, r"box\.file: give file or yolo, not both"),
        ({"voc": "data"}, r"box\.voc: give voc or yolo, not both"),
        ({"names": "nowhere.yaml"}, r"box\.names: no such file"),
    ],
)
def test_a_wrong_declaration(declare, task, message):
    with pytest.raises(DataError, match=message):
        declare({"a.png": ""}, **task)


def test_labels_without_any_names(declare):
    with pytest.raises(DataError, match=r"box\.classes: no data\.yaml or classes\.txt with names in .*names: FILE"):
        declare({"a.png": ""}, written=None)
