"""Damaged tables, annotations and trees: one message that names the file and the row, or a count in the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fx_d2.data.errors import DataError


def edit(path: Path, old: str, new: str, times: int = 1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, times), encoding="utf-8")


def edit_json(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


META = "cxr_images/proccessed_data/metadata.csv"
TBX = "annotations/json/TBX11K_train.json"
RIB = "data/train/Vindr_RibCXR_train_mask.json"
DET = "ChestX_Det_train.json"
CLEAN = ",0,c0001.mha,0,0,0,0"
LINE = [[1, 2], [3, 4]]


def _first(kind):
    def change(content):
        content["annotations"][0].update(kind)

    return change


# dataset, task, file, damage, message
CASES = [
    # ---- tables
    ("chexpert", "cls", "train.csv", lambda p: p.write_text(""), r"train\.csv: the file is empty"),
    ("chexpert", "cls", "train.csv", lambda p: edit(p, "Edema", "Oedema"),
     r"train\.csv: no column 'Edema'; did you mean 'Oedema'\?"),
    ("chexpert", "cls", "train.csv", lambda p: edit(p, ",Consolidation", ",Edema"),
     r"train\.csv: the header names column 'Edema' 2 times"),
    ("chexpert", "cls", "train.csv", lambda p: edit(p, "Frontal,PA,,,1.0,-1.0", "Frontal,PA,,,1.0,2.0"),
     r"train\.csv, line 3, column 'Lung Opacity': label '2\.0'; 1 \(present\), 0 \(absent\), -1"),
    ("chexpert", "cls", "train.csv", lambda p: edit(p, "Frontal,PA,,,1.0,-1.0", "Frontal,PA,,,maybe,-1.0"),
     r"line 3, column 'Cardiomegaly': label 'maybe'"),
    ("chexpert", "cls", "train.csv", lambda p: edit(p, "Male,71,Frontal,PA,,", "Male,71,Frontal,PA,"),
     r"train\.csv, line 3: 18 fields, but the header names 19 columns"),
    ("chexpert", "cls", "train.csv", lambda p: p.write_text(p.read_text().replace(",", ";")),
     r"train\.csv: fields are separated by semicolon"),
    ("chexpert", "cls", "train.csv", lambda p: p.write_bytes("Path,Ö\nx,1\n".encode("latin-1")),
     r"train\.csv: not a text file in UTF-8"),
    ("chexpert", "cls", "train.csv", lambda p: p.write_bytes(p.read_text().encode("utf-16")),
     r"train\.csv: not a text file in UTF-8"),
    ("chexpert", "cls", "train.csv", lambda p: edit(p, "patient00001/study1/view1_frontal.jpg", "view1_frontal.jpg"),
     r"line 2: .*is not a path \.\.\./patient00001/study1"),
    ("mimic_cxr", "cls", "2.0.0/mimic-cxr-2.0.0-chexpert.csv.gz", lambda p: p.write_bytes(p.read_bytes()[:60]),
     r"chexpert\.csv\.gz: cannot be read as CSV"),
    ("nih_cxr14", "cls", "Data_Entry_2017_v2020.csv", lambda p: edit(p, "Hernia", "Hernya"),
     r"v2020\.csv, line 5: finding 'Hernya' .*did you mean 'Hernia'"),
    ("nih_cxr14", "cls", "Data_Entry_2017_v2020.csv", lambda p: edit(p, "Hernia", "Hernia|No Finding"),
     r"line 5: finding 'No Finding' .*must stand alone"),
    ("nih_cxr14", "cls", "train_val_list.txt", lambda p: p.write_text("\n"), r"train_val_list\.txt: the list is empty"),
    ("vindr_cxr", "cls", "annotations/image_labels_train.csv", lambda p: edit(p, "0,0,1,0,0,0\n", "0,0,maybe,0,0,0\n"),
     r"image_labels_train\.csv, line 2, column .*'maybe' is neither 0 nor 1"),
    ("vindr_cxr", "box", "annotations/annotations_train.csv", lambda p: edit(p, "Cardiomegaly", "Cardiomegalie"),
     r"annotations_train\.csv, line 2: class 'Cardiomegalie'; did you mean 'Cardiomegaly'"),
    ("vindr_cxr", "box", "annotations/annotations_train.csv", lambda p: edit(p, "30.5,60.25,90.0", "95.5,60.25,90.0"),
     r"line 2: box corners 95\.5, 60\.25, 90.*second must be right and below"),
    ("vindr_cxr", "box", "annotations/annotations_train.csv", lambda p: edit(p, "30.5,60.25,90.0", "nan,60.25,90.0"),
     r"line 2: box nan, 60\.25, 90\.0, 100\.0 is not four finite numbers"),
    # ---- boxes
    ("rsna_pneumonia", "box", "stage_2_train_labels.csv", lambda p: edit(p, "213.0", "-213.0"),
     r"labels\.csv, line 2: box .*-213.*has no area"),
    ("rsna_pneumonia", "box", "stage_2_train_labels.csv", lambda p: edit(p, "213.0", "inf"),
     r"line 2: box .*inf.* is not four finite numbers"),
    ("rsna_pneumonia", "box", "stage_2_train_labels.csv", lambda p: edit(p, "379.0,1", "379.0,0"),
     r"line 2: Target 0 and box"),
    ("rsna_pneumonia", "box", "stage_2_train_labels.csv", lambda p: edit(p, "379.0,1", "379.0,2"),
     r"line 2: Target '2' is neither 0 nor 1"),
    ("rsna_pneumonia", "cls", "stage_2_detailed_class_info.csv", lambda p: edit(p, "Lung Opacity", "Opaque"),
     r"class_info\.csv, line 2: class 'Opaque'"),
    ("rsna_pneumonia", "cls", "stage_2_detailed_class_info.csv", lambda p: edit(p, "Lung Opacity", "Normal"),
     r"line 3: image .* has another class in an earlier row"),
    ("rsna_pneumonia", "cls", "pneumonia-challenge-dataset-mappings_2018.json", lambda p: p.write_text('{"a": 1}'),
     r"mappings_2018\.json: a list of records"),
    ("node21", "box", META, lambda p: edit(p, CLEAN, ",9,c0001.mha,0,9,9,9"),
     r"metadata\.csv, line 3: label 0 \(no nodule\), but box"),
    ("node21", "cls", META, lambda p: edit(p, CLEAN, ",0,n0001.mha,0,0,0,0"),
     r"line 3: image 'n0001\.mha' has rows with label 0 and with label 1"),
    # ---- JSON
    ("tbx11k", "box", TBX, lambda p: p.write_text(p.read_text()[:200]),
     r"TBX11K_train\.json, line 1, column \d+: not valid JSON"),
    ("tbx11k", "box", TBX, lambda p: edit_json(p, _first({"category_id": 9})),
     r"annotation 1: category_id 9 is not among the file's categories \(1 Active"),
    ("tbx11k", "box", TBX, lambda p: edit_json(p, _first({"image_id": 77})),
     r"annotation 1: image_id 77 is not among the file's images"),
    ("tbx11k", "box", TBX, lambda p: edit_json(p, _first({"bbox": [1, 2, 3]})),
     r"annotation 1: box 1, 2, 3 is not four finite numbers"),
    ("tbx11k", "box", TBX, lambda p: edit_json(p, _first({"bbox": [1, 2, 0, 5]})),
     r"annotation 1: box .* has no area"),
    ("tbx11k", "cls", TBX, lambda p: edit_json(p, lambda c: c.pop("images")),
     r"TBX11K_train\.json: not a COCO file: the list 'images' is missing"),
    ("tbx11k", "box", TBX, lambda p: edit_json(p, lambda c: c["images"][1].update(width=-5)),
     r"image 'sick/s0001\.png': height and width \(512, -5\)"),
    ("chestx_det", "box", DET, lambda p: edit(p, '"Nodule"', '"Nodules"'),
     r"entry 1 \(36204\.png\): class 'Nodules'; did you mean 'Nodule'"),
    ("chestx_det", "mask", DET, lambda p: edit_json(p, lambda c: c[1]["polygons"].__setitem__(0, LINE)),
     r"entry 1 \(36204\.png\), polygon 0: a polygon needs at least three points"),
    ("chestx_det", "box", DET, lambda p: edit_json(p, lambda c: c[1]["boxes"].pop()),
     r"entry 1 \(36204\.png\): 2 syms, 1 boxes, 2 polygons"),
    ("chestx_det", "box", DET, lambda p: edit_json(p, lambda c: c[1]["boxes"][0].reverse()),
     r"entry 1 \(36204\.png\), box 0: box corners 720, 700, 500, 400"),
    ("vindr_ribcxr", "mask", RIB, lambda p: edit_json(p, lambda c: c["R3"].update({"0": None})),
     r"R3 of image 0 .*a list of points"),
    ("vindr_ribcxr", "mask", RIB, lambda p: edit_json(p, lambda c: c.pop("L7")),
     r"train_mask\.json: the column 'L7'.* is missing"),
    # ---- run lengths
    ("siim_acr", "mask", "train-rle.csv", lambda p: edit(p, ".850819, ", ".850819, x"),
     r"train-rle\.csv, line 2: run lengths must be whole numbers"),
    ("siim_acr", "mask", "train-rle.csv", lambda p: edit(p, ".850819, ", ".850819, 1048570 9 "),
     r"train-rle\.csv, line 2: the runs reach pixel"),
    ("siim_acr", "cls", "train-rle.csv", lambda p: edit(p, ".850819, ", ".850819, 7 "),
     r"train-rle\.csv, line 2: \d+ numbers; run lengths come in pairs"),
    ("candid_ptx", "mask", "Pneumothorax_reports.csv", lambda p: edit(p, '"No acute', '"No acute" x'),
     r"Pneumothorax_reports\.csv: cannot be read as CSV"),
    ("chexmask_vindr", "mask", "OriginalResolution/VinDr-CXR.csv", lambda p: edit(p, "144,128", "20,20"),
     r"VinDr-CXR\.csv, line 3, column 'Heart': the runs reach pixel"),
    ("chexmask_vindr", "box", "OriginalResolution/VinDr-CXR.csv", lambda p: edit(p, ",0.91,", ",good,"),
     r"VinDr-CXR\.csv, line 3: Height, Width, Dice RCA \(Mean\): .*'good'"),
    ("jsrt", "box", "Clinical_Information/CLNDAT_EN.txt", lambda p: edit(p, "\t20\t", "\tbig\t"),
     r"CLNDAT_EN\.txt: JPCLN001: nodule size, x and y"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "task", "file", "damage", "message"), CASES)
def test_one_message_names_file_and_row(alone, name, task, file, damage, message):
    folder, record = alone(name)
    damage(folder / file)
    with pytest.raises(DataError, match=message) as caught:
        record.read(task, "train")
    assert "\n" not in str(caught.value)


# ---- dropped, with a count -------------------------------------------------------------------------------------


def test_rows_repeated(alone):
    folder, record = alone("rsna_pneumonia")
    path = folder / "stage_2_train_labels.csv"
    line = path.read_text().splitlines()[1]
    path.write_text(path.read_text() + line + "\n")
    report = record.report("box", "train")
    assert report.events["rows repeated left out"].times == 1
    assert f"{path}, line 34" in report.events["rows repeated left out"].first
    assert sum(len(item["annotations"]) for item in record.read("box", "train")) % 2 == 0


def test_an_image_listed_twice_in_a_table_of_findings(alone):
    folder, record = alone("chexpert")
    path = folder / "train.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    report = record.report("cls", "train")
    assert report.used == 25 and report.events["rows that repeat an image left out"].times == 1


def test_boxes_that_reach_out_or_lie_outside(alone):
    folder, record = alone("rsna_pneumonia")
    path = folder / "stage_2_train_labels.csv"
    edit(path, "264.0,152.0,213.0,379.0", "900.0,152.0,213.0,379.0", 1)
    edit(path, "562.0,152.0,256.0,453.0", "1030.0,152.0,256.0,453.0", 1)
    events = record.report("box", "train").events
    assert events["boxes clipped to the image"].times == 1 and "line 2" in events["boxes clipped to the image"].first
    assert events["boxes outside the image left out"].times == 1
    every = [item for split in record.splits for item in record.read("box", split)]
    (box,) = next(item for item in every if item["image_id"].startswith("00000000-"))["annotations"]
    assert box["bbox"] == [900.0, 152.0, 124.0, 379.0]


def test_native_boxes_are_clipped_to_the_size_in_the_header(alone):
    folder, record = alone("vindr_cxr")
    edit(folder / "annotations" / "annotations_test.csv", "50,60,90,100", "50,60,190,100")
    (box,) = next(item for item in record.read("box", "test") if item["annotations"])["annotations"]
    assert box["bbox"] == [50, 60, 78, 40]
    assert record.report("box", "test").events["boxes clipped to the image"].times == 1


def test_images_without_a_file_and_files_without_a_row(alone):
    folder, record = alone("nih_cxr14")
    (folder / "images_001" / "images" / "00000003_000.png").unlink()
    shutil.copy(folder / "images_001" / "images" / "00000002_000.png", folder / "images_002" / "images" / "x.png")
    reports = [record.report("cls", split) for split in ("train", "val")]
    assert sum(report.listed for report in reports) == 6 and sum(report.found for report in reports) == 5
    assert sum("images without a file" in report.events for report in reports) == 1
    assert all(report.unlisted == 1 for report in reports)
    assert any(
        "1 images without a file (first: 00000003_000.png" in line for report in reports for line in report.lines()
    )


def test_a_listed_image_without_a_row(alone):
    folder, record = alone("nih_cxr14")
    path = folder / "test_list.txt"
    path.write_text(path.read_text() + "\n00000099_000.png\n")
    report = record.report("cls", "test")
    assert report.events["images of the split list without a row"].times == 1 and report.used == 3


def test_two_files_of_one_name(alone):
    folder, record = alone("nih_cxr14")
    source = folder / "images_001" / "images" / "00000002_000.png"
    shutil.copy(source, folder / "images_002" / "images" / source.name)
    event = record.report("cls", "train").events["image files of a name that occurs twice"]
    assert event.times == 1 and "images_002" in event.first


# ---- trees -------------------------------------------------------------------------------------------------------


def test_nothing_but_the_table(alone):
    folder, record = alone("siim_acr")
    shutil.rmtree(folder / "dicom-images-train")
    with pytest.raises(DataError, match=r"siim_acr: no image file below .*Expected: dicom-images-train/"):
        record.read("cls", "train")


def test_images_of_another_edition(alone):
    folder, record = alone("siim_acr")
    for path in list((folder / "dicom-images-train").rglob("*.dcm")):
        path.rename(path.with_name(f"other{path.name}"))
    with pytest.raises(DataError, match=r"siim_acr/cls: none of 12 listed images is there .*Expected: dicom"):
        record.read("cls", "train")


def test_a_packed_table(alone):
    folder, record = alone("rsna_pneumonia")
    (folder / "stage_2_detailed_class_info.csv").rename(folder / "stage_2_detailed_class_info.csv.zip")
    with pytest.raises(DataError, match=r"stage_2_detailed_class_info\.csv\.zip is still packed, unpack it there"):
        record.read("cls", "train")


def test_a_packed_dataset(tmp_path, alone):
    folder, record = alone("tbx11k")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "TBX11K.zip").write_bytes(b"PK")
    with pytest.raises(
        DataError, match=r"tbx11k: no file or folder 'TBX11K_train\.json' .*TBX11K\.zip is still packed"
    ):
        record.read("cls", "train")


@pytest.mark.parametrize("name", ["chexpert", "nih_cxr14", "rsna_pneumonia", "tbx11k", "montgomery"])
def test_a_folder_too_deep_is_found(alone, name):
    folder, record = alone(name)
    inner = folder.rename(folder.parent / "inner")
    folder.mkdir()
    inner.rename(folder / "inner")
    assert record.read("cls", "train")


def test_two_folders_that_could_be_it_and_one_that_the_user_names(alone, tmp_path, record_of):
    folder, record = alone("chexpert")
    shutil.copytree(folder, folder.parent / "CheXpert-v1.0")
    with pytest.raises(DataError, match=r"chexpert: 2 folders could be it, .*DATASETS\.OPTIONS\.chexpert\.root"):
        record.read("cls", "train")
    assert len(record_of("chexpert", root="CheXpert-v1.0").read("cls", "train")) == 25
    assert len(record_of("chexpert", root=str(folder)).read("cls", "train")) == 25
    with pytest.raises(DataError, match=r"chexpert: no folder .*nowhere \(DATASETS\.OPTIONS\.chexpert\.root\)"):
        record_of("chexpert", root="nowhere").read("cls", "train")


def test_a_missing_test_part_says_what_it_needs(alone):
    folder, record = alone("chexpert")
    (folder / "test_labels.csv").unlink()
    with pytest.raises(DataError, match=r"chexpert: no file 'test_labels\.csv' .*CheXlocalize.*chexpert\.splits three"):
        record.read("cls", "test")
