"""Readers on real files in original layouts, against tables and annotations that others made from them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from fx_d2.data.builtin import builtin_records
from fx_d2.data.images import read_image
from fx_d2.data.labels import NIH_CXR14, NIH_CXR14_BOX
from fx_d2.data.masks import decode_masks
from tests.real_data import REAL

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real radiographs are not beside this checkout")


def every(name, folder, task):
    record = builtin_records({name: {"root": str(REAL / folder)}})[name]
    return {
        item["image_id"]: item for split in record.splits if record.report(task, split).used
        for item in record.read(task, split)
    }  # fmt: skip


def test_nih_labels():
    found = every("nih_cxr14", "shared_part/nih_cxr14", "cls")
    with (REAL / "shared_part" / "nih_cxr14" / "labels.csv").open() as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    assert set(found) == set(rows) and len(found) == 66
    for name, row in rows.items():
        assert found[name]["labels"] == [float(row[finding]) for finding in NIH_CXR14]
        assert int(found[name]["patient_id"]) == int(row["patient_id"])
    record = builtin_records({"nih_cxr14": {"root": str(REAL / "shared_part/nih_cxr14")}})["nih_cxr14"]
    test = {item["image_id"] for item in record.read("cls", "test")}
    assert test == {name for name, row in rows.items() if row["split"] == "test"}


def test_nih_boxes():
    found = every("nih_cxr14", "shared_part/nih_cxr14", "box")
    coco = json.loads((REAL / "shared_part" / "nih_cxr14" / "annotations" / "boxes_coco.json").read_text())
    names = {entry["id"]: entry["file_name"].rsplit("/", 1)[-1] for entry in coco["images"]}
    classes = {entry["id"]: entry["name"].replace("Infiltrate", "Infiltration") for entry in coco["categories"]}
    told = sorted((names[a["image_id"]], classes[a["category_id"]], *a["bbox"]) for a in coco["annotations"])
    read = sorted(
        (name, NIH_CXR14_BOX[entry["category_id"]], *entry["bbox"])
        for name, item in found.items()
        for entry in item["annotations"]
    )
    assert len(read) == len(told) == 25
    for one, other in zip(read, told, strict=True):
        assert one[:2] == other[:2] and one[2:] == pytest.approx(other[2:], abs=0.01)


def test_siim_run_lengths():
    folder = REAL / "formats" / "replicas" / "siim"
    with (folder / "train-rle.csv").open() as stream:
        rows = list(csv.reader(stream))[1:]
    drawn: dict[str, np.ndarray] = {}
    for name, text in rows:
        mask, place = drawn.setdefault(name, np.zeros(1024 * 1024, bool)), 0
        words = [int(word) for word in text.split()] if text.strip() != "-1" else []
        for offset, length in zip(words[::2], words[1::2], strict=True):
            mask[place + offset : place + offset + length] = True
            place += offset + length
    found = every("siim_acr", folder, "mask")
    boxes = every("siim_acr", folder, "box")
    for name, flat in drawn.items():
        mask = flat.reshape(1024, 1024).T
        assert (decode_masks(found[name], 1)[0] == mask).all()
        assert bool(boxes[name]["annotations"]) == mask.any()
        inside = np.zeros_like(mask)
        for entry in boxes[name]["annotations"]:
            x, y, width, height = map(int, entry["bbox"])
            inside[y : y + height, x : x + width] = True
            assert mask[y : y + height, x : x + width].any()
        assert (mask & ~inside).sum() < 16 * 10  # specks have no box
    assert set(every("siim_acr", "formats/genuine/siim", "cls").popitem()[1]["labels"]) == {0.0}


def test_rsna_node21_tbx11k():
    boxes = every("rsna_pneumonia", "formats/replicas/rsna", "box")
    name = "6630a75c-ef52-ab9e-5b3b-5ce3ce327438"
    assert [entry["bbox"] for entry in boxes[name]["annotations"]] == [[601, 596, 216, 181]]
    assert read_image(boxes[name]["file_name"]).shape == (1024, 1024)
    nodule = every("node21", "formats/replicas/node21", "box")["n9001.mha"]
    assert nodule["annotations"][0]["bbox"] == [205, 562, 212, 105]
    assert read_image(nodule["file_name"]).shape == (1024, 1024)
    genuine = builtin_records({"tbx11k": {"root": str(REAL / "formats/genuine/tbx11k")}})["tbx11k"]
    found = {item["image_id"]: item for item in genuine.read("box", "train")}
    coco = json.loads((REAL / "formats/genuine/tbx11k/annotations/json/TBX11K_train.json").read_text())
    ids = {entry["file_name"]: entry["id"] for entry in coco["images"]}
    for name, item in found.items():
        told = [a["bbox"] for a in coco["annotations"] if a["image_id"] == ids[name]]
        assert [entry["bbox"] for entry in item["annotations"]] == [pytest.approx(box) for box in told]
        assert read_image(item["file_name"]).shape == (512, 512)


def test_montgomery_and_shenzhen():
    masks = every("montgomery", "formats/replicas/montgomery", "mask")
    folder = REAL / "formats" / "replicas" / "montgomery" / "MontgomerySet" / "ManualMask"
    for name, item in masks.items():
        for channel, side in zip(decode_masks(item, 2), ("leftMask", "rightMask"), strict=True):
            assert (channel == (np.asarray(Image.open(folder / side / f"{name}.png")) > 0)).all()
    assert len(masks) == 2
    found = every("shenzhen", "formats/genuine/shenzhen", "cls")  # lung masks lie beside the images
    assert len(found) == 6 and all(item["labels"] == [0.0] for item in found.values())


def test_chestx_det_annotations(tmp_path):
    source = REAL / "formats" / "genuine" / "chestx_det" / "ChestX_Det_test.json"
    entries = json.loads(source.read_text())
    (tmp_path / source.name).write_text(source.read_text())
    for entry in entries:  # the images are not here; nobody opens one of a set with a fixed frame
        (tmp_path / entry["file_name"]).touch()
    record = builtin_records({"chestx_det": {"root": str(tmp_path)}})["chestx_det"]
    boxes, masks = ({item["image_id"]: item for item in record.read(task, "test")} for task in ("box", "mask"))
    assert len(boxes) == len(entries) == 60
    for entry in entries:
        found = boxes[entry["file_name"]]["annotations"]
        corners = [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in found)]
        assert corners == [pytest.approx(box) for box in entry["boxes"]]
        for one, (x0, y0, x1, y1) in zip(masks[entry["file_name"]]["annotations"], corners, strict=True):
            points = np.reshape(one["segmentation"][0], (-1, 2))
            extent = [*points.min(axis=0), *points.max(axis=0)]
            assert extent == pytest.approx([x0, y0, x1, y1], abs=10)  # as the publisher's own pairs are
