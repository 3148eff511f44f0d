"""Readers of annotation files: what they give, what they count, and how they name each mistake."""

from __future__ import annotations

import copy
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image
from pycocotools import mask as coco_mask

from fx_d2.data.errors import DataError
from fx_d2.data.laterality import derive_pairs, unpaired
from fx_d2.data.readers.coco import CocoFile
from fx_d2.data.readers.csv_labels import CsvLabels
from fx_d2.data.readers.image_index import ImageIndex
from fx_d2.data.readers.mask_folder import MaskFolders

NAN = math.nan


def draw(path: Path, height: int = 10, width: int = 20, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), value, np.uint8)).save(path)


@pytest.fixture
def index(tmp_path) -> ImageIndex:
    """a.png, b.JPG, one/c.png, two/c.png, two/1.2.jpeg; all 10 high, 20 wide."""
    for name in ("a.png", "b.JPG", "one/c.png", "two/c.png", "two/1.2.jpeg"):
        draw(tmp_path / "images" / name)
    draw(tmp_path / "images" / ".hidden.png")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return ImageIndex(tmp_path / "images")


# ---- image names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.png", ["a.png"]),
        ("one/c.png", ["one/c.png"]),
        ("./one\\c.png", ["one/c.png"]),
        ("somewhere/else/a.png", ["a.png"]),
        ("data/one/c.png", ["one/c.png"]),
        ("1.2.jpeg", ["two/1.2.jpeg"]),
        ("1.2", ["two/1.2.jpeg"]),
        ("b", ["b.JPG"]),
        ("c.png", ["one/c.png", "two/c.png"]),
        ("c", ["one/c.png", "two/c.png"]),
        ("one/1.2.jpeg", []),  # another folder's file of the same name is not it
        ("A.PNG", ["a.png"]),
        ("ONE/C.png", ["one/c.png"]),
        ("B.jpg", ["b.JPG"]),
        ("B", ["b.JPG"]),
        ("C.png", ["one/c.png", "two/c.png"]),
        ("ONE/1.2.jpeg", []),
        ("a.jpg", []),
        ("", []),
    ],
)
def test_names_find_images(index, name, found):
    assert index.match(name) == found


