"""Every form of annotations without a declaration: the draft that is written reads as what the files say."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.user_datasets import load_user_datasets
from fx_d2.inspection.first_look import look

pytestmark = pytest.mark.usefixtures("fresh_catalog")

HEIGHT, WIDTH = 20, 40
BOX = [10, 5, 20, 10]  # x, y, width, height of the box on every image but the last
YOLO = "0 0.5 0.5 0.5 0.5\n"
VOC = (
    "<annotation><object><name>Mass</name><bndbox><xmin>10</xmin><ymin>5</ymin><xmax>30</xmax><ymax>15</ymax></bndbox>"
    "</object></annotation>"
)


@pytest.fixture
def images(tmp_path):
    """``images(folder)`` writes ten images there."""

    def write(folder: str):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(np.full((HEIGHT, WIDTH), number, np.uint8)).save(tmp_path / folder / f"i{number}.png")
        return tmp_path / folder

    return write


def draft(folder, labels, tmp_path):
    """The draft as a record, its declared tasks, and the lines for people."""
    found = look(folder, labels, tmp_path / "draft.yaml")
    (tmp_path / "draft.yaml").write_text(found.text)
    declared = yaml.safe_load(found.text)["datasets"][found.name]["tasks"]
    return load_user_datasets(tmp_path / "draft.yaml")[found.name], declared, "\n".join(found.lines)


def read(record, task: str) -> dict:
    return {item["image_id"]: item for split in record.splits for item in record.read(task, split)}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("folder", "labels", "target"),
    [
        ("data/images", None, "data/labels/{}"),
        ("data/images/train", None, "data/labels/train/{}"),
        ("data/images", None, "data/images/{}"),
        ("data/images", "elsewhere/x", "elsewhere/x/{}"),
        ("data/train/images", None, "data/train/labels/{}"),
    ],
)
def test_yolo(images, tmp_path, folder, labels, target, named):
    root = images(folder)
    for number in range(9):
        path = tmp_path / target.format(f"i{number}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(YOLO if number < 8 else "")
    if named:
        (path.parent.parent / "data.yaml").write_text("names: {0: Mass, 1: Nodule}\n")
    record, declared, lines = draft(root, labels and tmp_path / labels, tmp_path)
    expected = {"yolo": target.removesuffix("/{}"), **({} if named else {"classes": ["Class 0"]})}
    assert declared == {"box": expected}
    assert record.tasks["box"].classes == (("Mass", "Nodule") if named else ("Class 0",))
    boxes = {name: [entry["bbox"] for entry in item["annotations"]] for name, item in read(record, "box").items()}
    assert boxes == {f"i{number}.png": [BOX] if number < 8 else [] for number in range(9)}
    assert "YOLO labels of 9 images" in lines and "1 image without a label file: they are not used" in lines
    assert ("give the numbers their names (0 occur)" in lines) != named


@pytest.mark.parametrize("target", ["data/Annotations", "data/images"])
def test_voc(images, tmp_path, target):
    root = images("data/images")
    (tmp_path / target).mkdir(exist_ok=True)
    for number in range(9):
        (tmp_path / target / f"i{number}.xml").write_text(VOC if number < 8 else "<annotation></annotation>")
    record, declared, lines = draft(root, None, tmp_path)
    assert declared == {"box": {"voc": target}} and record.tasks["box"].classes == ("Mass",)
    boxes = {name: [entry["bbox"] for entry in item["annotations"]] for name, item in read(record, "box").items()}
    assert boxes == {f"i{number}.png": [BOX] if number < 8 else [] for number in range(9)}
    assert "Pascal VOC, 8 objects in 9 files: Mass" in lines and "1 image without an XML file" in lines


@pytest.mark.parametrize(("mark", "extra"), [("|", {}), (";", {"separator": ";"})])
def test_a_column_of_findings(images, tmp_path, mark, extra):
    texts = [f"Mass{mark}Nodule", "No Finding", "Nodule", "Mass", ""] * 2
    rows = "".join(f'i{n}.png\t{text}\t{n % 2}\t"seen; {n}, clear"\n' for n, text in enumerate(texts))
    (tmp_path / "t.tsv").write_bytes(f"Image Index\tFinding Labels\tFollow-up\tNöte\n{rows}".encode("utf-16"))
    record, declared, lines = draft(images("scans"), None, tmp_path)
    expected = {"file": "t.tsv", "image": "Image Index", "findings": "Finding Labels", **extra}
    assert declared == {"cls": {**expected, "classes": ["Mass", "Nodule"]}}
    found = {name: item["labels"] for name, item in read(record, "cls").items()}
    assert found == {f"i{n}.png": [[1, 1], [0, 0], [0, 1], [1, 0]][n % 5] for n in range(10) if n % 5 < 4}
    assert "separated by tab, text in UTF-16 (such as 'Nöte')" in lines
    assert "column 'Finding Labels' lists findings: Mass, Nodule" in lines


def test_free_text_is_no_list_of_findings(images, tmp_path):
    rows = "".join(f"i{n}.png,seen by {n}; clear,{n % 2}\n" for n in range(10))
    (tmp_path / "t.csv").write_text(f"image,note,Mass\n{rows}")
    _, declared, _ = draft(images("scans"), None, tmp_path)
    assert declared == {"cls": {"file": "t.csv", "image": "image", "classes": ["Mass"]}}


@pytest.mark.parametrize("ending", ["tif", "bmp", "webp"])
def test_masks_and_label_maps(images, tmp_path, ending):
    root = images("data/images")
    numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
    numbers[5:15, 5:15], numbers[5:15, 20:30] = 1, 2
    options = {"lossless": True} if ending == "webp" else {}
    for folder, picture in (("masks/heart", (numbers == 1) * 255), ("maps", numbers)):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(10):
            path = tmp_path / folder / f"i{number}_m.{ending}"
            Image.fromarray(picture.astype(np.uint8)).save(path, **options)
        (tmp_path / folder / "readme.txt").write_text("Drawn by hand.\n")  # no label file
    _, declared, _ = draft(root, tmp_path / "masks", tmp_path)
    assert declared == {"mask": {"folders": {"heart": "masks/heart"}, "suffix": "_m"}}
    record, declared, _ = draft(root, tmp_path / "maps", tmp_path)
    assert declared["mask"]["labels"] == {1: "Structure 1", 2: "Structure 2"}
    assert len(read(record, "mask")["i0.png"]["annotations"]) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": YOLO}, r"labels: no label file fits an image"),
        ({"i0.txt": "0 5 5 5 5"}, r"i0\.txt, line 1: .*5 is not in 0\.\.1"),
        ({"i0.txt": "900 0.5 0.5 0.5 0.5"}, r"YOLO labels up to class 900, and no data\.yaml or classes\.txt"),
        ({"i0.xml": "<svg></svg>"}, r"i0\.xml: not a Pascal VOC file"),
        ({"i0.doc": ""}, r"labels: no label file \(\.txt, \.xml\) and no mask"),
        ({}, r"labels: no label file \(\.txt, \.xml\) and no mask"),
    ],
)
def test_a_folder_that_is_nothing(images, tmp_path, files, message):
    root = images("data/images")
    (tmp_path / "data" / "labels").mkdir()
    for name, text in files.items():
        (tmp_path / "data" / "labels" / name).write_text(text)
    with pytest.raises(DataError, match=message):
        look(root, tmp_path / "data" / "labels", tmp_path / "a.yaml")
    found = look(root, None, tmp_path / "a.yaml")  # found beside the images: a line, and a draft without tasks
    assert found.tasks == () and (not files or "i0.doc" in files or any("labels" in line for line in found.lines[3:]))
