"""Thousands of seeded mutations of every kind of file that a stranger may send: documented errors, or a result."""

import json
import random
import warnings

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fx_d2 import get_fx_cfg
from fx_d2.checkpoint import CheckpointError, safe_load
from fx_d2.data.errors import DataError
from fx_d2.data.masks import decode_segmentation
from fx_d2.data.readers.coco import CocoFile
from fx_d2.data.readers.csv_labels import CsvLabels
from fx_d2.data.readers.findings_column import FindingsColumn
from fx_d2.data.readers.image_index import ImageIndex
from fx_d2.data.readers.voc import VocFiles
from fx_d2.data.readers.yolo import YoloLabels
from fx_d2.data.readers.yolo_names import find_names, read_class_names
from fx_d2.data.user_datasets import load_user_datasets

HOSTILE = [
    "!!python/object/apply:os.system ['touch exploded']",
    "{}",
    "[]",
    "null",
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 400,
    "-1",
    "0",
    "true",
    '""',
    "'",
    '"',
    "../../etc/passwd",
    "\x00",
    "\ufeff",
    "\ud7ff",
    "[" * 2000,
    "{a: " * 500,
    "&a [*a, *a]",
    "*a",
    "<<: *a",
    "2021-99-99",
    "0o9",
    ":",
    ",",
    "\n",
    "\t",
    " ",
]
ROUNDS = 600


def mutate(text: str, draw: random.Random) -> bytes:
    """One to four changes: a piece cut, repeated, moved, or replaced by something hostile; or a byte changed."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(text) + 1)
        stop = min(len(text), start + draw.choice([0, 1, 2, 5, 20, 100]))
        piece = draw.choice([text[start:stop] * 2, "", draw.choice(HOSTILE), chr(draw.randrange(1, 256)), text[:20]])
        text = text[:start] + piece + text[stop:]
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.2 and data:
        place = draw.randrange(len(data))
        data = data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]
    return data


def fuzz(path, original, read, errors, rounds=ROUNDS, seed=0):
    """Reads mutations of a file; any error but the documented ones fails the test with the file's content."""
    draw, outcomes = random.Random(seed), {True: 0, False: 0}
    for number in range(rounds):
        data = mutate(original, draw)
        path.write_bytes(data)
        try:
            read(path)
            outcomes[True] += 1
        except errors as error:
            assert str(error), (number, data)
            outcomes[False] += 1
        except BaseException as error:
            raise AssertionError(f"round {number}: {type(error).__name__}: {error}; file: {data!r}") from error
    assert outcomes[False] > rounds // 20, "the mutations do no harm: they test nothing"
    return outcomes


@pytest.fixture(autouse=True)
def nothing_explodes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    assert not (tmp_path / "exploded").exists()


@pytest.fixture
def index(tmp_path):
    import cv2

    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((8, 6), np.uint8))
    return ImageIndex(tmp_path / "images")


def test_configurations(tmp_path):
    text = """SOLVER: {BASE_LR: 1e-3, IMS_PER_BATCH: 4}
FX:
  CYCLE:
    UNITS: [node21/cls, node21/box]
    BOX: [{train: head, fraction: 0.5}, {train: path}]
OUTPUT_DIR: out
INPUT: {SIZE: 64, CROP_AREA: {CLS: [0.5, 1.0]}}
"""
    fuzz(tmp_path / "c.yaml", text, lambda path: get_fx_cfg().merge_from_file(path), ValueError)


def test_values_of_the_command_line():
    draw, known = (
        random.Random(1),
        ["SEED", "OUTPUT_DIR", "FX.CYCLE.UNITS", "SOLVER.BASE_LR", "MODEL.PIXEL", "INPUT.FLIP.CLS"],
    )
    for _ in range(ROUNDS):
        value = mutate("[1, 2.5, 'a', {'b': None}]", draw).decode("latin-1")
        try:
            get_fx_cfg_once().clone().merge_from_list([draw.choice(known), value])
        except ValueError as error:
            assert str(error)


def get_fx_cfg_once(cache=[]):  # noqa: B006  (building the defaults six hundred times is most of the time)
    if not cache:
        cache.append(get_fx_cfg())
    return cache[0]


def test_dataset_declarations(tmp_path, index):
    (tmp_path / "labels.csv").write_text("image,Mass,Nodule\na,1,0\nb,0,1\n")
    text = """datasets:
  mine:
    images: images
    splits: {train: 0.5, test: 0.5, seed: 1}
    tasks:
      cls: {file: labels.csv, image: image, classes: [Mass, Nodule], uncertain: ignore}
    notes: "a note"
"""
    path = tmp_path / "d.yaml"

    def read(path):
        for record in load_user_datasets(path).values():
            for split in record.splits:
                for task in record.tasks:
                    record.read(task, split)

    fuzz(path, text, read, DataError)