def test_ambiguous_name_and_missing_images(index, tmp_path):
    with pytest.raises(DataError, match=r"t\.csv, line 2.*'c\.png' fits 2 files.*one/c\.png, two/c\.png"):
        index.resolve([("c.png", "line 2")], Path("t.csv"))
    with pytest.raises(DataError, match=r"t\.csv, line 3: no image 'a\.jpg'.*1 more of 3 names.*nearest.*'a\.png'"):
        index.resolve([("b.JPG", "line 2"), ("a.jpg", "line 3"), ("zz.png", "line 4")], Path("t.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no image in this folder or below it: it holds no file at all"):
        ImageIndex(tmp_path / "empty")


def test_names_that_differ_in_case_are_matched_and_said(index, tmp_path, caplog):
    caplog.set_level("INFO")
    found = index.resolve([("A.png", "line 2"), ("b.jpg", "line 3"), ("one/c.png", "line 4")], Path("t.csv"))
    assert found == ["a.png", "b.JPG", "one/c.png"]
    assert "t.csv: 2 image names matched without regard to upper and lower case (first: A.png is the file a.png)" in (
        caplog.text
    )
    with pytest.raises(DataError, match=r"line 3: image 'A\.PNG' is listed before, at line 2"):
        index.resolve([("a.png", "line 2"), ("A.PNG", "line 3")], Path("t.csv"))
    with pytest.raises(DataError, match=r"line 2: image name 'C\.png' fits 2 files"):
        index.resolve([("C.png", "line 2")], Path("t.csv"))
    with pytest.raises(DataError, match=r"line 2: no image 'AA\.PNG'.*the nearest name there is 'a\.png'"):
        index.resolve([("AA.PNG", "line 2")], Path("t.csv"))
    draw(tmp_path / "images" / "A.png")
    both = ImageIndex(tmp_path / "images")
    assert both.match("A.png") == ["A.png"] and both.match("a.png") == ["a.png"]  # as it is written, where that fits
    assert both.match("A.PNG") == ["A.png", "a.png"]


def test_an_unreadable_image_is_named(index, tmp_path):
    (tmp_path / "images" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png: the image file is empty"):
        index.read_sizes(["b.JPG", "a.png"])


# ---- labels -----------------------------------------------------------------------------------------------------


def labels(tmp_path: Path, text: str, **keys) -> CsvLabels:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return CsvLabels(path, **keys)


def test_label_values(tmp_path, index, caplog):
    caplog.set_level("INFO")
    text = "\ufeffimage, Mass ,Edema\na,1,0.0\nb,-1,\n\none/c, ,\ntwo/c.png,0,-1.0\n"
    read = labels(tmp_path, text).read(index)
    assert set(read) == {"a.png", "two/c.png"} and read["a.png"]["labels"] == [1.0, 0.0]
    assert read["two/c.png"]["labels"] == pytest.approx([0.0, NAN], nan_ok=True)
    assert (
        "2 rows without any known label left out" in caplog.text
        and "2 uncertain labels (-1) taken as unknown" in caplog.text
    )
    read = labels(tmp_path, text, selected=("Edema", "Mass"), uncertain=0.6).read(index)
    assert read["b.JPG"]["labels"] == pytest.approx([NAN, 0.6], nan_ok=True)
    assert read["two/c.png"]["labels"] == [0.6, 0.0]
    assert "one/c.png" not in read


def test_classes_are_the_columns_that_hold_labels_only(tmp_path, caplog):
    caplog.set_level("INFO")
    reader = labels(tmp_path, "image,age,A,sex,B,empty,C\na,1,1,,,,-1\nb,61,0,M,0,NA,\n")
    assert reader.classes == ("A", "B", "C")
    others = "age ('61' in line 3), sex ('M' in line 3), empty (blank in every row)"
    assert f"classes taken from the header: A, B, C; other columns: {others}" in caplog.text
    many = [f"text{number}" for number in range(40)]
    assert labels(tmp_path, f"image,A,{','.join(many)}\na,1{',x' * 40}\n").classes == ("A",)
    assert all(f"{name} ('x' in line 2)" in caplog.text for name in many)


@pytest.mark.parametrize("blank", ["", "nan", "NaN", "NA", "n/a", "<NA>", "NULL", "None"])
def test_words_for_nothing_are_blanks_and_no_reason_against_a_class(tmp_path, index, blank):
    read = labels(tmp_path, f"image,A,B\na,{blank},1\nb,1,0\n")
    assert read.classes == ("A", "B")
    found = read.read(index)
    assert found["a.png"]["labels"] == pytest.approx([NAN, 1.0], nan_ok=True) and found["b.JPG"]["labels"] == [1.0, 0.0]


@pytest.mark.parametrize(("present", "absent"), [("True", "False"), ("yes", "NO"), ("1.0", "0.0"), ("TRUE", "false")])
def test_words_for_present_and_absent(tmp_path, index, present, absent):
    reader = labels(tmp_path, f"image,A,B\na,{present},{absent}\nb,{absent},{present}\n")
    assert reader.classes == ("A", "B")
    assert [value["labels"] for value in reader.read(index).values()] == [[1.0, 0.0], [0.0, 1.0]]


def test_a_table_without_a_label_column_says_why(tmp_path):
    reader = labels(tmp_path, "image,Finding Labels,sure\na,Mass|Nodule,yes\nb,Mass,maybe\n")
    reasons = r"Finding Labels \('Mass\|Nodule' in line 2\), sure \('maybe' in line 3\)"
    with pytest.raises(DataError, match=rf"labels\.csv: no column holds only labels .*{reasons}; name the columns"):
        _ = reader.classes


def test_a_compressed_table(tmp_path, index):
    path = tmp_path / "labels.csv.gz"
    with gzip.open(path, "wt") as stream:
        stream.write("image,A\na,1\n")
    assert CsvLabels(path).read(index) == {"a.png": {"labels": [1.0]}}


def test_exclusive_labels(tmp_path, index):
    read = labels(tmp_path, "image,N,P\na,1,0\nb,,1\none/c,,\ntwo/c,-1,0\n", exclusive=True).read(index)
    assert {key: value["labels"] for key, value in read.items()} == {"a.png": [1.0, 0.0], "b.JPG": [0.0, 1.0]}
    for row, ones in (("1,1", 2), ("0,0", 0)):
        with pytest.raises(DataError, match=rf"labels\.csv, line 3: {ones} of the exclusive classes N, P are 1"):
            labels(tmp_path, f"image,N,P\na,1,0\nb,{row}\n", exclusive=True).read(index)


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("image,A\na,2\n", {"selected": ("A",)}, r"line 2, column 'A': label '2'"),
        ("image,A\na,maybe\n", {"selected": ("A",)}, r"line 2, column 'A': label 'maybe'"),
        ("image,A\na,inf\n", {"selected": ("A",)}, r"label 'inf'"),
        ("image,A\na,1\nb,0\na.png,1\n", {}, r"line 4: image 'a\.png' is listed before, at line 2"),
        ("image,Mass\na,1\n", {"selected": ("mas",)}, r"no column 'mas' \(key classes\); did you mean 'Mass'"),
        ("file,A\na,1\n", {}, r"no column 'image' \(key image\)"),
        ("image,A,A\na,1,0\n", {"selected": ("A",)}, "names column 'A' 2 times"),
        ("image,A\na,1\nx9,1\n", {}, r"line 3: no image 'x9'"),
        ("image,A\na\n", {}, r"line 2: 1 fields, but the header names 2"),
        ("image,A\na,1,0\n", {}, r"line 2: 3 fields"),
        ("image,A\na,\n", {"selected": ("A",)}, "no row has a known label"),
        ("image,note\na,x\n", {}, "no column holds only labels"),
        ("image,A\n", {}, "no row below"),
        ("", {}, "empty"),
    ],
)
def test_mistakes_in_labels(tmp_path, index, text, keys, message):
    with pytest.raises(DataError, match=rf"labels\.csv.*{message}"):
        labels(tmp_path, text, **keys).read(index)


