"""The quirks of RSNA Pneumonia, ChestX-Det, NODE21, TBX11K and of box fusion, each seen in what is read."""

from __future__ import annotations

import numpy as np
import pytest

from fx_d2.data.builtin import builtin_records
from fx_d2.data.images import image_size
from fx_d2.data.labels import TBX11K_TYPES
from fx_d2.data.readers.fusion import enough, fuse_boxes


def test_rsna_classes_boxes_and_patients(read):
    splits = [read("rsna_pneumonia", "box", split) for split in ("train", "val", "test")]
    patients = [{item["patient_id"] for item in split.values()} for split in splits]
    assert sum(map(len, splits)) == 24 and sum(map(len, patients)) == len(set().union(*patients)) == 12
    every = splits[0] | splits[1] | splits[2]
    name = "00000003-14fd-4e49-80ba-63a80b6bddd6"
    assert [entry["bbox"] for entry in every[name]["annotations"]] == [[264, 152, 213, 379], [562, 152, 256, 453]]
    assert every[name]["same_image"] == ("nih_cxr14", "00000101_001.png")
    assert every[name.replace("3-", "4-", 1)]["annotations"] == []
    labels = read("rsna_pneumonia", "cls", "train")
    assert set(labels) == set(splits[0])
    assert all(sum(item["labels"]) == 1 for item in labels.values())


def test_chestx_det_parallel_arrays(read):
    every = read("chestx_det", "box", "train") | read("chestx_det", "box", "val")
    assert every["36199.png"]["annotations"] == []
    assert [entry["bbox"] for entry in every["36204.png"]["annotations"]] == [[400, 500, 300, 220], [233, 666, 25, 27]]
    masks = read("chestx_det", "mask", "test")["39524.png"]["annotations"]
    assert masks[0]["category_id"] == 4 and len(masks[0]["segmentation"][0]) == 8


def test_rsna_test_images_are_not_taken_and_ids_alone_are_patients_of_their_own(alone):
    folder, record = alone("rsna_pneumonia")
    assert record.report("cls", "train").unlisted == 0
    assert not any("0000a175" in item["image_id"] for split in record.splits for item in record.read("cls", split))
    (folder / "pneumonia-challenge-dataset-mappings_2018.json").unlink()
    again = builtin_records({})["rsna_pneumonia"]
    assert "patient_id" not in again.read("cls", "train")[0] and len(again.read("cls", "train")) == 19


def test_rsna_class_without_blanks_round_the_slash(alone):
    folder, record = alone("rsna_pneumonia")
    path = folder / "stage_2_detailed_class_info.csv"
    path.write_text(path.read_text().replace("No Lung Opacity / Not Normal", "No Lung Opacity/Not Normal"))
    assert any(item["labels"] == [0, 1, 0] for item in record.read("cls", "train"))


def test_chestx_det_both_parts_lie_in_folders_of_any_name(alone):
    folder, record = alone("chestx_det")
    (folder / "train_data").rename(folder / "train")
    (folder / "test_data").rename(folder / "some where")
    assert len(record.read("box", "test")) == 2 and record.report("box", "test").unlisted == 0


def test_node21_columns_by_name_two_nodules_and_clean_images(read):
    every = {}
    for split in ("train", "val", "test"):
        every |= read("node21", "box", split)
    assert len(every) == 16
    assert [entry["bbox"] for entry in every["n0002.mha"]["annotations"]] == [[640, 500, 70, 60], [200, 410, 33, 31]]
    assert every["c0002.mha"]["annotations"] == []
    assert image_size(every["n0001.mha"]["file_name"]) == (1024, 1024)  # the processed one, not the original


def test_node21_sources_from_the_name_list(read):
    every = {}
    for split in ("train", "val", "test"):
        every |= read("node21", "cls", split)
    assert every["n0003.mha"]["same_image"] == ("nih_cxr14", "00000001_001.png")
    assert every["n0003.mha"]["patient_id"] == every["n0002.mha"]["patient_id"] == "00000001"
    assert every["n0007.mha"]["same_image"] == ("jsrt", "JPCLN001.IMG")
    assert "same_image" not in every["n0008.mha"] and "same_image" not in every["c0001.mha"]


def test_node21_spelt_right_and_without_its_outer_folders(alone):
    folder, record = alone("node21")
    (folder / "cxr_images" / "proccessed_data").rename(folder / "processed_data")
    assert len(record.read("cls", "train")) == 11


def test_tbx11k_boxes_in_the_frame_of_the_pictures(read, record):
    train = read("tbx11k", "box", "train")
    assert [entry["bbox"] for entry in train["tb/tb0001.png"]["annotations"]] == [
        [100.5, 120.25, 80.0, 60.0], [300.0, 110.0, 40.5, 50.5]
    ]  # fmt: skip
    assert train["health/h0001.png"]["annotations"] == train["sick/s0001.png"]["annotations"] == []
    assert "tb/tb1199.png" not in train  # tuberculosis that nobody boxed
    assert read("tbx11k", "cls", "train")["tb/tb1199.png"]["labels"] == [1.0]
    assert read("tbx11k", "cls", "train")["sick/s0001.png"]["labels"] == [0.0]
    assert record("tbx11k").splits == ("train", "val")
    assert record("tbx11k").report("cls", "train").unlisted == 0  # test/ and extra/ are not this part's


def test_tbx11k_types_and_three_splits(record):
    one = record("tbx11k", classes="types")
    assert one.tasks["box"].classes == TBX11K_TYPES
    found = {item["image_id"]: item for item in one.read("box", "train")}
    assert [entry["category_id"] for entry in found["tb/tb0001.png"]["annotations"]] == [0, 1]
    three = record("tbx11k", splits="three")
    assert three.splits == ("train", "val", "test") and three.published == {}
    assert len(three.read("cls", "test")) == 3


# ---- fusion -----------------------------------------------------------------------------------------------------


def test_fused_boxes_are_means_and_count_readers():
    boxes = [(0, 0, 10, 10), (1, 0, 11, 10), (2, 0, 12, 10), (50, 50, 60, 60), (0, 0, 10, 9)]
    fused = fuse_boxes(boxes, ["R1", "R2", "R3", "R2", "R1"])
    # Four boxes of three readers overlap by half or more with their running mean; the far one is alone.
    assert fused == [(pytest.approx([0.75, 0, 10.75, 9.75]), 3), ([50, 50, 60, 60], 1)]


def test_fusion_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 40, (12, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 30, (12, 2))], axis=1).tolist()
    readers = [f"R{k % 3}" for k in range(12)]
    order = rng.permutation(12)
    assert fuse_boxes(boxes, readers) == fuse_boxes([boxes[k] for k in order], [readers[k] for k in order])


def test_boxes_that_overlap_little_stay_apart():
    fused = fuse_boxes([(0, 0, 10, 10), (6, 0, 16, 10)], ["R1", "R2"])  # 40 of 160
    assert [votes for _, votes in fused] == [1, 1]
    assert len(fuse_boxes([(0, 0, 10, 10), (6, 0, 16, 10)], ["R1", "R2"], threshold=0.25)) == 1


@pytest.mark.parametrize(("policy", "needed"), [("any", 1), ("majority", 2), ("all", 3)])
def test_votes(policy, needed):
    assert [enough(votes, 3, policy) for votes in range(4)] == [votes >= needed for votes in range(4)]
    assert not enough(1, 2, "majority")  # half is no majority
