"""Whole checks of tiny datasets: a clean one is clean, a broken one does not keep the others from being checked."""

import re
from pathlib import Path

import cv2
import numpy as np
import yaml

from fx_d2.inspection import Options, check_data, pixels
from fx_d2.inspection.report import CLEAN, LEAKS, PROBLEMS
from fx_d2.inspection.table import WIDTH, render
from fx_d2.phantoms.writing import write_dicom
from fx_d2.schedule import Unit


def small_ward(ward, film, name="ward", start=0):
    """Four films: two to train with, one to choose by, one to test with."""
    tree = ward(name)
    for number, split in enumerate(("train", "train", "val", "test"), start=start):
        tree.add(f"{name}{number}", split, film(number), f"P{number}", str(number % 2))
    return tree


def test_a_clean_dataset(ward, film, check):
    report = check(small_ward(ward, film))
    assert report.exit_code == CLEAN and not report.problems and not report.overlaps and not report.not_checked
    train = report.datasets["ward"]["splits"]["train"]
    assert train["files"] == {"expected": 2, "found": 2}
    assert train["images"] == train["patients"] == train["pixels_checked"] == 2
    assert train["sizes"] == {"64x64": 2} and train["bits"] == {"8": 2}
    assert train["tasks"]["cls"] == {
        "images": 2,
        "normals": 1,
        "labels": {"Mass": {"1": 1, "0": 1, "unknown": 0, "soft": 0}},
    }
    assert render(report).endswith("No problem and no leak found.")


def test_the_synthetic_cohort_is_clean(cohort, tmp_path, fresh_catalog):
    units = [Unit("phantom_ward", "box"), Unit("phantom_heart", "mask"), Unit("phantom_emergency", "mask")]
    report = check_data(units, [cohort / "phantoms" / "phantoms.yaml"], Options())
    assert not report.problems and not report.leaks
    splits = report.datasets["phantom_heart"]["splits"]
    assert sum(split["images"] for split in splits.values()) <= 24
    heart = splits["train"]["tasks"]["mask"]["masks"]["Heart"]
    assert heart["annotations"] == heart["images"] == heart["measured"] > 0
    assert 0.02 < heart["share"]["min"] <= heart["share"]["median"] <= heart["share"]["max"] < 0.3
    assert {bits for split in splits.values() for bits in split["bits"]} == {"16"}


def test_a_dataset_that_cannot_be_read_is_one_line(ward, film, check):
    broken, sound = small_ward(ward, film), small_ward(ward, film, "other", 10)
    broken.add("odd", "train", film(99), "P99", "maybe")
    report = check(broken, sound)
    assert report.exit_code == PROBLEMS
    # The same table is at fault in each of the three splits.
    [problem] = report.problems
    assert problem.file.endswith("labels.csv") and problem.row == "line 6, column 'Mass'"
    assert problem.place == "ward/cls train, val, test"
    assert list(report.datasets) == ["other"]
    assert report.datasets["other"]["splits"]["train"]["images"] == 2


def test_a_declaration_that_cannot_be_read_is_one_line(ward, film, tmp_path):
    good = small_ward(ward, film).write()
    units = [Unit("ward", "cls"), Unit("lost", "cls")]
    report = check_data(units, [good, tmp_path / "lost.yaml"], Options())
    assert [problem.dataset for problem in report.problems] == [str(tmp_path / "lost.yaml"), "lost"]
    assert "unknown unit 'lost/cls'" in report.problems[1].message
    assert list(report.datasets) == ["ward"]


def test_one_wrong_dataset_of_a_declaration_is_one_line(ward, film, tmp_path):
    good, bad = (yaml.safe_load(Path(small_ward(ward, film, name).write()).read_text()) for name in ("good", "bad"))
    bad["datasets"]["bad"]["images"] = "elsewhere"
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump({"datasets": {**bad["datasets"], **good["datasets"]}}))
    report = check_data([Unit("bad", "cls"), Unit("good", "cls")], [path], Options())
    [problem] = report.problems
    assert problem.dataset == "bad" and "no such folder" in problem.message
    assert list(report.datasets) == ["good"]


def test_a_damaged_image_is_named_and_the_rest_is_measured(ward, film, check):
    tree = small_ward(ward, film)
    tree.write()
    path = tree.folder / "images" / "ward0.png"
    # The end is there, so that the header passes; the pixels in between are not.
    content = path.read_bytes()
    path.write_bytes(content[:200] + content[-12:])
    report = check(tree)
    assert [(problem.file, problem.split) for problem in report.problems] == [(str(path), "train")]
    assert "cannot be read" in report.problems[0].message
    assert report.datasets["ward"]["splits"]["train"]["pixels_checked"] == 1


def test_an_empty_picture_is_a_problem(ward, film, check):
    report = check(small_ward(ward, film).add("black", "train", np.zeros((64, 64), np.uint8), "P9"))
    assert [problem.row for problem in report.problems] == ["image 'black.png'"]
    assert "all pixels have one value" in report.problems[0].message