# ---- COCO -------------------------------------------------------------------------------------------------------

COCO = {
    "images": [
        {"id": 7, "file_name": "a.png", "width": 20, "height": 10},
        {"id": "x", "file_name": "images/b.JPG"},
        {"id": 9, "file_name": "1.2.jpeg", "width": 20, "height": 10},
    ],
    "categories": [{"id": 5, "name": "Right Lung"}, {"id": 2, "name": "Left Lung"}, {"id": 3, "name": "Heart"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 5, "bbox": [1, 2, 3.5, 4], "iscrowd": 1},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [-2, 8, 30, 5]},
        {"id": 3, "image_id": "x", "category_id": 3, "bbox": [20, 0, 5, 5]},
        {"id": 4, "image_id": "x", "category_id": 3, "bbox": [2, 2, 0, 5]},
    ],
}


def coco(tmp_path: Path, content=None, task: str = "box", selected=None) -> CocoFile:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(COCO if content is None else content))
    return CocoFile(path, task, selected)


def test_boxes_are_clipped_dropped_and_counted(tmp_path, index, caplog):
    reader = coco(tmp_path)
    assert reader.classes == ("Left Lung", "Heart", "Right Lung")  # ascending ids
    read = reader.read(index)
    assert read == {
        "a.png": {
            "annotations": [
                {"bbox": [1.0, 2.0, 3.5, 4.0], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 2, "iscrowd": 1},
                {"bbox": [0.0, 8.0, 20.0, 2.0], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0},
            ]
        },
        "b.JPG": {"annotations": []},
        "two/1.2.jpeg": {"annotations": []},  # listed without annotations: a negative
    }
    assert f"1 boxes clipped to the image (first: {reader.path}: annotation 2)" in caplog.text
    assert f"2 boxes outside the image or without an area left out (first: {reader.path}: annotation 3)" in caplog.text


def test_selected_categories_set_the_order_and_the_rest_is_counted(tmp_path, index, caplog):
    caplog.set_level("INFO")
    read = coco(tmp_path, selected=("Heart", "Right Lung")).read(index)
    assert [a["category_id"] for a in read["a.png"]["annotations"]] == [1]
    assert "1 annotation of categories that are not among the classes Heart, Right Lung" in caplog.text


