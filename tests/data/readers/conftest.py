"""Fake trees of all published datasets, written once, and how the tests read them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fx_d2.data.builtin import builtin_records
from fx_d2.phantoms.trees import TREES, write_tree


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A data root with all sets, and the folder of each; read-only for the tests."""
    root = tmp_path_factory.mktemp("published")
    # VinDr-CXR comes with the masks that are about it.
    found = {name: write_tree(name, root) for name in TREES if name != "vindr_cxr"}
    return root, found | {"vindr_cxr": root / "physionet.org" / "files" / "vindr-cxr" / "1.0.0"}


@pytest.fixture(scope="session")
def trees(folders):
    """A data root with all sets; read-only for the tests."""
    return folders[0]


@pytest.fixture
def record(trees, monkeypatch):
    """``record(dataset, **options)`` gives the record of a set that nobody has read yet."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(trees))
    return record_for


@pytest.fixture
def read(record):
    """``read(dataset, task, split, **options)`` gives the dicts by image id."""

    def call(name, task, split, **options):
        return {item["image_id"]: item for item in record(name, **options).read(task, split)}

    return call


@pytest.fixture
def alone(folders, tmp_path, monkeypatch):
    """``alone(dataset)`` copies the tree of one set for a test to damage, and gives its folder and record."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    root, found = folders

    def call(name, **options):
        for each in ("vindr_cxr", name) if name == "chexmask_vindr" else (name,):
            copy = tmp_path / found[each].relative_to(root)
            shutil.copytree(found[each], copy, copy_function=_copy)
        return copy, record_for(name, **options)

    return call


@pytest.fixture
def record_of():
    """``record_of(dataset, **options)`` gives a record for the data root that another fixture has set."""
    return record_for


def record_for(name, **options):
    return builtin_records({name: options})[name]


def _copy(source: str, target: str) -> None:
    """Pictures are large and no test writes into one: a second name for the file does."""
    text = Path(source).suffix in (".csv", ".txt", ".json", ".gz", ".TXT")
    (shutil.copy if text else os.link)(source, target)