def test_a_file_that_went_away_and_one_that_changed(ward, film, check):
    tree = small_ward(ward, film)
    check(tree)  # the readers keep what they have read
    (tree.folder / "images" / "ward0.png").unlink()
    cv2.imwrite(str(tree.folder / "images" / "ward1.png"), film(1, 32))
    report = check_data([Unit("ward", "cls")], [], Options())
    assert report.datasets["ward"]["splits"]["train"]["files"] == {"expected": 2, "found": 1}
    messages = {problem.file.split("/")[-1]: problem.message for problem in report.problems}
    assert messages == {
        "ward0.png": "no such image file",
        "ward1.png": "the file has 32 x 32 pixels (width x height), its record says 64 x 64",
    }


def test_what_is_not_checked_is_said(ward, film, check):
    tree = small_ward(ward, film)
    report = check(tree, pixels=False)
    assert report.exit_code == CLEAN and report.not_checked[0].startswith("pixels: no image was decoded")
    assert report.datasets["ward"]["splits"]["train"]["pixels_checked"] == 0
    assert "No problem and no leak found in what was checked." in render(report)
    report = check(tree, sample=1)
    assert report.not_checked[0].startswith("pixels: 3 of 4 images decoded (--sample 1)")
    nobody = ward("nobody").add("a", "train", film(50)).add("b", "test", film(51))
    report = check(nobody)
    assert report.not_checked == ["patients: nobody says whose these images are: nobody (2 of 2 images)"]
    assert report.datasets["nobody"]["splits"]["train"]["patients"] is None


def test_a_second_run_reads_no_image_again(ward, film, check, monkeypatch):
    tree = small_ward(ward, film)
    first = check(tree)
    read = []
    original = pixels.measure_image
    monkeypatch.setitem(pixels._MEASURES, "image", lambda path: read.append(path) or original(path))
    assert check(tree).to_dict() == first.to_dict() and read == []
    tree.add("ward0", "train", film(77), "P0", "0")  # a changed file is read again, and only it
    check(tree)
    assert [path.split("/")[-1] for path in read] == ["ward0.png"]


def test_worker_processes_change_nothing(ward, film, check, monkeypatch):
    monkeypatch.setattr("fx_d2.inspection.pixels._SERIAL", 2)
    report = check(small_ward(ward, film), workers=2)
    assert report.exit_code == CLEAN
    assert report.datasets["ward"]["splits"]["train"]["sizes"] == {"64x64": 2}


def test_the_table_fits_and_lists_leaks_first(ward, film, check):
    tree = small_ward(ward, film, "a_ward_with_a_rather_long_name_indeed")
    tree.add("copy", "test", film(0), "P50").add("again", "train", film(1), "P51")
    report = check(tree)
    assert report.exit_code == LEAKS
    text = render(report)
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    lines = [line.split()[0] for line in text.splitlines() if line.startswith(("LEAK", "twice"))]
    assert lines == ["LEAK", "twice"]


def test_washed_out_images_are_named_until_they_are_read_by_range(ward, film, check):
    """A film's 256 greys times 16 around 32,768: signed values that were shifted, 6 % of the scale of 16 bits."""
    tree = small_ward(ward, film)
    tree.add("shifted", "train", (film(7).astype(int) * 16 + 32768 - 2048).astype(np.uint16), "P9", "1")
    report = check(tree)
    [problem] = report.problems
    assert problem.file.endswith("shifted.png")
    assert re.search(
        r"the middle 98 % of its pixels span 4\.\d % of the grey scale; .*INPUT.GREY range", problem.message
    )
    assert not check(tree, grey="range").problems
    faint = small_ward(ward, film, "faint", 20).add("faint", "train", film(8) // 16 + 100, "P9", "1")
    [problem] = check(faint).problems
    assert problem.message.endswith("stretch its grey levels, or take it out")


def test_doubtful_dicom_images_are_counted_and_named(ward, film, check):
    tree = small_ward(ward, film)
    for name, tags in (
        ("raw1", {"PresentationIntentType": "FOR PROCESSING"}),
        ("raw2", {"PresentationIntentType": "FOR PROCESSING"}),
        ("odd", {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}),
    ):
        tree.add(name, "train", film(len(tree.images) + 50), f"P{name}", "1")
        path = tree.folder / "images" / f"{name}.png"
        write_dicom(path, cv2.imread(str(path), cv2.IMREAD_UNCHANGED), tags=tags)
    report = check(tree)
    assert report.exit_code == CLEAN
    train = report.datasets["ward"]["splits"]["train"]
    assert [[Path(path).stem for path in paths] for paths in train["doubtful"].values()] == [["odd"], ["raw1", "raw2"]]
    said = "\n".join(train["remarks"])
    assert re.search(r"2 raw detector images \(PresentationIntentType FOR PROCESSING\) \(first: .*raw1\.png\)", said)
    assert re.search(r"1 images whose tags contradict each other \(MONOCHROME1, which is followed", said)
    assert len(train["remarks"]) == 2  # the reader and the pixels say the same