def test_masks_keep_their_segmentation_run_lengths_as_text(tmp_path, index):
    content = copy.deepcopy(COCO)
    segmentations = [
        [[1, 1, 5, 1, 5, 5]],
        {"size": [10, 20], "counts": [199, 1]},
        {"size": [10, 20], "counts": [0, 200]},
    ]
    content["annotations"] = content["annotations"][:3]
    for annotation, segmentation in zip(content["annotations"], segmentations, strict=True):
        annotation["segmentation"] = segmentation
    read = coco(tmp_path, content, "mask").read(index)
    polygons, runs = (a["segmentation"] for a in read["a.png"]["annotations"])
    assert polygons == segmentations[0]
    assert coco_mask.decode(runs).nonzero() == ([9], [19])  # the last pixel
    (whole,) = read["b.JPG"]["annotations"]
    assert coco_mask.decode(whole["segmentation"]).all() and whole["bbox"] == [0, 0, 20, 10]
    assert (whole["category_id"], whole["iscrowd"], read["b.JPG"]["unknown_classes"]) == (1, 0, [])


@pytest.mark.parametrize(
    ("segmentation", "kept"),
    [
        ({"size": [10, 20], "counts": [200]}, None),
        ([[30, 1, 40, 1, 40, 9]], None),
        ([[-9, 1, -2, 1, -2, 9]], None),
        ([[1, 1, 3, 3, 5, 5]], None),
        ([[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]], None),
        ([[1, 1, 5, 1, 5, 5], [30, 1, 40, 1, 40, 9]], [[1, 1, 5, 1, 5, 5]]),
    ],
)
def test_masks_that_mark_nothing_are_named_and_counted(tmp_path, index, caplog, segmentation, kept):
    content = copy.deepcopy(COCO)
    content["annotations"] = [{"id": 8, "image_id": 7, "category_id": 5, "segmentation": segmentation}]
    reader = coco(tmp_path, content, "mask")
    found = reader.read(index)["a.png"]["annotations"]
    assert [annotation["segmentation"] for annotation in found] == ([kept] if kept else [])
    ((reason, event),) = reader.events.items()
    assert reason.startswith("masks of which a polygon" if kept else "masks that mark no pixel")
    assert (event.times, event.first) == (1, f"{reader.path}: annotation 8") and event.first in caplog.text


def change(path: str, value):
    """Sets one value of a copy of COCO, ``annotations.0.bbox``; DELETE takes it out."""
    content = copy.deepcopy(COCO)
    place = content
    *folders, last = path.split(".")
    for key in folders:
        place = place[int(key) if isinstance(place, list) else key]
    if value is DELETE:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return content


DELETE = object()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("annotations.0.bbox", [1, 2, 3], r"annotation 1: bbox \[1, 2, 3\] is not four finite"),
        ("annotations.0.bbox", [1, 2, 3, float("nan")], "annotation 1: bbox"),
        ("annotations.0.bbox", [1, 2, 3, "4"], "annotation 1: bbox"),
        ("annotations.0.bbox", DELETE, "annotation 1: bbox None"),
        ("annotations.1.id", 1, "annotation 1: the id occurs twice"),
        ("annotations.1.id", DELETE, r"annotations\[1\]: id is missing"),
        ("annotations.0.category_id", 4, r"annotation 1: category_id 4 .*2 Left Lung, 3 Heart, 5 Right Lung"),
        ("annotations.0.image_id", 8, "annotation 1: image_id 8 is not among"),
        ("images.1.id", 7, "image id 7 occurs twice"),
        ("images.1.file_name", "x/a.png", r"image id 'x': image 'x/a\.png' is listed before, at image id 7"),
        ("images.1.file_name", "q.png", r"image id 'x': no image 'q\.png'"),
        ("images.0.width", 21, r"image id 7 is said to be 21 x 10 .*a\.png is 20 x 10"),
        ("images", [], "'images' is empty"),
        ("categories.1.id", 5, "occurs twice"),
        ("categories.1.name", "Heart", "'Heart' occurs twice"),
        ("categories.1.name", None, "category 2 has no name"),
        ("annotations", DELETE, "not a COCO file: the list 'annotations'"),
    ],
)
def test_mistakes_in_coco(tmp_path, index, path, value, message):
    with pytest.raises(DataError, match=rf"c\.json.*{message}"):
        coco(tmp_path, change(path, value)).read(index)


