"""Planted leaks are found, each by the way that it was planted; overlaps without a leak are told apart."""

import shutil

import cv2
import numpy as np
import pytest

from fx_d2.inspection import Options, check_data
from fx_d2.inspection.report import CLEAN, LEAKS
from fx_d2.schedule import Unit


def found(report):
    """(first, second, by, leak, number) of every overlap."""
    return [(" ".join(o.first), " ".join(o.second), o.by, o.leak, len(o.pairs)) for o in report.overlaps]


def pair(ward, film, test):
    """Two datasets of two films each; one film of the second's test split is made from one of the first's training."""
    one = ward("one").add("a", "train", film(0)).add("b", "test", film(1))
    two = ward("two").add("c", "train", film(2)).add("d", "test", test)
    return one, two


def test_a_patient_in_two_splits(ward, film, tmp_path, check, monkeypatch):
    # The reader of list files refuses this itself; a dataset that other code registered may hold it.
    from detectron2.data import DatasetCatalog

    tree = (
        ward("ward").add("a", "train", film(0), "P1").add("b", "train", film(1), "P2").add("c", "test", film(2), "P3")
    )
    check(tree)
    records = {split: DatasetCatalog.get(f"ward_cls_{split}") for split in ("train", "test")}
    records["test"] = [{**records["test"][0], "patient_id": "P2"}]
    for split in records:
        DatasetCatalog.pop(f"ward_cls_{split}")
        DatasetCatalog.register(f"ward_cls_{split}", lambda split=split: records[split])
    report = check_data([Unit("ward", "cls")], [], Options())
    assert found(report) == [("ward train", "ward test", "patient", True, 1)]
    assert (report.overlaps[0].pairs[0].first, report.overlaps[0].pairs[0].second) == ("b.png", "c.png")
    assert report.overlaps[0].pairs[0].detail == "patient P2"


def test_equal_names_of_patients_of_two_datasets_mean_nothing(ward, film, check):
    one = ward("one").add("a", "train", film(0), "P1").add("b", "test", film(1), "P2")
    two = ward("two").add("c", "train", film(2), "P2").add("d", "test", film(3), "P1")
    assert check(one, two).exit_code == CLEAN


CHANGES = {
    "renamed": lambda image: image,
    "resized": lambda image: cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA),
    "16 bits": lambda image: image.astype(np.uint16) * 257,
    "12 bits": lambda image: image.astype(np.uint16) * 16,
    "windowed": lambda image: np.clip((image.astype(int) - 20) * 1.2, 0, 255).astype(np.uint8),
    "padded": lambda image: cv2.copyMakeBorder(image, 0, 0, 10, 10, cv2.BORDER_CONSTANT),
    "colour": lambda image: np.repeat(image[..., None], 3, 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_in_another_dataset(change, ward, film, check):
    report = check(*pair(ward, film, CHANGES[change](film(0))))
    assert report.exit_code == LEAKS
    assert found(report) == [("one train", "two test", "pixels", True, 1)]
    leak = report.overlaps[0].pairs[0]
    assert (leak.first, leak.second) == ("a.png", "d.png")
    assert leak.first_file.endswith("one/images/a.png") and leak.second_file.endswith("two/images/d.png")


@pytest.mark.parametrize(
    ("how", "change"), [("mirrored", lambda image: image[:, ::-1]), ("inverted", lambda image: 255 - image)]
)
def test_a_mirrored_or_inverted_copy_is_found_and_named(how, change, ward, film, check):
    report = check(*pair(ward, film, change(film(0))))
    assert found(report) == [("one train", "two test", "pixels", True, 1)]
    assert report.overlaps[0].pairs[0].detail.startswith(f"{how}, correlation ")


def test_a_rotated_copy_is_not_found(ward, film, check):
    """Stated in the documentation: pictures turned by 90 degrees are other pictures to the check."""
    assert check(*pair(ward, film, np.rot90(film(0)))).exit_code == CLEAN


def test_two_names_of_one_file(ward, film, check, tmp_path):
    one, two = pair(ward, film, film(3))
    source, link = one.folder / "images" / "a.png", two.folder / "images" / "d.png"
    one.write()
    link.unlink()
    link.hardlink_to(source)
    report = check(one, two, pixels=False)
    assert found(report) == [("one train", "two test", "file", True, 1)]
    # Pixels say the same, and it is not reported again.
    assert found(check(one, two)) == [("one train", "two test", "file", True, 1)]


def test_copies_within_a_role_are_no_leak(ward, film, check):
    one = ward("one").add("a", "train", film(0)).add("again", "train", film(0)).add("b", "test", film(1))
    two = ward("two").add("c", "train", film(0)).add("d", "test", film(2))
    report = check(one, two)
    assert report.exit_code == CLEAN
    assert found(report) == [
        ("one train", "one train", "pixels", False, 1),
        ("one train", "two train", "pixels", False, 1),
    ]


def test_every_leaked_image_is_counted_once(ward, film, check):
    """Two copies in training of each of two test images: two leaked images, not four."""
    tree = ward("one").add("a", "train", film(0)).add("a2", "train", film(0)).add("b", "train", film(1))
    tree.add("b2", "train", film(1)).add("ta", "test", film(0)).add("tb", "test", film(1)).add("tc", "test", film(2))
    leaks = [overlap for overlap in check(tree).overlaps if overlap.leak]
    assert [sorted(pair.second for pair in leak.pairs) for leak in leaks] == [["ta.png", "tb.png"]]


def test_a_copied_folder_is_found_whole(ward, film, tmp_path, check):
    one = ward("one")
    for number in range(6):
        one.add(f"n{number}", "train" if number < 4 else "test", film(number))
    one.write()
    two = ward("two")
    for number in range(6):
        two.add(f"n{number}", "test" if number < 4 else "train", film(number))
    two.write()
    shutil.rmtree(two.folder / "images")
    shutil.copytree(one.folder / "images", two.folder / "images")
    assert found(check(one, two)) == [
        ("one train", "two test", "pixels", True, 4),
        ("two train", "one test", "pixels", True, 2),
    ]
