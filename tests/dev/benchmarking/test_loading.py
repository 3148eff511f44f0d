"""Made-up radiographs are like the published ones; what a table says is what its work took."""

import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from benchmarking import loading
from benchmarking.options import Options
from benchmarking.radiographs import FORMS, make_records
from fx_d2.data.images import read_header
from fx_d2.data.masks import decode_masks
from fx_d2.schedule import Unit
from tests.tiny import tiny_config

UNITS = ["tbx11k/cls", "tbx11k/box", "candid_ptx/mask"]
OPTIONS = Options(batch=2, repeats=1)


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "IMAGES", 2)
    return tiny_config(tmp_path, tmp_path, **{"DATASETS.FILES": [], "FX.CYCLE.UNITS": UNITS})


@pytest.mark.parametrize(
    ("dataset", "kind"), [("tbx11k", "png"), ("chexpert", "jpeg"), ("node21", "metaimage"), ("siim_acr", "dicom")]
)
def test_files_are_of_the_published_format_and_size(dataset, kind, tmp_path):
    [record] = make_records(Unit(dataset, "cls"), 3, tmp_path, 1)
    header, form = read_header(record["file_name"]), FORMS[dataset]
    assert (header.kind, header.height, header.width) == (kind, form.height, form.width)
    assert (record["height"], record["width"], record["labels"]) == (form.height, form.width, [1.0, 0.0, 0.0])


@pytest.mark.parametrize(("dataset", "classes", "regions"), [("candid_ptx", 1, 2), ("chestx_det", 13, 31)])
def test_regions_are_as_many_as_published_and_ellipses(dataset, classes, regions, tmp_path):
    """A sixth of 12 images; 12 x 7905 / 3025 = 31.4. An ellipse fills pi / 4 of its box."""
    records = make_records(Unit(dataset, "mask"), classes, tmp_path, 12)
    found = [annotation for record in records for annotation in record["annotations"]]
    assert len(found) == regions and max(annotation["category_id"] for annotation in found) == classes - 1
    record = next(record for record in records if record["annotations"])
    record = {**record, "annotations": record["annotations"][:1]}
    box = record["annotations"][0]
    mask = decode_masks(record, classes)[box["category_id"]]
    assert mask.sum() == pytest.approx(math.pi / 4 * box["bbox"][2] * box["bbox"][3], rel=0.01)
    hull = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask)))
    assert np.abs(hull - box["bbox"]).max() <= 2


def test_a_dataset_without_a_form_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"FX\.CYCLE\.UNITS: no form of jsrt"):
        make_records(Unit("jsrt", "cls"), 1, tmp_path, 1)


def test_a_cycle_weighs_units_by_their_images(cfg):
    rows = {row["case"]: row for row in loading.unit_rows(cfg, OPTIONS)}
    # TBX11K has 6,600 training images, and boxes have half a pass more; CANDID-PTX 0.7 of 19,237.
    images = {unit: rows[unit]["images a cycle"] for unit in UNITS}
    assert images == {UNITS[0]: 6600, UNITS[1]: 9900, UNITS[2]: 13466 + 6733}
    cycle = rows["a cycle"]
    assert cycle["images a cycle"] == sum(images.values()) == 36699
    for case in ("cached", "decoded"):
        assert cycle[case] == pytest.approx(sum(rows[unit][case] * n for unit, n in images.items()) / 36699)
        assert rows["cores for 2000 images/s"][case] == pytest.approx(2 * cycle[case])
    assert cycle["images/s"] == pytest.approx(1000 / cycle["cached"])


def test_stages_are_parts_of_the_whole(cfg):
    rows = loading.stage_rows(cfg, OPTIONS)
    assert [row["unit"] for row in rows] == UNITS
    for row in rows:
        assert row["read"] + row["view"] + row["light"] + row["truth"] == pytest.approx(row["all"])
        assert min(row[key] for key in ("read", "view", "light", "all", "all and packed")) > 0


def test_a_worker_is_measured_for_each_task_and_split(cfg):
    rows = loading.worker_rows(cfg, OPTIONS, batches=3)
    assert [row["case"] for row in rows] == [f"{unit} {split}" for unit in UNITS for split in ("training", "test")]
    assert all(row["images/s"] > 0 and row["worker ms"] > 0 for row in rows)