def test_more_mistakes_in_coco(tmp_path, index):
    with pytest.raises(DataError, match=r"no category 'Hart' \(key classes\); did you mean 'Heart'"):
        coco(tmp_path, selected=("Hart",)).read(index)
    with pytest.raises(DataError, match=r"annotation 1: no segmentation"):
        coco(tmp_path, task="mask").read(index)
    damaged = change("annotations.0.segmentation", {"size": [10, 20], "counts": [3]})
    damaged["annotations"] = damaged["annotations"][:1]
    with pytest.raises(DataError, match=r"c\.json: annotation 1: the run lengths cover 3 pixels"):
        coco(tmp_path, damaged, "mask").read(index)
    (tmp_path / "c.json").write_text('{"images": [],\n "categories": [}')
    with pytest.raises(DataError, match=r"c\.json, line 2, column 17: not valid JSON"):
        _ = CocoFile(tmp_path / "c.json", "box").classes


# ---- folders of masks -------------------------------------------------------------------------------------------


def test_mask_folders(tmp_path, index, caplog):
    draw(tmp_path / "heart" / "a_m.png", value=255)
    draw(tmp_path / "lung" / "a_m.PNG")
    draw(tmp_path / "lung" / "one" / "c_m.png")
    draw(tmp_path / "lung" / "stray_m.png")
    read = MaskFolders({"Lung": tmp_path / "lung", "Heart": tmp_path / "heart"}, "_m").read(index)
    common = {"iscrowd": 0, "bbox_mode": BoxMode.XYWH_ABS}
    assert read == {
        "a.png": {
            "annotations": [
                {"segmentation": {"png": str(tmp_path / "lung" / "a_m.PNG")}, "category_id": 0, **common},
                {"segmentation": {"png": str(tmp_path / "heart" / "a_m.png")}, "category_id": 1, **common},
            ],
            "unknown_classes": [],
        },
        "one/c.png": {
            "annotations": [
                {"segmentation": {"png": str(tmp_path / "lung" / "one" / "c_m.png")}, "category_id": 0, **common}
            ],
            "unknown_classes": [1],
        },
    }
    assert "lung: 1 mask without an image (first: stray_m.png)" in caplog.text


def test_mistakes_in_mask_folders(tmp_path, index):
    lung = tmp_path / "lung"
    draw(lung / "a.png", height=9)
    with pytest.raises(DataError, match=r"lung.a\.png: the mask is 20 x 9 .*a\.png 20 x 10"):
        MaskFolders({"Lung": lung}).read(index)
    with pytest.raises(DataError, match=r"no mask of class 'Lung' fits.*1 picture there.*would be a_mask\.png"):
        MaskFolders({"Lung": lung}, "_mask").read(index)
    (lung / "a.png").unlink()
    draw(lung / "c.png")
    with pytest.raises(DataError, match=r"c\.png: fits both one/c\.png and two/c\.png"):
        MaskFolders({"Lung": lung}).read(index)


# ---- sides ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "pairs", "alone"),
    [
        (["Right Lung", "Left Lung", "Heart"], (("Left Lung", "Right Lung"),), []),
        (["left_lung", "right_lung"], (("left_lung", "right_lung"),), []),
        (["leftClavicle", "rightClavicle"], (("leftClavicle", "rightClavicle"),), []),
        (["R1", "R2", "L1", "L2"], (("L1", "R1"), ("L2", "R2")), []),
        (["lung left", "LUNG RIGHT"], (("lung left", "LUNG RIGHT"),), []),
        (["Left Lung", "Right Clavicle"], (), ["Left Lung", "Right Clavicle"]),
        (["R1", "L2"], (), ["R1", "L2"]),
        (["Rib", "Lung", "bright spot", "Leftover", "Left or right effusion"], (), []),
    ],
)
def test_sides_in_class_names(classes, pairs, alone):
    assert derive_pairs(classes) == pairs
    assert unpaired(classes, pairs) == alone
