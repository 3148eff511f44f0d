"""Splits: patients stay together, the draw repeats, shares are met."""

from __future__ import annotations

import csv
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.readers.image_index import ImageIndex
from fx_d2.data.splits import group_by_patient, read_patients, split_by_fraction, split_by_lists

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def cohort(patients: int, seed: int) -> dict[str, str]:
    """Patient by image, one to six images each."""
    rng = np.random.default_rng(seed)
    return {f"p{p}_{i}.png": f"p{p}" for p in range(patients) for i in range(rng.integers(1, 7))}


@pytest.fixture
def index(tmp_path) -> ImageIndex:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abcdef":
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / f"{name}.png")
    return ImageIndex(folder)


@pytest.mark.parametrize("seed", range(5))
def test_patients_stay_together_and_shares_are_met(seed):
    patients = cohort(200, seed)
    splits = split_by_fraction(list(patients), patients, SHARES, seed)
    assert set(splits) == set(patients)
    homes = {(patients[image], split) for image, split in splits.items()}
    assert len(homes) == 200
    sizes = Counter(splits.values())
    for split, share in SHARES.items():
        assert abs(sizes[split] - share * len(patients)) <= 6  # the images of one patient


def test_the_draw_depends_on_the_seed_and_not_on_the_order():
    patients = cohort(60, 0)
    images = list(patients)
    expected = split_by_fraction(images, patients, SHARES, 3)
    random.Random(0).shuffle(images)
    assert split_by_fraction(images, dict(reversed(patients.items())), SHARES, 3) == expected
    assert split_by_fraction(images, patients, SHARES, 4) != expected


def test_ten_single_images_split_seven_one_two():
    images = [f"{n}.png" for n in range(10)]
    assert Counter(split_by_fraction(images, {}, SHARES, 0).values()) == {"train": 7, "val": 1, "test": 2}


def test_an_image_without_patient_is_its_own_even_if_a_patient_bears_its_name():
    groups = group_by_patient(["a.png", "b.png", "c.png"], {"b.png": "a.png", "c.png": "a.png"})
    assert sorted(map(sorted, groups.values())) == [["a.png"], ["b.png", "c.png"]]


def write(path: Path, rows) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_patients_table(tmp_path, index, caplog):
    caplog.set_level("INFO")
    rows = [["img", "who"], ["a.png", "1"], ["b", "1"], ["c.png", ""], ["elsewhere.png", "9"]]
    patients = read_patients(write(tmp_path / "p.csv", rows), "img", "who", index)
    assert patients == {"a.png": "1", "b.png": "1"}
    assert "p.csv: 1 row for images that are not below" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["img", "who"], ["a.png", "1"], ["a.png", "2"]], r"p\.csv, line 3.*two patients, '1' and '2'"),
        ([["img", "whom"], ["a.png", "1"]], r"no column 'who' \(key patients.patient\); did you mean 'whom'"),
        ([["img", "who"], ["z.png", "1"]], "no row gives a patient"),
    ],
)
def test_mistakes_in_the_patients_table(tmp_path, index, rows, message):
    with pytest.raises(DataError, match=message):
        read_patients(write(tmp_path / "p.csv", rows), "img", "who", index)


def lists(tmp_path: Path, **content: str) -> dict[str, Path]:
    files = {}
    for split, text in content.items():
        files[split] = tmp_path / f"{split}.txt"
        files[split].write_text(text)
    return files


def test_list_files(tmp_path, index, caplog):
    caplog.set_level("INFO")
    files = lists(tmp_path, train="a.png\n\n b.png \n", test="\ufeffc.png\r\nimages/d.png")
    assert split_by_lists(files, index, {}) == {"a.png": "train", "b.png": "train", "c.png": "test", "d.png": "test"}
    assert "2 images below it in no split list" in caplog.text


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("a.png\nb.png", "c.png\nb.png", r"test\.txt: image 'b\.png' is in .*train\.txt too"),
        ("a.png", "f.png", r"patient 'p1' is in two splits: image 'a\.png' in .*train.*image 'f\.png' in .*test"),
        ("a.png\nx.png\ny.png", "c.png", r"train\.txt, line 2: no image 'x\.png' .*\(and 1 more of 3 names\)"),
        ("a.png\na.png", "c.png", r"train\.txt, line 2: .*listed before, at line 1"),
        ("", "c.png", r"train\.txt: the list is empty"),
    ],
)
def test_mistakes_in_list_files(tmp_path, index, train, test, message):
    with pytest.raises(DataError, match=message):
        split_by_lists(lists(tmp_path, train=train, test=test), index, {"a.png": "p1", "f.png": "p1"})


def test_words_for_nothing_name_no_patient(index, tmp_path):
    """Not one patient called nan, who would pull all images without a patient into one split."""
    (tmp_path / "p.csv").write_text("image,who\na.png,P1\nb.png,nan\nc.png,NA\nd.png,\n")
    assert read_patients(tmp_path / "p.csv", "image", "who", index) == {"a.png": "P1"}
