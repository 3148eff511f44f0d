"""What is written is read back to the last bit; damaged files are named."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from fx_d2.data.errors import DataError
from fx_d2.data.rle import from_mask as encode
from fx_d2.evaluation.files import read_manifest, read_table, table_path, write_manifest, write_table
from fx_d2.evaluation.regions import split_regions
from fx_d2.evaluation.tables import BoxTable, FindingTable, ImageRow, Manifest, MaskRow, MaskTable, Options

IMAGES = [
    ImageRow("a,1.png", "p1", 20, 30, (0.2, 0.25)),
    ImageRow('b "2".png', None, 20, 30),
    ImageRow("ü.png", "p1", 20, 30, None, (1,)),
]


def finding_table():
    rng = np.random.default_rng(0)
    labels = np.array([[1, 0], [np.nan, 0.3], [0, 1]], dtype=float)
    return FindingTable(IMAGES, ("x/y", "Kerley, B"), labels, rng.random((3, 2)), exclusive=True)


def box_table():
    rng = np.random.default_rng(1)
    truth = np.column_stack([[0, 2], rng.random((2, 4)) * 9, [1, 0], [0, 1]])
    predictions = np.column_stack([[0, 0, 2], rng.random((3, 4)) * 9, [1, 0, 1], rng.random(3)])
    return BoxTable(IMAGES, ("x", "y"), truth, predictions)


def mask_table():
    rng = np.random.default_rng(2)
    mask = rng.random((20, 30)) < 0.2
    truth = [[MaskRow(0, encode(mask))], [], [MaskRow(1, encode(~mask))]]
    return MaskTable(IMAGES, ("x", "y"), truth, [split_regions(mask, 1, rng.random((20, 30))), [], []])


def test_findings(tmp_path):
    table = finding_table()
    write_table(tmp_path, "teacher", "set_one/cls", "test", table)
    read = read_table(tmp_path, "teacher", "set_one/cls", "test", exclusive=True)
    assert (tmp_path / "teacher" / "set_one_cls_test.csv").is_file()
    assert read.classes == table.classes and read.exclusive
    np.testing.assert_array_equal(read.labels, table.labels)
    np.testing.assert_array_equal(read.scores, table.scores)
    assert [(row.image_id, row.patient_id) for row in read.images] == [(r.image_id, r.patient_id) for r in IMAGES]


def test_boxes(tmp_path):
    table = box_table()
    write_table(tmp_path, "student", "s/box", "test", table)
    read = read_table(tmp_path, "student", "s/box", "test")
    assert (read.images, read.classes) == (IMAGES, table.classes)
    np.testing.assert_array_equal(read.truth, table.truth)
    np.testing.assert_array_equal(read.predictions, table.predictions)
    coco = COCO(str(tmp_path / "truth" / "s_box_test.json"))  # the common tools read them, too
    assert len(coco.loadRes(str(tmp_path / "student" / "s_box_test.json")).anns) == 3
    assert coco.imgs[1]["patient_id"] == "p1" and coco.imgs[1]["spacing"] == [0.2, 0.25]


def test_masks(tmp_path):
    table = mask_table()
    write_table(tmp_path, "student", "s/mask", "val", table)
    read = read_table(tmp_path, "student", "s/mask", "val")
    assert read == table


def test_nothing_predicted_and_nothing_true(tmp_path):
    empty = np.zeros((0, 7))
    write_table(tmp_path, "student", "s/box", "test", BoxTable(IMAGES, ("x",), empty, empty))
    read = read_table(tmp_path, "student", "s/box", "test")
    assert read.truth.shape == read.predictions.shape == (0, 7)


def test_the_truth_is_written_once(tmp_path):
    table = box_table()
    write_table(tmp_path, "student", "s/box", "test", table)
    path = table_path(tmp_path, "truth", "s/box", "test")
    path.write_text(path.read_text() + " ")
    write_table(tmp_path, "teacher", "s/box", "test", table, truth=False)
    assert path.read_text().endswith(" ")
    write_table(tmp_path, "student", "s/box", "test", table)  # a new evaluation replaces it
    assert not path.read_text().endswith(" ")


def test_manifest(tmp_path):
    units = {"s/cls": {"classes": ["x"], "exclusive": False, "splits": ["val", "test"]}}
    manifest = Manifest("test", ("student",), units, "val", Options(bootstraps=7))
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    with pytest.raises(DataError, match=r"none.manifest\.json does not exist"):
        read_manifest(tmp_path / "none")
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="format is not 1"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,label:x,score:x\n", "columns must be"),
        ("image_id,patient_id,label:x,score:x\na,,1,many\n", "line 2: could not convert"),
        ("image_id,patient_id,label:x,score:x\na,,1,0.5\nb,,1\n", "line 3: 3 cells, the header has 4"),
        ("image_id,patient_id,label:x,score:x\na,,1,0.5\nb,,1,\n", "line 3: a score is missing"),
        ("image_id,patient_id,label:x,score:x\na,,1,0.5\nb,,1,-2.5\n", "line 3: a score lies outside 0..1"),
        ("image_id,patient_id,label:x,score:x\na,,1,nan\n", "line 2: a score is missing"),
        ("image_id,patient_id,label:x,score:x\n", "there is no image"),
    ],
)
def test_damaged_scores_name_the_line(tmp_path, text, message):
    path = table_path(tmp_path, "student", "s/cls", "test")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path, "student", "s/cls", "test")


def test_a_prediction_for_an_unknown_image_is_named(tmp_path):
    write_table(tmp_path, "student", "s/box", "test", box_table())
    path = table_path(tmp_path, "student", "s/box", "test")
    path.write_text('[{"image_id": 4, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]')
    with pytest.raises(DataError, match=r"s_box_test\.json, row 0: no such image"):
        read_table(tmp_path, "student", "s/box", "test")
    path.write_text('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]')
    with pytest.raises(DataError, match=r"s_box_test\.json, row 0: bbox and score are needed"):
        read_table(tmp_path, "student", "s/box", "test")
    path.write_text("[{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_table(tmp_path, "student", "s/box", "test")
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path, "student", "s/box", "test")
