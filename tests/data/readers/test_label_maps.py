"""Label maps written by Pillow and OpenCV: the same masks as a picture for each class."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.masks import decode_masks
from fx_d2.data.user_datasets import load_user_datasets

LEFT, RIGHT = np.zeros((2, 30, 40), bool)
LEFT[5:25, 22:36] = True  # 280 pixels
RIGHT[5:25, 3:15] = True  # 240
MAP = (LEFT * 1 + RIGHT * 2).astype(np.uint8)


@pytest.fixture
def declare(tmp_path):
    """``declare(map, ...)`` writes images ``a.png``, ``b.png`` ... with their maps, and gives the dataset's record."""

    def write(*maps, **task):
        for name, picture in zip("abcdef", maps, strict=False):
            (tmp_path / "images").mkdir(exist_ok=True)
            (tmp_path / "maps").mkdir(exist_ok=True)
            Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "images" / f"{name}.png")
            if isinstance(picture, Image.Image):
                picture.save(tmp_path / "maps" / f"{name}_seg.png")
            else:
                cv2.imwrite(str(tmp_path / "maps" / f"{name}_seg.png"), picture)
        task = {"folder": "maps", "suffix": "_seg", "labels": {1: "Left Lung", 2: "Right Lung"}, **task}
        declared = {"images": "images", "splits": {"train": 1.0}, "tasks": {"mask": task}}
        (tmp_path / "my.yaml").write_text(yaml.safe_dump({"datasets": {"toy": declared}}))
        return load_user_datasets(tmp_path / "my.yaml")["toy"]

    return write


def test_every_form_of_a_map_gives_the_masks(declare):
    palette = Image.fromarray(MAP, "P")
    palette.putpalette([0, 0, 0, 200, 0, 0, 200, 0, 0] + [0] * 759)  # one colour for both: only the numbers tell
    forms = [MAP, MAP.astype(np.uint16), palette, Image.fromarray(MAP).convert("RGB"), MAP * (MAP == 2)]
    record = declare(*forms)
    assert record.tasks["mask"].classes == ("Left Lung", "Right Lung")
    assert record.tasks["mask"].lateral_pairs == (("Left Lung", "Right Lung"),)
    records = record.read("mask", "train")
    assert len(records) == 5
    for item in records[:4]:
        assert np.array_equal(decode_masks(item, 2), [LEFT, RIGHT])
        assert [entry["bbox"] for entry in item["annotations"]] == [[22, 5, 14, 20], [3, 5, 12, 20]]
    # The last map has no left lung: it is absent there, not unknown.
    assert records[4]["unknown_classes"] == [] and [entry["category_id"] for entry in records[4]["annotations"]] == [1]


def test_chosen_classes_in_their_order(declare):
    record = declare(MAP, labels={1: "Left Lung", 2: "Right Lung"}, classes=["Right Lung"], lateral_pairs=[])
    assert np.array_equal(decode_masks(record.read("mask", "train")[0], 1), [RIGHT])


def test_other_endings_and_two_maps_of_an_image(declare, tmp_path):
    declare(MAP, MAP)
    Image.fromarray(MAP).save(tmp_path / "maps" / "a_seg.TIFF")
    (tmp_path / "maps" / "a_seg.png").unlink()
    for item in declare(labels={1: "Left Lung", 2: "Right Lung"}).read("mask", "train"):
        assert np.array_equal(decode_masks(item, 2), [LEFT, RIGHT])
    Image.fromarray(MAP).save(tmp_path / "maps" / "b_seg.bmp")
    with pytest.raises(
        DataError, match=r"b_seg\.bmp: there is b_seg\.png, too, and b\.png has one label map; keep one"
    ):
        declare().read("mask", "train")


def test_a_value_without_a_label_is_refused_with_a_count(declare):
    odd = MAP.copy()
    odd[0, :7] = 9
    with pytest.raises(
        DataError, match=r"b_seg\.png: 7 pixels have the value 9.*1, 2.*\(2 masks of 3 cannot be used\)"
    ):
        declare(MAP, odd, odd).read("mask", "train")
    colour = np.zeros((30, 40, 3), np.uint8)
    colour[LEFT, 2] = 255
    with pytest.raises(DataError, match=r"a_seg\.png: a label map in colour; write one number a pixel"):
        declare(colour).read("mask", "train")
    with pytest.raises(DataError, match=r"20 x 30 pixels \(width x height\), its image .* 40 x 30"):
        declare(MAP[:, :20]).read("mask", "train")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"labels": {0: "A"}}, r"tasks\.mask\.labels: a pixel value is a whole number from 1 to 65535.*not 0"),
        ({"labels": ["A"]}, r"labels: a mapping of pixel values to names"),
        ({"labels": {1: "A", 2: "A"}}, r"'A' is named twice"),
        ({"classes": ["Lung"]}, r"no label 'Lung'"),
        ({"folder": "nowhere"}, r"folder: no such folder"),
        ({"file": "maps"}, r"file: give file or folder, not both"),
        ({"folders": {"A": "maps"}}, r"folder: give folder or folders, not both"),
    ],
)
def test_a_wrong_declaration(declare, task, message):
    with pytest.raises(DataError, match=message):
        declare(MAP, **task)
