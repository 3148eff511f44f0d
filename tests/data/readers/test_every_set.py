"""What holds for every built-in set, on fake trees in the published layout."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fx_d2.config import get_fx_cfg
from fx_d2.config.dataset_options import DATASET_OPTIONS
from fx_d2.data.builtin import DATASETS, builtin_records
from fx_d2.data.catalog import register_datasets
from fx_d2.data.errors import DataError
from fx_d2.data.mapper import UnitMapper
from fx_d2.phantoms.trees import TREES
from fx_d2.schedule import Unit

NAMES = [entry.name for entry in DATASETS]
# Every boxed image is in the official test list.
EMPTY = {("nih_cxr14", "box", "train"), ("nih_cxr14", "box", "val")}


def test_sets_options_and_trees_are_the_same_names():
    assert set(NAMES) == set(DATASET_OPTIONS) == set(TREES)
    assert len(NAMES) == 15
    named = {overlap.dataset for entry in DATASETS for overlap in entry.overlaps}
    assert named <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_image_is_used_once_and_patients_stay_together(record, name):
    one = record(name)
    for task, details in one.tasks.items():
        seen, homes = Counter(), {}
        for split in one.splits:
            if (name, task, split) in EMPTY:
                continue
            records = one.read(task, split)
            report = one.report(task, split)
            assert report.used == report.found == len(records) > 0
            seen.update(item["file_name"] for item in records)
            for item in records:
                assert item["unit"] == f"{name}/{task}"
                if "patient_id" in item:
                    assert homes.setdefault(item["patient_id"], split) == split
                if task == "cls":
                    assert len(item["labels"]) == len(details.classes)
                else:
                    assert {"height", "width", "annotations"} <= set(item)
                    numbers = {entry["category_id"] for entry in item["annotations"]}
                    assert numbers <= set(range(len(details.classes)))
        assert max(seen.values()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_mapper_takes_every_kind_of_record(trees, record, fresh_catalog, monkeypatch, name):
    cfg = get_fx_cfg()
    register_datasets()
    one = record(name)
    for task in one.tasks:
        mapper = UnitMapper(cfg, Unit(name, task), True)
        split = next(split for split in ("train", "test") if (name, task, split) not in EMPTY)
        item = one.read(task, split)[0]
        output = mapper(item, np.random.default_rng(0))
        assert output["image"].shape == (1, 224, 224) and output["height"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_reading_again_gives_the_same(record, name):
    def content():
        one = record(name)
        task = next(iter(one.tasks))
        return repr([one.read(task, split) for split in one.splits])

    assert content() == content()


@pytest.mark.parametrize("name", NAMES)
def test_a_set_that_is_not_there(tmp_path, monkeypatch, name):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    one = builtin_records({})[name]
    with pytest.raises(DataError, match=r"no folder whose name begins with .*DATASETS\.OPTIONS\.\w+\.root"):
        one.read(next(iter(one.tasks)), "train")


def test_options_are_checked():
    with pytest.raises(DataError, match=r"DATASETS\.OPTIONS: no built-in dataset 'chexprt'; did you mean 'chexpert'\?"):
        builtin_records({"chexprt": {}})
    with pytest.raises(DataError, match=r"DATASETS\.OPTIONS\.chexpert\.uncertan: .*did you mean 'uncertain'\?"):
        builtin_records({"chexpert": {"uncertan": "one"}})
    with pytest.raises(DataError, match=r"chexpert\.uncertain: 'ones'; did you mean 'one'\?"):
        builtin_records({"chexpert": {"uncertain": "ones"}})
    with pytest.raises(DataError, match=r"chexmask_vindr\.quality: 'good'; a number"):
        builtin_records({"chexmask_vindr": {"quality": "good"}})


def test_the_configuration_refuses_a_misspelt_option():
    for pair in (["DATASETS.OPTIONS.chexpert.uncertan", "one"], ["DATASETS.OPTIONS.chexprt.uncertain", "one"]):
        with pytest.raises(ValueError, match="did you mean"):
            get_fx_cfg().merge_from_list(pair)


def test_registering_opens_nothing(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError(f"asked the disk for {arguments}")

    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    assert len(builtin_records({})) == 15


def test_options_reach_the_readers_through_the_configuration(trees, fresh_catalog, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(trees))
    cfg = get_fx_cfg()
    cfg.merge_from_list(["DATASETS.OPTIONS.chexpert.views", "frontal"])
    first = register_datasets((), cfg.DATASETS.OPTIONS)["chexpert"]
    assert register_datasets()["chexpert"] is first  # who says nothing changes nothing
    assert not any("lateral" in item["image_id"] for item in first.read("cls", "train"))
    second = register_datasets((), get_fx_cfg().DATASETS.OPTIONS)["chexpert"]
    assert any("lateral" in item["image_id"] for item in second.read("cls", "train"))