def test_label_tables(tmp_path, index):
    text = 'image,Mass,Nodule,"Left, Effusion"\na.png,1,0,-1\nb.png,,0.5,1\n'
    path = tmp_path / "l.csv"

    def read(path):
        reader = CsvLabels(path, "image", None, False, float("nan"))
        assert reader.classes
        reader.read(index)

    fuzz(path, text, read, DataError, rounds=2 * ROUNDS)


@pytest.mark.parametrize("task", ["box", "mask"])
def test_coco_files(tmp_path, index, task):
    runs = coco_mask.encode(np.asfortranarray(np.eye(8, 6, dtype=np.uint8)))
    segments = [
        [[1, 1, 4, 1, 4, 5]],
        {"size": [8, 6], "counts": runs["counts"].decode()},
        {"size": [8, 6], "counts": [40, 8]},
    ]
    content = {
        "images": [{"id": i, "file_name": f"{n}.png", "height": 8, "width": 6} for i, n in enumerate("ab")],
        "categories": [{"id": 3, "name": "Mass"}, {"id": 5, "name": "Nodule"}],
        "annotations": [
            {"id": i, "image_id": i % 2, "category_id": 3, "bbox": [1, 1, 3, 4], "segmentation": s, "iscrowd": 0}
            for i, s in enumerate(segments)
        ],
    }

    def read(path):
        reader = CocoFile(path, task)
        assert reader.classes
        for fields in reader.read(index).values():
            for annotation in fields["annotations"] if task == "mask" else ():
                decode_segmentation(annotation["segmentation"], 8, 6)

    fuzz(tmp_path / "c.json", json.dumps(content), read, DataError, rounds=2 * ROUNDS)


def test_yolo_labels(tmp_path, index):
    (tmp_path / "labels").mkdir()
    text = "0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.3 0.2 0.25 0.6\n"
    reader = YoloLabels(tmp_path / "labels", {0: "Mass", 1: "Nodule"}, ("Mass", "Nodule"))
    fuzz(tmp_path / "labels" / "a.txt", text, lambda path: reader.read(index), DataError)
    names = "train: ../images\nnc: 2\nnames:\n  0: Mass\n  1: Nodule\n"
    fuzz(tmp_path / "data.yaml", names, read_class_names, DataError)
    fuzz(tmp_path / "data.yaml", names, lambda path: find_names(tmp_path / "labels"), DataError)


def test_voc_files(tmp_path, index):
    (tmp_path / "xml").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>"
    text = "<annotation><filename>a.png</filename><size><width>6</width><height>8</height></size>"
    text += f"<object><name>Mass</name><difficult>0</difficult>{box}</object></annotation>"

    def read(path):
        reader = VocFiles(tmp_path / "xml")
        assert reader.classes
        reader.read(index)

    fuzz(tmp_path / "xml" / "a.xml", text, read, DataError)


@pytest.mark.parametrize(("encoding", "separator"), [("utf-8", ";"), ("utf-16", "\t"), ("latin-1", ",")])
def test_tables_of_other_forms(tmp_path, index, encoding, separator):
    """The bytes change, so that text is cut inside of a character, too."""
    rows = [["image", "Befund", "Größe"], ["a.png", "Mass|Nodule", "1"], ["b.png", "No Finding", "0"]]
    good, draw = "\n".join(map(separator.join, rows)).encode(encoding), random.Random(4)
    for number in range(ROUNDS):
        data = bytearray(good)
        for _ in range(draw.randint(1, 3)):
            start = draw.randrange(len(data))
            data[start : start + draw.choice([0, 1, 2])] = draw.choice([b"", b"\0", b"\xff", b'"', b";", b"\t", b"\n"])
        (tmp_path / "l.csv").write_bytes(data)
        for findings in (None, FindingsColumn("Befund")):
            try:
                CsvLabels(tmp_path / "l.csv", findings=findings).read(index)
            except DataError as error:
                assert "l.csv" in str(error), (number, data)


def test_run_lengths():
    draw = random.Random(2)
    runs = coco_mask.encode(np.asfortranarray(np.eye(8, 6, dtype=np.uint8)))
    good = json.dumps({"size": [8, 6], "counts": runs["counts"].decode()})
    tried = 0
    while tried < 2 * ROUNDS:
        try:
            segmentation = json.loads(mutate(good, draw))
        except (ValueError, RecursionError):
            continue
        tried += 1
        if not isinstance(segmentation, dict | list):
            continue
        try:
            assert decode_segmentation(segmentation, 8, 6).shape == (8, 6)
        except DataError as error:
            assert str(error)


def test_checkpoints(tmp_path):
    import torch

    path = tmp_path / "c.pth"
    torch.save({"model": {"weight": torch.arange(8.0)}, "iteration": 3}, path)
    good, draw = path.read_bytes(), random.Random(3)
    for _ in range(ROUNDS):
        data = bytearray(good)
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        try:
            safe_load(path, verify=draw.random() < 0.5)
        except CheckpointError as error:
            assert "c.pth" in str(error)
