"""Findings listed in one column: the labels of ChestX-ray14's form, and every mistake by line."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.user_datasets import load_user_datasets


@pytest.fixture
def declare(tmp_path):
    """``declare([text of a.png, of b.png, ...], keys...)`` gives the record of a dataset."""

    def write(texts, **keys):
        (tmp_path / "images").mkdir(exist_ok=True)
        with (tmp_path / "f.csv").open("w", newline="") as stream:
            rows = [["Image Index", "Finding Labels"], *zip("abcdefgh", texts, strict=False)]
            csv.writer(stream).writerows(rows)
        for name, _ in rows[1:]:
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "images" / f"{name}.png")
        task = {"file": "f.csv", "image": "Image Index", "findings": "Finding Labels", **keys}
        declared = {"images": "images", "splits": {"train": 1.0}, "tasks": {"cls": task}}
        (tmp_path / "my.yaml").write_text(yaml.safe_dump({"datasets": {"toy": declared}}))
        return load_user_datasets(tmp_path / "my.yaml")["toy"]

    return write


def labels(record) -> dict[str, list[float]]:
    return {item["image_id"][0]: item["labels"] for item in record.read("cls", "train")}


TEXTS = ["Mass|Nodule", "No Finding", "", "Nodule", "Effusion | Mass|", "N/A"]


def test_listed_is_present_not_listed_absent_and_blank_unknown(declare):
    record = declare(TEXTS)
    assert record.tasks["cls"].classes == ("Effusion", "Mass", "Nodule")
    assert labels(record) == {"a": [0, 1, 1], "b": [0, 0, 0], "d": [0, 0, 1], "e": [1, 1, 0]}


def test_chosen_classes_may_have_none(declare):
    record = declare(TEXTS, classes=["No Finding", "Mass"])
    assert labels(record) == {"a": [0, 1], "b": [1, 0], "d": [0, 0], "e": [0, 1]}


@pytest.mark.parametrize(("separator", "none"), [(";", "normal"), (", ", "None"), ("/", "No Finding")])
def test_other_marks_and_words(declare, separator, none):
    record = declare([f"Mass{separator}Nodule", none, "Mass"], separator=separator, none=none)
    assert record.tasks["cls"].classes == ("Mass", "Nodule")
    assert labels(record) == {"a": [1, 1], "b": [0, 0], "c": [1, 0]}


def test_exclusive_findings(declare):
    record = declare(["normal", "COVID-19", "Pneumonia"], classes=["normal", "COVID-19", "Pneumonia"], exclusive=True)
    assert record.tasks["cls"].exclusive and labels(record) == {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1]}


@pytest.mark.parametrize(
    ("texts", "keys", "message"),
    [
        (
            ["Mass", "Mass|No Finding"],
            {},
            r"f\.csv, line 3: 'No Finding' must stand alone, .*'Mass\|No Finding'",
        ),
        (["Mass", "Nodule|mass"], {}, r"f\.csv, line 3: a finding in two ways, 'Mass' and 'mass'"),
        (["Mass", "no finding"], {}, r"line 3: a finding in two ways, 'No Finding' and 'no finding'"),
        (["Mass;Nodule", "A, B;Mass"], {}, r"has the separator '\|', and 2 have ';'; write separator: ';'"),
        (["Mass"], {"classes": ["Mas"]}, r"has the finding 'Mas' \(key classes\); did you mean 'Mass'"),
        (["No Finding", ""], {}, r"column 'Finding Labels' has no finding"),
        (["Mass"], {"findings": "Finding"}, r"no column 'Finding' \(key findings\); did you mean 'Finding Labels'"),
        (["Mass"], {"separator": " "}, r"cls\.separator: a mark such as"),
        (["Mass"], {"uncertain": "one"}, r"cls\.uncertain: goes with a column for each class"),
    ],
)
def test_mistakes(declare, texts, keys, message):
    with pytest.raises(DataError, match=message):
        declare(texts, **keys).read("cls", "train")


def test_keys_that_go_with_findings(declare, tmp_path):
    declare(["Mass"])
    for key in ("separator", "none"):
        text = (
            f"datasets: {{toy: {{images: images, splits: {{train: 1.0}}, tasks: {{cls: {{file: f.csv, {key}: a}}}}}}}}"
        )
        (tmp_path / "my.yaml").write_text(text)
        with pytest.raises(DataError, match=rf"cls\.{key}: goes with findings"):
            load_user_datasets(tmp_path / "my.yaml")
