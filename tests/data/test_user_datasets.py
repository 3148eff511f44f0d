"""A dataset declared in YAML: what comes out of the whole chain, and every mistake in the file."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.user_datasets import load_user_datasets
from tests.real_data import REAL

SHARED = REAL / "shared_part"
NAMES = [f"{letter}.png" for letter in "abcdefghij"]


@pytest.fixture
def declared(tmp_path) -> dict:
    """Ten images of five patients, labels for eight, boxes for six, masks for four; the declaration as a dict."""
    folder = tmp_path / "toy"
    for number, name in enumerate(NAMES):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 40), number, np.uint8)).save(folder / "images" / name)
    write_csv(folder / "patients.csv", [["file", "who"], *([name, n // 2] for n, name in enumerate(NAMES))])
    write_csv(folder / "labels.csv", [["image", "A", "B"], *([name, 1, -1] for name in NAMES[:8])])
    images = [{"id": n, "file_name": name, "width": 40, "height": 30} for n, name in enumerate(NAMES[:6])]
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}
    categories = [{"id": 1, "name": "Left Lung"}, {"id": 2, "name": "Right Lung"}]
    text = json.dumps({"images": images, "annotations": [box], "categories": categories})
    (folder / "boxes.json").write_text(text)
    (folder / "heart").mkdir()
    for name in NAMES[:4]:
        Image.fromarray(np.full((30, 40), 255, np.uint8)).save(folder / "heart" / name)
    return {
        "images": "toy/images",
        "patients": {"file": "toy/patients.csv", "image": "file", "patient": "who"},
        "splits": {"train": 0.6, "test": 0.4, "seed": 1},
        "tasks": {
            "cls": {"file": "toy/labels.csv", "uncertain": 0.4},
            "box": {"file": "toy/boxes.json"},
            "mask": {"folders": {"Heart": "toy/heart"}},
        },
        "notes": "invented",
    }


def write_csv(path: Path, rows) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def load(tmp_path: Path, declared: dict, name: str = "toy"):
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"datasets": {name: declared}}, sort_keys=False))
    return load_user_datasets(tmp_path / "my.yaml")[name]


def test_the_record(tmp_path, declared):
    record = load(tmp_path, declared)
    assert list(record.tasks) == ["cls", "box", "mask"] and record.splits == ("train", "test")
    assert record.tasks["cls"].classes == ("A", "B") and not record.tasks["cls"].exclusive
    assert record.tasks["box"].lateral_pairs == (("Left Lung", "Right Lung"),) and record.tasks["box"].flip
    assert record.tasks["mask"].classes == ("Heart",)
    assert record.source == str(tmp_path / "my.yaml") and record.notes == "invented"


def test_the_dicts(tmp_path, declared):
    record = load(tmp_path, declared)
    counts = {"cls": 8, "box": 6, "mask": 4}
    homes: dict[str, str] = {}
    for task, expected in counts.items():
        found = {split: record.read(task, split) for split in record.splits}
        assert sum(map(len, found.values())) == expected  # an image without annotation of the task is not listed
        for split, dicts in found.items():
            assert dicts == sorted(dicts, key=lambda item: item["image_id"])
            for item in dicts:
                assert homes.setdefault(item["image_id"], split) == split  # one split for all tasks
                assert (item["height"], item["width"], item["unit"]) == (30, 40, f"toy/{task}")
                assert Path(item["file_name"]) == tmp_path / "toy" / "images" / item["image_id"]
    for first, second in zip(NAMES[::2], NAMES[1::2], strict=True):
        assert homes.get(second, homes.get(first)) == homes.get(first)  # the patient's two images stay together
    labels = [item["labels"] for split in record.splits for item in record.read("cls", split)]
    assert labels == [[1.0, 0.4]] * 8
    boxes = {i["image_id"]: i["annotations"] for split in record.splits for i in record.read("box", split)}
    assert [len(boxes[name]) for name in NAMES[:6]] == [1, 0, 0, 0, 0, 0]


def test_options_of_a_coco_file(tmp_path, declared):
    path = tmp_path / "toy" / "boxes.json"
    content = json.loads(path.read_text())
    corners = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [20, 10, 30, 30], "segmentation": [[1, 1, 9, 1, 9, 9]]}
    content["annotations"] = [corners, {**corners, "id": 2, "segmentation": []}]
    path.write_text(json.dumps(content))
    declared["tasks"]["box"]["bbox"] = "xyxy"
    declared["tasks"]["mask"] = {"file": "toy/boxes.json", "empty_masks": "drop"}
    record = load(tmp_path, declared)
    (split,) = [split for split in record.splits if any(item["annotations"] for item in record.read("box", split))]
    annotated = {task: record.read(task, split)[0]["annotations"] for task in ("box", "mask")}
    assert [item["bbox"] for item in annotated["box"]] == [[20, 10, 10, 20]] * 2 and len(annotated["mask"]) == 1
    ((reason, event),) = record.report("mask", split).events.items()
    assert "empty segmentation" in reason and event.times == 1


def test_files_are_read_once_and_the_lists_are_the_callers_own(tmp_path, declared, monkeypatch):
    record = load(tmp_path, declared)
    first = record.read("box", "train")
    first[0]["image_id"] = "changed"
    first.clear()
    (tmp_path / "toy" / "boxes.json").unlink()
    assert record.read("box", "train")[0]["image_id"] != "changed"


def test_nothing_but_class_names_is_read_at_once(tmp_path, declared):
    (tmp_path / "toy" / "labels.csv").write_text("image,A\nnowhere.png,1\n")
    record = load(tmp_path, declared)
    with pytest.raises(DataError, match=r"labels\.csv, line 2: no image 'nowhere\.png'"):
        record.read("cls", "train")


@pytest.mark.parametrize(
    ("policy", "expected"), [("ignore", math.nan), ("zero", 0.0), ("one", 1.0), (0.25, 0.25), (1, 1.0)]
)
def test_uncertain_policies(tmp_path, declared, policy, expected):
    declared["tasks"]["cls"]["uncertain"] = policy
    labels = load(tmp_path, declared).read("cls", "train")[0]["labels"]
    assert labels == pytest.approx([1.0, expected], nan_ok=True)


def test_masks_with_soft_edges_are_counted_and_grey_pictures_refused(tmp_path, declared):
    heart = tmp_path / "toy" / "heart"
    soft = np.zeros((30, 40), np.uint8)
    soft[5:15, 10:30], soft[4, 10:30] = 250, 60  # 200 pixels and a faint row
    for name in ("b.png", "c.png"):
        Image.fromarray(soft).save(heart / name)
    record = load(tmp_path, declared)
    record.read("mask", "train")
    event = record.report("mask", "train").events["masks of more than two levels cut at half"]
    assert (event.times, event.first) == (2, str(heart / "b.png"))
    for name in ("b.png", "d.png"):
        Image.fromarray(np.tile(np.arange(0, 240, 6, dtype=np.uint8), (30, 1))).save(heart / name)
    with pytest.raises(DataError, match=r"b\.png: 40 levels from 0 to 234.*\(2 masks of 4 cannot be used\)"):
        load(tmp_path, declared).read("mask", "train")


def test_list_files_as_splits(tmp_path, declared):
    (tmp_path / "train.txt").write_text("\n".join(NAMES[:4]))
    (tmp_path / "test.txt").write_text("\n".join(NAMES[8:]))
    declared["splits"] = {"train": "train.txt", "test": "test.txt"}
    record = load(tmp_path, declared)
    assert [item["image_id"] for item in record.read("cls", "train")] == NAMES[:4]
    with pytest.raises(DataError, match=r"toy: split 'test' is empty for task cls: none of its 4 annotated images"):
        record.read("cls", "test")
    with pytest.raises(DataError, match="no split 'tset'; did you mean 'test'"):
        record.read("cls", "tset")
    (tmp_path / "test.txt").write_text("d.png\nj.png")
    with pytest.raises(DataError, match=r"image 'd\.png' is in .*train\.txt too"):
        load(tmp_path, declared).read("cls", "train")


def test_a_split_without_image_is_an_error(tmp_path, declared):
    declared["splits"] = {"train": 0.98, "test": 0.02}
    with pytest.raises(DataError, match=r"my\.yaml: datasets\.toy\.splits: split 'test' is empty \(10 images of 5"):
        load(tmp_path, declared).read("cls", "train")


def test_sides(tmp_path, declared):
    box = declared["tasks"]["box"]
    box["classes"] = ["Right Lung"]
    with pytest.raises(
        DataError, match=r"tasks\.box\.lateral_pairs: class 'Right Lung' names a side but has no partner"
    ):
        load(tmp_path, declared)
    box["lateral_pairs"] = []
    assert not load(tmp_path, declared).tasks["box"].flip
    box.update(classes=["Right Lung", "Left Lung"], lateral_pairs=[["Right Lung", "Left Lung"]])
    assert load(tmp_path, declared).tasks["box"].lateral_pairs == (("Right Lung", "Left Lung"),)


DELETE = object()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("images", "toy/pictures", r"datasets\.toy\.images: no such folder: .*pictures"),
        ("images", DELETE, r"datasets\.toy: key 'images' is missing"),
        ("images", "toy/../../etc", r"datasets\.toy\.images: 'toy/\.\./\.\./etc' leads out of the folder of this file"),
        ("tasks.cls.file", "../labels.csv", r"'\.\./labels\.csv' leads out of the folder .*; write an absolute path"),
        ("splits", DELETE, r"datasets\.toy: key 'splits' is missing"),
        ("split", {}, r"datasets\.toy: unknown key 'split'; did you mean 'splits'"),
        ("tasks", {}, r"datasets\.toy\.tasks: a mapping with keys such as cls, box, mask"),
        ("tasks.seg", {}, r"unknown key 'seg'"),
        ("tasks.cls", None, r"datasets\.toy\.tasks\.cls: a mapping"),
        ("tasks.cls.file", "toy/label.csv", r"tasks\.cls\.file: no such file: .*label\.csv"),
        ("tasks.cls.clases", ["A"], r"tasks\.cls: unknown key 'clases'; did you mean 'classes'"),
        ("tasks.cls.classes", ["A", "A"], r"tasks\.cls\.classes: 'A' is named twice"),
        ("tasks.cls.classes", ["A", False], r"tasks\.cls\.classes: False is not text; put it in quotes"),
        ("tasks.cls.classes", "A", r"tasks\.cls\.classes: a list of names"),
        ("tasks.cls.exclusive", "yes", r"tasks\.cls\.exclusive: true or false is needed, not 'yes'"),
        ("tasks.cls.exclusive", True, r"tasks\.cls\.uncertain: .*ignore only"),
        ("tasks.cls.uncertain", "maybe", r"tasks\.cls\.uncertain: ignore, zero, one or a number .* not 'maybe'"),
        ("tasks.cls.uncertain", 2, "not 2"),
        ("tasks.cls.image", "picture", r"labels\.csv: no column 'picture' \(key image\)"),
        ("tasks.box.exclusive", True, r"tasks\.box: unknown key 'exclusive'"),
        ("tasks.box.file", DELETE, r"tasks\.box: a mapping with keys such as file"),
        ("tasks.box.lateral_pairs", [["Left Lung"]], r"lateral_pairs: \['Left Lung'\] is not a pair"),
        (
            "tasks.box.lateral_pairs",
            [["Left Lung", "Right Long"]],
            r"unknown class 'Right Long'; did you mean 'Right L",
        ),
        ("tasks.box.bbox", "corners", r"tasks\.box\.bbox: xywh or xyxy is needed, not 'corners'"),
        ("tasks.mask.empty_masks", "drop", r"tasks\.mask\.empty_masks: goes with file; in a folder"),
        (
            "tasks.mask",
            {"file": "toy/boxes.json", "empty_masks": True},
            r"empty_masks: refuse or drop is needed, not T",
        ),
        ("tasks.mask.file", "toy/boxes.json", r"tasks\.mask\.file: give file or folders, not both"),
        ("tasks.mask.folders.Heart", "toy/hart", r"tasks\.mask\.folders\.Heart: no such folder"),
        ("tasks.mask.classes", ["Hart"], r"no folder for 'Hart'; did you mean 'Heart'"),
        ("patients.patient", DELETE, r"datasets\.toy\.patients: key 'patient' is missing"),
        ("patients.patient", "whom", r"patients\.csv: no column 'whom' \(key patients\.patient\); did you mean 'who'"),
        ("splits.train", 0.5, r"datasets\.toy\.splits: the shares add up to 0\.9, not 1"),
        ("splits.train", 0, r"splits\.train: a share above 0"),
        ("splits.train", "train.txt", r"splits\.test: a share above 0 .*or a list file for every split|splits\.train"),
        ("splits.seed", -1, r"splits\.seed: a whole number"),
        ("splits.my_split", 0.1, "letters and digits only"),
    ],
)
def test_mistakes(tmp_path, declared, path, value, message):
    place = declared
    *sections, last = path.split(".")
    for section in sections:
        place = place[section]
    if value is DELETE:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(DataError, match=message):
        load(tmp_path, declared).read("cls", "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets:\n  a: [1\n", r"my\.yaml, line 3: not valid YAML"),
        ("datasets:\n  a: {images: x}\n  a: {images: y}\n", r"my\.yaml, line 3: key 'a' is written twice"),
        ("dataset: {}\n", r"my\.yaml: unknown key 'dataset'; did you mean 'datasets'"),
        ("", r"my\.yaml: a mapping"),
        ("datasets: {a/b: {images: x, splits: y, tasks: z}}", "letters, digits, _ and - only"),
        ("datasets: {a.b: {images: x, splits: y, tasks: z}}", "letters, digits, _ and - only"),
        ("datasets: {1: {images: x}}", "key 1 is not text"),
    ],
)
def test_mistakes_in_the_yaml_itself(tmp_path, text, message):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        load_user_datasets(tmp_path / "my.yaml")


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared real radiographs are not there")
def test_real_radiographs(tmp_path):
    def section(name: str, patients: dict, tasks: dict) -> dict:
        for task in tasks.values():
            task["file"] = str(SHARED / name / task["file"])
        patients["file"] = str(SHARED / name / patients["file"])
        return {"images": str(SHARED / name / "images"), "patients": patients, "splits": {"train": 0.7, "test": 0.3},
                "tasks": tasks}  # fmt: skip

    covid = section(
        "covid_cxr",
        {"file": "metadata.csv", "image": "filename", "patient": "patientid"},
        {
            "cls": {"file": "labels.csv", "image": "file", "classes": ["covid19", "bacterial"]},
            "box": {"file": "annotations/lung_boxes_coco.json"},
            "mask": {"file": "annotations/lungs_v7_coco.json", "classes": ["Lung"]},
        },
    )
    nih = section(
        "nih_cxr14",
        {"file": "Data_Entry_2017_v2020.csv", "image": "Image Index", "patient": "Patient ID"},
        {"cls": {"file": "labels.csv", "image": "file"}, "box": {"file": "annotations/boxes_coco.json"}},
    )
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"datasets": {"covid": covid, "nih": nih}}))
    records = load_user_datasets(tmp_path / "my.yaml")
    # Counts of the collection's own README.
    expected = {
        ("covid", "cls"): 88,
        ("covid", "box"): 26,
        ("covid", "mask"): 61,
        ("nih", "cls"): 66,
        ("nih", "box"): 22,
    }
    dicts = {
        (name, task): [item for split in record.splits for item in record.read(task, split)]
        for name, record in records.items()
        for task in record.tasks
    }
    assert {key: len(value) for key, value in dicts.items()} == expected
    positives = np.array([item["labels"] for item in dicts["covid", "cls"]]).sum(axis=0)
    assert positives.tolist() == [61, 9]
    assert records["covid"].tasks["box"].lateral_pairs == (("Left Lung", "Right Lung"),)
    assert len(records["nih"].tasks["cls"].classes) == 15
    annotations = {key: sum(len(item.get("annotations", ())) for item in value) for key, value in dicts.items()}
    assert (annotations["covid", "box"], annotations["covid", "mask"], annotations["nih", "box"]) == (52, 122, 25)
    with (SHARED / "covid_cxr" / "metadata.csv").open(newline="") as stream:
        patients = {row["filename"]: row["patientid"] for row in csv.DictReader(stream)}
    split_of = {item["image_id"]: split for split in ("train", "test") for item in records["covid"].read("cls", split)}
    for patient in set(patients.values()):
        assert len({split_of[name] for name in split_of if patients[name] == patient}) == 1
