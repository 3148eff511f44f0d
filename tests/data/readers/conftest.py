"""Fake trees of all published datasets, written once, and how the tests read them."""

from __future__ import annotations

import pytest

from fx_d2.data.builtin import builtin_records
from fx_d2.data.trees import TREES, write_tree


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
    """A data root with all sets; read-only for the tests."""
    folder = tmp_path_factory.mktemp("published")
    for name in TREES:
        if name != "vindr_cxr":  # comes with chexmask_vindr
            write_tree(name, folder)
    return folder


@pytest.fixture
def record(trees, monkeypatch):
    """``record(dataset, **options)`` gives the record of a set that nobody has read yet."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(trees))
    return lambda name, **options: builtin_records({name: options})[name]


@pytest.fixture
def read(record):
    """``read(dataset, task, split, **options)`` gives the dicts by image id."""

    def call(name, task, split, **options):
        return {item["image_id"]: item for item in record(name, **options).read(task, split)}

    return call


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """``alone(dataset)`` writes the tree of one set for a test to damage, and gives its folder and record."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))

    def call(name, **options):
        return write_tree(name, tmp_path), builtin_records({name: options})[name]

    return call
