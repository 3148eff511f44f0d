"""The quirks of CheXpert, ChestX-ray14, VinDr-CXR, Shenzhen and MIMIC-CXR-JPG, each seen in what is read."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from PIL import Image

from fx_d2.data.builtin import builtin_records
from fx_d2.data.errors import DataError
from fx_d2.data.images import read_image
from fx_d2.data.labels import CHEXPERT, VINDR_CXR_BOX, VINDR_CXR_LOCAL
from fx_d2.data.readers.findings import soft_label

NAN = math.nan


def same(left, right):
    return len(left) == len(right) and all(a == b or (a != a and b != b) for a, b in zip(left, right, strict=True))


def test_chexpert_blanks_and_uncertain_labels(read):
    row = "patient00002/study1/view1_frontal.jpg"  # ,,1.0,-1.0,,,-1.0,,-1.0,,1.0,,,
    known = [0, NAN, 1, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 1, NAN, NAN, NAN]
    assert same(read("chexpert", "cls", "train", uncertain="ignore")[row]["labels"], known)
    ones = [0, NAN, 1, 1, NAN, NAN, 1, NAN, 1, NAN, 1, NAN, NAN, NAN]
    assert same(read("chexpert", "cls", "train", uncertain="one")[row]["labels"], ones)
    zeros = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert same(read("chexpert", "cls", "train", uncertain="zero", blank="zero")[row]["labels"], zeros)
    soft = read("chexpert", "cls", "train")[row]["labels"]
    drawn = [soft[k] for k in (3, 6, 8)]
    assert all(0.55 <= value <= 0.85 for value in drawn) and len(set(drawn)) == 3
    assert same(read("chexpert", "cls", "train")[row]["labels"], soft)


def test_chexpert_no_finding_settles_findings_but_not_devices(read):
    records = read("chexpert", "cls", "train")
    assert records["patient00001/study1/view1_frontal.jpg"]["labels"] == [1.0] + 12 * [0.0] + [1.0]
    assert same(records["patient00005/study1/view1_frontal.jpg"]["labels"], [1.0] + 12 * [0.0] + [NAN])
    # Devices are no finding: they do not make "No Finding" 0.
    assert math.isnan(records["patient00002/study2/view1_frontal.jpg"]["labels"][0])


def test_chexpert_views_and_splits(read):
    assert "patient00002/study1/view2_lateral.jpg" in read("chexpert", "cls", "train")
    assert "patient00002/study1/view2_lateral.jpg" not in read("chexpert", "cls", "train", views="frontal")
    assert set(read("chexpert", "cls", "test", splits="three")) == set(read("chexpert", "cls", "val"))
    train, val = (read("chexpert", "cls", split, splits="three") for split in ("train", "val"))
    assert {item["patient_id"] for item in train.values()}.isdisjoint(item["patient_id"] for item in val.values())
    assert set(train) | set(val) == set(read("chexpert", "cls", "train"))


def test_nih_labels_and_boxes(read):
    train, val, test = (read("nih_cxr14", "cls", split) for split in ("train", "val", "test"))
    assert set(test) == {"00000006_000.png", "00000006_001.png", "00000007_000.png"}
    both = train | val
    assert [k for k, v in enumerate(both["00000004_000.png"]["labels"]) if v] == [4, 5, 12]
    assert sum(both["00000002_000.png"]["labels"]) == 0
    boxes = read("nih_cxr14", "box", "test")
    assert set(boxes) == {"00000006_000.png", "00000006_001.png"}  # not looked at is not empty
    first, second = boxes["00000006_001.png"]["annotations"]
    assert first["category_id"] == 3 and second["bbox"] == [100.5, 600.25, 200.125, 150.5]  # Infiltrate: Infiltration
    with pytest.raises(DataError, match="official test list; DATASETS.OPTIONS.nih_cxr14.boxes drawn"):
        read("nih_cxr14", "box", "train")


def test_chexpert_prefix_that_the_batch_download_does_not_have(alone):
    folder, record = alone("chexpert")
    top = folder.rename(folder.parent / "chexpertchestxrays-u20210408")
    for name, batch in (
        ("valid", "CheXpert-v1.0 batch 1 (validate & csv)"),
        ("train", "CheXpert-v1.0 batch 2 (train 1)"),
    ):
        (top / batch).mkdir()
        for patient in (top / name).glob("patient*"):
            patient.rename(top / batch / patient.name)
    for name in ("train.csv", "valid.csv"):
        (top / name).rename(top / "CheXpert-v1.0 batch 1 (validate & csv)" / name)
    (top / "train" / ".azDownload-0f-view1_frontal.jpg").unlink()
    (top / "train").rmdir()
    (top / "valid").rmdir()
    late = top / "CheXpert-v1.0 batch 3 (train 2)"
    late.mkdir()
    (top / "CheXpert-v1.0 batch 2 (train 1)" / "patient00009").rename(late / "patient00009")
    assert len(record.read("cls", "train")) == 25 and len(record.read("cls", "val")) == 2
    assert any("batch 3" in item["file_name"] for item in record.read("cls", "train"))


def test_chexpert_test_labels_beside_the_images_as_chexlocalize_has_them(alone):
    folder, record = alone("chexpert")
    other = folder.parent / "CheXlocalize" / "CheXpert"
    other.mkdir(parents=True)
    for name in ("test", "test_labels.csv"):
        (folder / name).rename(other / name)
    assert [item["labels"][-1] for item in record.read("cls", "test")] == [1.0]


def test_chexpert_soft_labels_do_not_depend_on_the_order_of_rows(alone):
    folder, record = alone("chexpert")
    head, *rows = (folder / "train.csv").read_text().splitlines()
    first = {item["image_id"]: item["labels"] for item in record.read("cls", "train")}
    (folder / "train.csv").write_text("\n".join([head, *reversed(rows)]) + "\n")
    second = {item["image_id"]: item["labels"] for item in builtin_records({})["chexpert"].read("cls", "train")}
    assert all(same(first[key], second[key]) for key in first)


def test_soft_labels_are_uniform_over_their_range():
    values = sorted(soft_label(0, f"image{n}", "Edema") for n in range(2000))
    assert 0.55 <= values[0] and values[-1] <= 0.85
    # Kolmogorov-Smirnov: the largest distance to the straight line, 1.63 / sqrt(n) at the 1 % level.
    assert max(abs((v - 0.55) / 0.3 - k / 2000) for k, v in enumerate(values)) < 1.63 / 2000**0.5


def test_nih_flat_images_older_table_and_other_column_name(alone):
    folder, record = alone("nih_cxr14")
    for batch in ("images_001", "images_002"):
        for path in (folder / batch / "images").iterdir():
            (folder / "images").mkdir(exist_ok=True)
            path.rename(folder / "images" / path.name)
    lines = (folder / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    (folder / "Data_Entry_2017_v2020.csv").unlink()
    lines[0] = lines[0].replace("Patient Gender", "Patient Sex")
    (folder / "Data_Entry_2017.csv").write_text("\n".join(line + "," for line in lines) + "\n")
    assert len(record.read("cls", "train")) == 5 and len(record.read("box", "test")) == 2


def test_nih_boxes_split_by_patient_on_demand(record):
    one = record("nih_cxr14", boxes="drawn")
    assert sum(one.report("box", split).used for split in one.splits) == 2  # two boxed images of one patient
    assert sorted(one.report("box", split).used for split in one.splits) == [0, 0, 2]


def test_nih_official_lists_decide(record):
    one = record("nih_cxr14")
    assert {item["patient_id"] for item in one.read("cls", "test")} == {"00000006", "00000007"}


VINDR_1, VINDR_2, VINDR_3 = (f"{n:032x}" for n in (1, 2, 3))


def vindr(read, task, **options):
    return read("vindr_cxr", task, "train", **options) | read("vindr_cxr", task, "val", **options)


def test_vindr_votes_of_three_readers(read):
    # Effusion: two of three. Pneumonia: three. Tumour of image 2: one; "No finding" there: three.
    votes = {policy: vindr(read, "cls", votes=policy) for policy in ("any", "majority", "all")}
    assert votes["any"][VINDR_1]["labels"] == [1, 0, 1, 0, 0, 0]
    assert votes["majority"][VINDR_1]["labels"] == [1, 0, 1, 0, 0, 0]
    assert votes["all"][VINDR_1]["labels"] == [0, 0, 1, 0, 0, 0]
    assert votes["any"][VINDR_2]["labels"] == [0, 1, 0, 0, 0, 1]
    assert votes["majority"][VINDR_2]["labels"] == [0, 0, 0, 0, 0, 1]
    # Image 3: two of three say "No finding".
    assert [votes[policy][VINDR_3]["labels"][5] for policy in votes] == [1, 1, 0]


def test_vindr_boxes_fused_folded_and_voted(read):
    boxes = vindr(read, "box")[VINDR_1]["annotations"]
    named = {VINDR_CXR_BOX[entry["category_id"]]: entry["bbox"] for entry in boxes}
    # The mean of (30.5 + k, 60.25, 90, 100 + 3k) for k = 0, 1, 2.
    assert named["Cardiomegaly"] == pytest.approx([31.5, 60.25, 58.5, 42.75])
    assert named["Pleural effusion"] == [10, 80, 20, 30]
    assert named["Other lesion"] == [20, 20, 15.5, 20]  # a cavity, which the fourteen classes do not have
    majority = vindr(read, "box", votes="majority")[VINDR_1]["annotations"]
    assert len(boxes) == 3 and len(majority) == 2
    every = vindr(read, "box", classes="all")[VINDR_1]["annotations"]
    assert {VINDR_CXR_LOCAL[entry["category_id"]] for entry in every} == {
        "Cardiomegaly",
        "Pleural effusion",
        "Lung cavity",
    }


def test_vindr_other_case_a_box_drawn_twice_and_no_finding(record):
    one = record("vindr_cxr")
    every = {item["image_id"]: item for split in ("train", "val") for item in one.read("box", split)}
    (fibrosis,) = every[VINDR_3]["annotations"]  # written "Pulmonary Fibrosis"
    assert VINDR_CXR_BOX[fibrosis["category_id"]] == "Pulmonary fibrosis"
    assert one.report("box", "train").events["boxes that a reader drew twice left out"].times == 1
    assert every[VINDR_2]["annotations"] == []
    assert (every[VINDR_2]["height"], every[VINDR_2]["width"]) == (144, 112)  # native, from the header


def test_vindr_test_part_has_no_readers_and_another_plural(read):
    labels = read("vindr_cxr", "cls", "test")[f"{101:032x}"]["labels"]
    assert labels == [0, 0, 1, 0, 1, 0]
    (box,) = read("vindr_cxr", "box", "test")[f"{101:032x}"]["annotations"]
    assert box["bbox"] == [50, 60, 40, 40]
    assert len(read("vindr_cxr", "cls", "test", classes="all")[f"{101:032x}"]["labels"]) == 28


def test_vindr_tables_beside_the_images(alone):
    folder, record = alone("vindr_cxr")
    for path in list((folder / "annotations").iterdir()):
        path.rename(folder / path.stem.rpartition("_")[2] / path.name)
    assert len(record.read("cls", "test")) == 3 and len(record.read("box", "train")) == 18


def test_vindr_kaggle_edition(alone):
    folder, record = alone("vindr_cxr")
    old = folder / "annotations" / "annotations_train.csv"
    rows = [line.split(",") for line in old.read_text().splitlines()[1:] if "Lung cavity" not in line]
    lines = ["image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"]
    lines += [f"{row[0]},{row[2]},0,{row[1]},{','.join(row[3:])}" for row in rows]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    for path in (folder / "annotations").iterdir():
        path.unlink()
    assert sum(len(record.read("box", split)) for split in ("train", "val")) == 20
    with pytest.raises(DataError, match="no file 'image_labels_train.csv'"):
        record.read("cls", "train")


def test_shenzhen_labels_from_names_masks_are_no_images(record):
    one = record("shenzhen")
    every = [item for split in one.splits for item in one.read("cls", split)]
    assert len(every) == 20 and all(item["labels"] == [float(item["image_id"][-1])] for item in every)
    assert one.report("cls", "train").unlisted == 0


def test_shenzhen_palette_is_looked_up(record):
    item = next(i for i in record("shenzhen").read("cls", "train") if i["image_id"] == "CHNCXR_0004_0")
    with Image.open(item["file_name"]) as picture:
        assert picture.mode == "P"
        indices, grey = np.asarray(picture), np.asarray(picture.convert("L"))
    read = read_image(item["file_name"])
    assert (read == grey).all() and not (read == indices).any()


def test_mimic_columns_by_name_study_labels_and_policies(read):
    train = read("mimic_cxr", "cls", "train")
    first = next(item for item in train.values() if item["patient_id"] == "19990001")
    named = dict(zip(CHEXPERT, first["labels"], strict=True))  # Cardiomegaly 1, Pleural Effusion 0, others blank
    assert (named["Cardiomegaly"], named["Pleural Effusion"], named["No Finding"]) == (1, 0, 0)
    assert math.isnan(named["Atelectasis"])
    of_study = [item["labels"] for item in train.values() if item["patient_id"] == "19990001"]
    assert len(of_study) == 2 and same(*of_study)  # frontal and lateral
    second = next(item for item in train.values() if item["patient_id"] == "19990002")
    assert dict(zip(CHEXPERT, second["labels"], strict=True))["Atelectasis"] == 1  # -1, policy one
    assert len(read("mimic_cxr", "cls", "train", views="frontal")) == len(train) - 2
    # Outside training an uncertain label is no truth.
    (val,) = read("mimic_cxr", "cls", "val").values()
    assert math.isnan(dict(zip(CHEXPERT, val["labels"], strict=True))["Atelectasis"])


def test_mimic_studies_without_labels_are_counted(record):
    report = record("mimic_cxr").report("cls", "train")
    assert report.events["images of studies without labels left out"].times == 1
    assert "study 59990004" in report.events["images of studies without labels left out"].first


def test_mimic_plain_csv_and_the_other_labeller(alone):
    folder, record = alone("mimic_cxr", labeller="negbio")
    for path in (folder / "2.0.0").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(record.read("cls", "train")) == 5
    assert any("negbio" in name for name in record.report("cls", "train").files)
