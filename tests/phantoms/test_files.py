"""The synthetic cohort on disk: the files say what was drawn, in the formats of a user's own data."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml
from pycocotools import mask as coco_mask

from fx_d2.phantoms import DATASETS, draw, write_cohort
from fx_d2.phantoms.cohort import split_sizes
from fx_d2.phantoms.files import Entry, label_cells, listed

# pycocotools decodes through an interface that NumPy 2 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES = {"train": 8, "val": 2, "test": 3}
TOTAL = sum(IMAGES.values())
ENTRY = Entry("a.png", "P0", (0, 0), 64, 64, "F", 50, "PA", frozenset({"Nodule"}), ())


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("root"), images=IMAGES, size=128)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def where(dataset, image):
    """(patient, number) that a file name stands for."""
    if dataset == "phantom_ward":
        return int(image[7:12]), int(image.split("study")[1][:-4]) - 1
    return int(image[:5]), int(image[6:-4])


def test_yaml_names_files_that_are_there(cohort):
    declared = yaml.safe_load(cohort.read_text())["datasets"]
    assert list(declared) == list(DATASETS)
    for name, dataset in declared.items():
        assert list(dataset["tasks"]) == list(DATASETS[name].tasks)
        assert len(list((cohort.parent / dataset["images"]).rglob("*.png"))) == TOTAL
        paths = [dataset["patients"]["file"]]
        for task in dataset["tasks"].values():
            paths += task.get("folders", {}).values() if "folders" in task else [task["file"]]
        if isinstance(dataset["splits"]["train"], str):
            paths += dataset["splits"].values()
        else:
            assert sum(v for k, v in dataset["splits"].items() if k != "seed") == pytest.approx(1)
        assert all((cohort.parent / path).exists() for path in paths)
    assert {isinstance(d["splits"]["train"], str) for d in declared.values()} == {True, False}


def test_labels_on_disk(cohort):
    values = set()
    for dataset, recipe in DATASETS.items():
        rows = rows_of(cohort.parent / dataset / "labels.csv")
        assert len(rows) == TOTAL
        for row in rows:
            truth = draw(dataset, *where(dataset, row["image"]), size=128).labels
            cells = {name: row[name] for name in recipe.tasks["cls"]}
            values |= set(cells.values())
            for name, cell in cells.items():
                expected = not truth if name in ("No Finding", "Normal") else name in truth
                assert cell in ("", "-1") or cell == str(int(expected))
            if recipe.exclusive:
                assert sorted(cells.values()) in (["", "", ""], ["0", "0", "1"])
    assert values >= {"1", "0", ""}


def test_unknown_and_uncertain_cells_have_their_shares():
    classes = DATASETS["phantom_screen"].tasks["cls"]
    recipe = DATASETS["phantom_screen"]
    rows = [label_cells(recipe, "phantom_screen", replace(ENTRY, index=(p, 0)), 0) for p in range(500)]
    for column, name in enumerate(classes):
        cells = [row[column] for row in rows]
        blank, uncertain = (cells.count(value) / 500 for value in ("", "-1"))
        assert blank == pytest.approx(0.08, abs=0.04) and uncertain == pytest.approx(0.03, abs=0.025)
        assert set(cells) == {"", "-1", "1" if name == "Nodule" else "0"}


def test_pictures_on_disk_are_the_drawn_ones(cohort):
    for dataset in DATASETS:
        path = sorted((cohort.parent / dataset / "images").rglob("*.png"))[-1]
        name = path.relative_to(cohort.parent / dataset / "images").as_posix()
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(stored, draw(dataset, *where(dataset, name), size=128).image)


@pytest.mark.parametrize("dataset", [d for d in DATASETS if "box" in DATASETS[d].tasks])
def test_boxes_are_tight_around_the_truth(cohort, dataset):
    content = json.loads((cohort.parent / dataset / "boxes_coco.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert tuple(names.values()) == DATASETS[dataset].tasks["box"]
    annotated = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        annotated[annotation["image_id"]].append((names[annotation["category_id"]], annotation["bbox"]))
    for image in content["images"]:
        picture = draw(dataset, *where(dataset, image["file_name"]), size=128)
        assert (image["height"], image["width"]) == picture.image.shape
        expected = []
        for name, mask in picture.instances:
            if name in names.values():
                rows, columns = np.nonzero(mask)
                box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
                expected.append((name, [float(v) for v in box]))
        assert annotated[image["id"]] == expected


def test_run_length_masks_are_the_truth(cohort):
    content = json.loads((cohort.parent / "phantom_heart" / "masks_coco.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    assert len(content["annotations"]) == 3 * len(files)
    for annotation in content["annotations"]:
        picture = draw("phantom_heart", *where("phantom_heart", files[annotation["image_id"]]), size=128)
        stored = coco_mask.decode(annotation["segmentation"]).astype(bool)
        assert np.array_equal(stored, picture.mask(names[annotation["category_id"]]))
        assert annotation["area"] == stored.sum()


def test_mask_pictures_are_the_truth_and_negatives_are_empty(cohort):
    empty = set()
    for name in DATASETS["phantom_emergency"].tasks["mask"]:
        paths = sorted((cohort.parent / "phantom_emergency" / "masks" / name).glob("*_mask.png"))
        assert len(paths) == TOTAL
        for path in paths:
            stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            key = where("phantom_emergency", path.name.replace("_mask", ""))
            assert np.array_equal(stored == 255, draw("phantom_emergency", *key, size=128).mask(name))
            assert set(np.unique(stored)) <= {0, 255}
            empty.add(not stored.any())
    assert empty == {True, False}


def test_lists_keep_a_patient_together(cohort):
    for dataset in (d for d, recipe in DATASETS.items() if recipe.fixed_lists):
        folder = cohort.parent / dataset
        patient = {row["image"]: row["patient"] for row in rows_of(folder / "patients.csv")}
        lists = {split: (folder / "lists" / f"{split}.txt").read_text().split() for split in IMAGES}
        assert sorted(name for names in lists.values() for name in names) == sorted(patient)
        owners = [{patient[name] for name in names} for names in lists.values()]
        assert all(owners) and sum(map(len, owners)) == len(set.union(*owners))


def test_some_images_are_unknown_for_a_task():
    entries = [replace(ENTRY, index=(patient, 0)) for patient in range(500)]
    assert len(listed(DATASETS["phantom_ward"], "phantom_ward", "box", entries, 0)) / 500 == pytest.approx(
        0.85, abs=0.05
    )
    assert listed(DATASETS["phantom_heart"], "phantom_heart", "box", entries, 0) == entries


def test_complete_cohort_is_kept_and_an_interrupted_one_redone(tmp_path):
    images = {"train": 1, "val": 1, "test": 1}
    path = write_cohort(tmp_path, images=images, size=64)
    sample = min((path.parent / "phantom_ward" / "images").rglob("*.png"))
    sample.write_bytes(b"touched")
    assert write_cohort(tmp_path, images=images, size=64) == path
    assert sample.read_bytes() == b"touched"
    (path.parent / "manifest.json").unlink()
    write_cohort(tmp_path, images=images, size=64)
    first = sample.read_bytes()
    assert first != b"touched"
    write_cohort(tmp_path, seed=1, images=images, size=64)
    again = min((path.parent / "phantom_ward" / "images").rglob("*.png"))
    assert again.read_bytes() != first


def test_several_processes_write_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr("fx_d2.phantoms.cohort._SERIAL", 0)
    images = {"train": 1, "val": 1, "test": 1}
    paths = [write_cohort(tmp_path / str(n), images=images, size=64, workers=n).parent for n in (1, 2)]
    files = [{p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()} for root in paths]
    assert files[0] == files[1]


def test_split_sizes():
    assert split_sizes(640) == {"train": 480, "val": 40, "test": 120}
    assert split_sizes(12) == {"train": 9, "val": 1, "test": 2}
    for wrong in (2, {"train": 5}, {"train": 5, "val": 0, "test": 1}):
        with pytest.raises(ValueError, match="train, val and test"):
            split_sizes(wrong)


def test_wrong_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="multiple of 8"):
        write_cohort(tmp_path, size=100)
