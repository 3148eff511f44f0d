"""The quirks of SIIM-ACR, CANDID-PTX, CheXmask, VinDr-RibCXR, Montgomery and JSRT, each seen in what is read."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from fx_d2.data.images import read_image
from fx_d2.data.labels import CHEXMASK, RIBS, SCR
from fx_d2.data.masks import decode_masks
from fx_d2.phantoms.trees.run_lengths import absolute_rows, ellipse, relative_columns

FIRST, SECOND, FAR = (100, 150, 300, 400), (200, 250, 420, 500), (700, 120, 900, 360)


def every(record, task):
    return {item["image_id"]: item for split in record.splits for item in record.read(task, split)}


def siim(n):
    return f"1.2.276.0.7230010.3.1.4.8323329.{n}.1517875201.850819"


def candid(n):
    return f"1.2.826.0.1.3680043.8.498.{n}"


def test_run_length_words_against_slow_decoders():
    mask = ellipse(20, 15, (3, 4, 12, 17))
    words = list(map(int, relative_columns(mask).split()))
    columns, place = np.zeros(300, bool), 0
    for offset, length in zip(words[::2], words[1::2], strict=True):
        place += offset
        columns[place : place + length] = True
        place += length
    assert (columns.reshape(15, 20).T == mask).all()
    words = list(map(int, absolute_rows(mask).split()))
    rows = np.zeros(300, bool)
    for start, length in zip(words[::2], words[1::2], strict=True):
        rows[start - 1 : start - 1 + length] = True
    assert (rows.reshape(20, 15) == mask).all()


@pytest.mark.parametrize(("name", "image"), [("siim_acr", siim), ("candid_ptx", lambda n: candid(n + 100))])
def test_run_lengths_rows_united_parts_boxed(record, name, image):
    one = record(name)
    masks, boxes, labels = (every(one, task) for task in ("mask", "box", "cls"))
    # Two rows of one image overlap: the union has one part and one box, not twice the value anywhere.
    drawn = decode_masks(masks[image(1)], 1)[0]
    assert (drawn == (ellipse(1024, 1024, FIRST) | ellipse(1024, 1024, SECOND))).all()
    assert [entry["bbox"] for entry in boxes[image(1)]["annotations"]] == [[100, 150, 320, 350]]
    assert len(masks[image(1)]["annotations"]) == 2  # the instances are kept
    # One row with two parts and a speck: two boxes.
    found = [entry["bbox"] for entry in boxes[image(2)]["annotations"]]
    assert found == [[100, 150, 200, 250], [700, 120, 200, 240]]
    assert labels[image(2)]["labels"] == [1.0] and labels[image(8)]["labels"] == [0.0]
    assert boxes[image(8)]["annotations"] == masks[image(8)]["annotations"] == []
    speck = one.report("box", "train").events["parts of a mask below 16 pixels without a box"]
    assert speck.times == 1 and image(2) in speck.first
    assert "from the masks" in one.tasks["box"].notes


def test_siim_blank_in_the_header_and_a_file_without_a_row(alone):
    folder, record = alone("siim_acr")
    text = (folder / "train-rle.csv").read_text()
    assert text.startswith("ImageId, EncodedPixels\n") and ", -1\n" in text
    assert sum(len(record.read("cls", split)) for split in record.splits) == 12
    assert record.report("cls", "train").unlisted == 1
    # A file without a row is unknown, not negative.
    assert siim(99) not in every(record, "cls")


def test_siim_stage_2_table_and_flat_folder(alone):
    folder, record = alone("siim_acr")
    for path in list((folder / "dicom-images-train").rglob("*.dcm")):
        path.rename(folder / path.name)
    text = (folder / "train-rle.csv").read_text().replace(", ", ",")
    (folder / "stage_2_train.csv").write_text(text)
    (folder / "train-rle.csv").write_text("ImageId, EncodedPixels\n")
    assert len(every(record, "mask")) == 12


def test_candid_files_without_suffix_reports_with_line_ends_and_patients(record):
    one = record("candid_ptx")
    found = every(one, "cls")
    assert len(found) == 20
    assert found[candid(101)]["file_name"].endswith("498.101") and found[candid(104)]["file_name"].endswith(".dcm")
    events = one.report("cls", "train").events
    assert events["rows repeated left out"].times == 1
    assert events["blank run lengths taken as no mask"].times == 1
    assert events["images of two patients, who count as one"].times == 1
    # An image stands under P00003 and P00009: all their images are in one split.
    assert "P00009" not in {item["patient_id"] for item in found.values()}
    together = {item["image_id"] for item in found.values() if item["patient_id"] == "P00003"}
    homes = {split for split in one.splits for item in one.read("cls", split) if item["image_id"] in together}
    assert len(together) > 2 and len(homes) == 1


def test_candid_columns_in_another_order_and_case(alone):
    folder, record = alone("candid_ptx")
    (folder / "Pneumothorax_reports.csv").write_text(
        "Filename,encodedpixels,studyinstanceuid,SOPInstanceUID\n"
        + "".join(f"P{n:05d}_0,-1,s,{candid(100 + n)}\n" for n in range(1, 21))
    )
    assert len(every(record, "mask")) == 20


def test_chexmask_rows_along_the_image_and_overlapping_organs(record):
    found = every(record("chexmask_vindr"), "mask")
    one = found[f"{1:032x}"]
    masks = decode_masks(one, 3)
    assert (one["height"], one["width"]) == (144, 128)
    for channel, box in zip(masks, ((35, 60, 85, 115), (70, 20, 105, 110), (10, 20, 50, 110)), strict=True):
        assert (channel == ellipse(144, 128, box)).all()
    assert (masks[0] & masks[1]).any()  # heart over lung: no single label map
    assert CHEXMASK == ("Heart", "Left Lung", "Right Lung")


def test_chexmask_boxes_quality_and_vindrs_splits(record):
    one = record("chexmask_vindr")
    boxes = every(one, "box")
    assert [entry["bbox"] for entry in boxes[f"{1:032x}"]["annotations"]] == [
        [35, 60, 50, 55], [70, 20, 35, 90], [10, 20, 40, 90]
    ]  # fmt: skip
    assert f"{4:032x}" not in boxes and f"{4:032x}" in every(record("chexmask_vindr", quality=0.0), "box")
    vindr = record("vindr_cxr")
    for split in one.splits:
        there = {item["image_id"] for item in vindr.read("cls", split)}
        assert {item["image_id"] for item in one.read("box", split)} <= there
    assert one.tasks["mask"].lateral_pairs == (("Left Lung", "Right Lung"),)


def test_chexmask_compressed(alone):
    folder, record = alone("chexmask_vindr")
    path = folder / "OriginalResolution" / "VinDr-CXR.csv"
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(record.read("mask", "test")) == 3


def test_ribs_absent_text_paths_and_order(record):
    one = record("vindr_ribcxr")
    train = {item["image_id"]: item for item in one.read("mask", "train")}
    assert RIBS[:2] == ("R1", "R2") and RIBS[10] == "L1" and len(RIBS) == 20
    lacking = train["VinDr_RibCXR_train_001.png"]
    assert {entry["category_id"] for entry in lacking["annotations"]} == set(range(19))
    assert lacking["unknown_classes"] == [] and not decode_masks(lacking, 20)[19].any()
    assert train["VinDr_RibCXR_train_000.png"]["annotations"][0]["segmentation"] == [
        [8.5, 8.0, 38.5, 14.0, 38.5, 20.5, 8.5, 14.0]
    ]  # floats kept
    assert {item["width"] for item in train.values()} == {96, 112}
    assert ("L3", "R3") in one.tasks["mask"].lateral_pairs and len(one.tasks["mask"].lateral_pairs) == 10
    assert one.splits == ("train", "val") and record("vindr_ribcxr", splits="three").splits[-1] == "test"


def test_ribs_in_another_folder_layout(alone):
    folder, record = alone("vindr_ribcxr")
    (folder / "data").rename(folder / "Data")
    (folder / "Annotations").mkdir()
    for part in ("train", "val"):
        path = folder / "Data" / part / f"Vindr_RibCXR_{part}_mask.json"
        path.rename(folder / "Annotations" / path.name)
    assert len(record.read("mask", "train")) == 4 and record.report("mask", "val").unlisted == 0


def test_montgomery_two_files_a_missing_side_and_two_parts(record):
    one = record("montgomery")
    found = every(one, "mask")
    masks = decode_masks(found["MCUCXR_0002_0"], 2)
    assert (masks[0] == ellipse(100, 122, (60, 20, 90, 90))).all()
    assert (masks[1] == (ellipse(100, 122, (10, 20, 45, 90)) | ellipse(100, 122, (46, 2, 54, 10)))).all()
    assert (decode_masks(found["MCUCXR_0001_0"], 2)[0] == ellipse(122, 100, (60, 20, 90, 90))).all()  # of one bit
    assert (decode_masks(found["MCUCXR_0005_0"], 2)[0] == 255).all()  # no left mask: unknown
    assert one.report("mask", "train").events["structures without a mask file"].times == 1
    assert every(one, "cls")["MCUCXR_0013_1"]["labels"] == [1.0]


def test_jsrt_raw_images_masks_at_half_size_and_folds(record):
    one = record("jsrt")
    found = every(one, "mask")
    item = found["JPCLN001"]
    assert read_image(item["file_name"]).shape == (2048, 2048)
    masks = decode_masks(item, 5)
    heart = ellipse(1024, 1024, (420, 450, 700, 800))
    assert (masks[SCR.index("Heart")] == np.kron(heart, np.ones((2, 2), bool))).all()
    assert (masks[SCR.index("Left Clavicle")] & masks[SCR.index("Left Lung")]).any()
    assert found["JPCNN002"]["unknown_classes"] == [SCR.index("Heart")]
    assert len(found) == 10  # both folds
    assert set(one.tasks["mask"].lateral_pairs) == {
        ("Left Lung", "Right Lung"),
        ("Left Clavicle", "Right Clavicle"),
    }


def test_jsrt_records_run_together_unknown_age_and_millimetres(record):
    boxes = every(record("jsrt"), "box")
    assert len(boxes) == 10
    side = 20 / 0.175
    for n in range(1, 6):
        (entry,) = boxes[f"JPCLN{n:03d}"]["annotations"]
        assert entry["bbox"] == pytest.approx([900 - side / 2, 1100 - side / 2, side, side])
    assert boxes["JPCNN001"]["annotations"] == []


def test_jsrt_in_two_folders_and_with_underscores(alone):
    folder, record = alone("jsrt")
    for name, kind in (("Nodule154images", "JPCLN"), ("NonNodule93images", "JPCNN")):
        (folder / name).mkdir()
        for path in (folder / "All247images").glob(f"{kind}*"):
            path.rename(folder / name / path.name)
    (folder / "All247images").rmdir()
    for fold in ("fold1", "fold2"):
        (folder / "scratch" / fold / "masks" / "left lung").rename(folder / "scratch" / fold / "masks" / "left_lung")
    assert len(every(record, "cls")) == 10
    assert len(every(record, "mask")) == 10
