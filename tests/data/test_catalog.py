"""Registration in Detectron2's catalogs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from fx_d2.config import get_fx_cfg, unit_metadata
from fx_d2.data import catalog, labels
from fx_d2.data.catalog import clear_datasets, register_datasets
from fx_d2.data.errors import DataError
from fx_d2.schedule import Unit

YAML = """
datasets:
  {name}:
    images: images
    splits: {{train: 0.5, test: 0.5}}
    tasks:
      cls: {{file: labels.csv, classes: [{classes}]}}
"""


@pytest.fixture(autouse=True)
def own_catalog(monkeypatch):
    """Each test starts with nothing registered, and what was there before comes back."""
    before = dict(catalog._registered)
    clear_datasets()
    yield
    clear_datasets()
    for record in before.values():
        catalog._add(record)


def write(folder: Path, name: str = "toy", classes: str = "A, B") -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for image in ("x.png", "y.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "images" / image)
    (folder / "labels.csv").write_text("image,A,B\nx,1,0\ny,0,1\n")
    (folder / "my.yaml").write_text(YAML.format(name=name, classes=classes))
    return folder / "my.yaml"


def test_built_in_table():
    records = register_datasets()
    units = [f"{name}/{task}" for name, record in records.items() for task in record.tasks]
    cycle = get_fx_cfg()
    cycle.merge_from_file(str(Path(__file__).parents[2] / "configs" / "foundation_x_swin_b.yaml"))
    assert set(cycle.FX.CYCLE.UNITS) <= set(units) and len(cycle.FX.CYCLE.UNITS) == 20
    classes = {name: len(record.tasks["cls"].classes) for name, record in records.items() if "cls" in record.tasks}
    assert classes["chexpert"] == classes["nih_cxr14"] == classes["mimic_cxr"] == 14
    assert (classes["vindr_cxr"], classes["rsna_pneumonia"], classes["chestx_det"]) == (6, 3, 13)
    meta = MetadataCatalog.get("rsna_pneumonia_cls_test")
    assert meta.exclusive and meta.thing_classes == ["Normal", "No Lung Opacity / Not Normal", "Lung Opacity"]
    assert meta.unit == "rsna_pneumonia/cls" and meta.splits == ["train", "val", "test"] and meta.flip
    assert records["chestx_det"].tasks["mask"].classes == labels.CHESTX_DET


def test_a_yaml_is_registered_and_read(tmp_path):
    records = register_datasets([write(tmp_path)])
    assert "toy" in records and "chexpert" in records
    both = DatasetCatalog.get("toy_cls_train") + DatasetCatalog.get("toy_cls_test")
    assert sorted((item["image_id"], *item["labels"]) for item in both) == [("x.png", 1.0, 0.0), ("y.png", 0.0, 1.0)]
    meta = unit_metadata(Unit("toy", "cls"))
    assert (meta.thing_classes, meta.exclusive, meta.lateral_pairs, meta.flip) == (["A", "B"], False, [], True)
    assert meta.source == str(tmp_path / "my.yaml")


def test_registering_again_changes_nothing_and_order_does_not_matter(tmp_path):
    path = write(tmp_path)
    record = register_datasets([path, path])["toy"]
    assert register_datasets([path])["toy"] is record
    assert register_datasets()["toy"] is record
    clear_datasets()
    register_datasets()
    other = write(tmp_path / "other", "second")
    assert set(register_datasets([other, path])) == set(register_datasets([path, other]))


def test_a_changed_file_takes_the_place_of_the_old(tmp_path):
    path = write(tmp_path)
    register_datasets([path])
    write(tmp_path, classes="B")
    register_datasets([path])
    assert MetadataCatalog.get("toy_cls_train").thing_classes == ["B"]
    register_datasets([path])
    (tmp_path / "labels.csv").write_text("image,A,B\nx,1,0\nz,0,1\n")  # an annotation file counts as well
    register_datasets([path])
    with pytest.raises(DataError, match="no image 'z'"):
        DatasetCatalog.get("toy_cls_train")


def test_two_declarations_of_one_name(tmp_path):
    first, second = write(tmp_path / "one"), write(tmp_path / "two")
    pattern = r"'toy' is declared twice, in .*my\.yaml and in .*my\.yaml"
    with pytest.raises(DataError, match=pattern):
        register_datasets([first, second])
    assert not DatasetCatalog.list() or "toy_cls_train" not in DatasetCatalog.list()  # all or none
    register_datasets([first])
    with pytest.raises(DataError, match=pattern):
        register_datasets([second])
    first.unlink()
    assert register_datasets([second])["toy"].source == str(second)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_yaml_takes_the_place_of_a_built_in_entry(tmp_path, earlier):
    if earlier:
        register_datasets()
    register_datasets([write(tmp_path, "node21")])
    register_datasets()
    assert MetadataCatalog.get("node21_cls_train").thing_classes == ["A", "B"]
    assert "node21_box_train" not in DatasetCatalog.list() and "node21_cls_val" not in DatasetCatalog.list()


def test_where_yaml_files_are_looked_for(tmp_path, monkeypatch):
    write(tmp_path / "root")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "root"))
    assert register_datasets(["my.yaml"])["toy"].source == str(tmp_path / "root" / "my.yaml")
    write(tmp_path / "cwd", "near")
    assert "near" in register_datasets(["my.yaml"])
    with pytest.raises(DataError, match=r"'none\.yaml' \(key DATASETS\.FILES\) is not there; looked for .*cwd.*root"):
        register_datasets(["none.yaml"])


def test_a_name_that_other_code_registered(tmp_path):
    DatasetCatalog.register("toy_cls_train", list)
    try:
        with pytest.raises(DataError, match="toy_cls_train .*registered in DatasetCatalog by other code"):
            register_datasets([write(tmp_path)])
    finally:
        DatasetCatalog.pop("toy_cls_train", None)
