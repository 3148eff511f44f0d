"""Boxes that globox exports as YOLO and as Pascal VOC are those of the COCO file that they are from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.data.user_datasets import load_user_datasets

globox = pytest.importorskip("globox", reason="globox is not installed (extra dev)")

SIZES = {"a.png": (60, 100), "b.png": (77, 41), "c.png": (512, 640)}  # height, width
CLASSES = ["Mass", "Nodule", "Effusion"]


@pytest.fixture
def root(tmp_path):
    """A COCO file of random boxes, some at the border, none on c.png; and its exports."""
    rng = np.random.default_rng(3)
    (tmp_path / "images").mkdir()
    images, boxes = [], []
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        Image.fromarray(np.zeros((height, width), np.uint8)).save(tmp_path / "images" / name)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for _ in range(0 if name == "c.png" else 9):
            (x0, x1), (y0, y1) = (np.sort(rng.uniform(0, side, 2)).tolist() for side in (width, height))
            boxes.append({"image_id": number, "bbox": [x0, y0, x1 - x0, y1 - y0], "category_id": int(rng.integers(3))})
    boxes.append({"image_id": 0, "bbox": [0, 0, 100, 60], "category_id": 2})
    annotations = [{"id": number, "iscrowd": 0, "area": 1, **box} for number, box in enumerate(boxes)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES)]
    (tmp_path / "coco.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    exported = globox.AnnotationSet.from_coco(tmp_path / "coco.json")
    exported.save_yolo_darknet(tmp_path / "labels", label_to_id={name: n for n, name in enumerate(CLASSES)})
    exported.save_pascal_voc(tmp_path / "xml")
    (tmp_path / "labels" / "classes.txt").write_text("\n".join(CLASSES))
    return tmp_path


def read(root, task: dict) -> dict:
    declared = {"images": "images", "splits": {"train": 1.0}, "tasks": {"box": task}}
    (root / "my.yaml").write_text(yaml.safe_dump({"datasets": {"toy": declared}}))
    record = load_user_datasets(root / "my.yaml")["toy"]
    assert record.tasks["box"].classes == tuple(task["classes"])
    return {item["image_id"]: item for item in record.read("box", "train")}


@pytest.mark.parametrize("form", ["yolo", "voc"])
@pytest.mark.parametrize("classes", [CLASSES, ["Effusion", "Mass"]])
def test_an_export_gives_the_boxes_of_the_coco_file(root, form, classes):
    expected = read(root, {"file": "coco.json", "classes": classes})
    found = read(root, {form: "labels" if form == "yolo" else "xml", "classes": classes})
    assert set(found) == set(expected) == set(SIZES) and found["c.png"]["annotations"] == []
    assert sum(len(item["annotations"]) for item in expected.values()) > 9
    for image_id, item in expected.items():
        own = found[image_id]["annotations"]
        assert len(own) == len(item["annotations"])
        for one, other in zip(own, item["annotations"], strict=True):
            assert one.pop("bbox") == pytest.approx(other.pop("bbox"), abs=1e-9)
            assert one == other
        assert {**found[image_id], "annotations": 0} == {**item, "annotations": 0}
