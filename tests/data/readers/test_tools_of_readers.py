"""tools/make_dataset_tree.py and tools/dev/time_readers.py."""

from __future__ import annotations

import multiprocessing
import sys

import pytest

import time_readers
from fx_d2.commands import dataset_tree as make_dataset_tree
from fx_d2.data.builtin import builtin_records
from fx_d2.phantoms.trees import TREES


def test_one_tree_is_written_and_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_dataset_tree.py", "montgomery", str(tmp_path)])
    make_dataset_tree.main()
    assert capsys.readouterr().out == f"montgomery: {tmp_path / 'MontgomerySet'}\n"
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert builtin_records({})["montgomery"].read("mask", "train")


def test_an_unknown_name_lists_the_known_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_dataset_tree.py", "montgomry", str(tmp_path)])
    with pytest.raises(SystemExit):
        make_dataset_tree.main()
    assert "montgomry" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["make_dataset_tree.py", "--help"])
    with pytest.raises(SystemExit):
        make_dataset_tree.main()
    shown = capsys.readouterr().out
    assert all(name in shown.replace("\n", " ") for name in TREES)


@pytest.mark.parametrize(("name", "train"), [("chexpert", 60), ("mimic_cxr", 60), ("nih_cxr14", 48)])
def test_made_up_tables_are_read_to_the_last_row(tmp_path, monkeypatch, name, train):
    time_readers.WRITERS[name](tmp_path, 60)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    record = builtin_records({})[name]
    splits = ("train", "val") if name == "nih_cxr14" else ("train",)
    assert sum(record.report("cls", split).used for split in splits) == train


def test_a_measurement_has_all_its_numbers(tmp_path, monkeypatch, fresh_catalog):
    if not sys.platform.startswith("linux"):
        pytest.skip("private memory is read from /proc")
    time_readers.write_nih_cxr14(tmp_path, 60)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    answers = multiprocessing.get_context("fork").Queue()
    time_readers.measure("nih_cxr14", answers)
    numbers = answers.get()
    assert len(numbers) == 7 and all(number == number for number in numbers)
