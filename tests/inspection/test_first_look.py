"""Images without a declaration: the draft says what is there, and reads as it is."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.commands import check_data
from fx_d2.data.errors import DataError
from fx_d2.data.masks import decode_masks
from fx_d2.data.user_datasets import load_user_datasets
from fx_d2.inspection.first_look import look
from fx_d2.phantoms.writing import write_dicom
from tests.engine.runs import short_config, train

pytestmark = pytest.mark.usefixtures("fresh_catalog")


def run(capsys, *arguments):
    code = check_data.main([str(argument) for argument in arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "tasks"), [("phantom_ward", ["cls", "box"]), ("phantom_heart", ["cls", "box", "mask"])]
)
def test_the_draft_of_a_synthetic_dataset_passes_the_check(cohort, tmp_path, monkeypatch, capsys, name, tasks):
    """Tables and COCO files beside the images are found; the patients come from a table of their own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(cohort / "phantoms" / name, tmp_path / name)
    code, text = run(capsys, "--images", name + "/images")
    assert code == 0
    draft = yaml.safe_load((tmp_path / f"{name}.yaml").read_text())["datasets"][name]
    assert draft["images"] == f"{name}/images" and sorted(draft["tasks"]) == sorted(tasks)
    assert draft["patients"]["file"].startswith(f"{name}/")
    shown = next(line for line in text.splitlines() if line.startswith("fx-d2 check-data"))
    assert shown.count(name) == 1 + len(tasks)
    units = str([f"{name}/{task}" for task in tasks])
    code, text = run(capsys, "--no-cache", "DATASETS.FILES", f"['{name}.yaml']", "FX.CYCLE.UNITS", units)
    assert code == 0 and "No problem and no leak found." in text
    with pytest.raises(ValueError, match=rf"{name}\.yaml: is there already; name another file with --write"):
        check_data.main(["--images", name + "/images"])


def test_a_draft_trains_as_it_is(cohort, tmp_path):
    """Found in a folder beside the images; one cycle of findings and boxes over a few images."""
    shutil.copytree(cohort / "phantoms" / "phantom_heart" / "images", tmp_path / "nih_cxr14" / "images")
    (tmp_path / "nih_cxr14" / "annotations").mkdir()
    for name in ("labels.csv", "boxes_coco.json"):
        shutil.copy(cohort / "phantoms" / "phantom_heart" / name, tmp_path / "nih_cxr14" / "annotations" / name)
    found = look(tmp_path / "nih_cxr14" / "images", None, tmp_path / "a.yaml")
    shutil.copy(tmp_path / "nih_cxr14" / "annotations" / "labels.csv", tmp_path / "nih_cxr14" / "annotations" / "z.csv")
    again = look(tmp_path / "nih_cxr14" / "images", None, tmp_path / "a.yaml")
    assert again.text == found.text and any(
        line.startswith("cls: the draft has the first that fits, not ") and line.endswith("z.csv")
        for line in again.lines
    )
    assert (found.name, found.tasks) == ("my_nih_cxr14", ("cls", "box"))  # the name of a built-in dataset stays its own
    (tmp_path / "a.yaml").write_text(found.text)
    units = {"FX.CYCLE.UNITS": ["my_nih_cxr14/cls", "my_nih_cxr14/box"], "FX.CYCLE.COUNT": 1}
    cfg = short_config(tmp_path, tmp_path / "out", **{"DATASETS.FILES": [str(tmp_path / "a.yaml")]}, **units)
    trainer = train(cfg)
    assert trainer.iter == trainer.max_iter == 6


def test_suffixless_dicom_with_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        (tmp_path / "scans").mkdir(exist_ok=True)
        write_dicom(tmp_path / "scans" / f"IM{number:04d}", np.full((8, 8), number, np.uint8))
    rows = "".join(f"IM{n:04d},{n // 2},{n % 2},{50 + n}\n" for n in range(12))
    (tmp_path / "truth.csv").write_text("Image Index,Patient ID,Mass,Patient Age\n" + rows)
    code, text = run(capsys, "--images", "scans", "--labels", "truth.csv", "--write", "out.yaml")
    assert code == 0 and "12 dicom of 8 bits" in text and "from 8 x 8 to 8 x 8 pixels" in text
    draft = yaml.safe_load((tmp_path / "out.yaml").read_text())["datasets"]["scans"]
    assert draft["tasks"] == {"cls": {"file": "truth.csv", "image": "Image Index", "classes": ["Mass"]}}
    assert draft["patients"] == {"file": "truth.csv", "image": "Image Index", "patient": "Patient ID"}
    record = load_user_datasets(tmp_path / "out.yaml")["scans"]
    labels = {item["image_id"]: item["labels"] for split in record.splits for item in record.read("cls", split)}
    assert labels == {f"IM{n:04d}": [n % 2] for n in range(12)}


def test_masks_in_folders_and_label_maps(tmp_path):
    for number in range(6):
        shape = np.zeros((8, 8), np.uint8)
        shape[number : number + 2] = 1
        for folder, picture in (("images", shape), ("masks/heart", shape * 255), ("maps", shape + 2 * np.tri(8, k=-4))):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            suffix = "" if folder == "images" else "_m"
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / folder / f"case{number}{suffix}.png")
    found = look(tmp_path / "images", tmp_path / "masks", tmp_path / "a.yaml")
    declared = yaml.safe_load(found.text)["datasets"][found.name]
    assert declared["tasks"]["mask"] == {"folders": {"heart": "masks/heart"}, "suffix": "_m"}
    found = look(tmp_path / "images", tmp_path / "maps", tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text(found.text)
    record = load_user_datasets(tmp_path / "a.yaml")[found.name]
    assert record.tasks["mask"].classes == ("Structure 1", "Structure 2", "Structure 3")
    first = min((item for split in record.splits for item in record.read("mask", split)), key=lambda r: r["image_id"])
    values = np.asarray(Image.open(tmp_path / "maps" / "case0_m.png"))
    assert np.array_equal(decode_masks(first, 3), [values == 1, values == 2, values == 3])


def test_without_annotations_the_draft_shows_the_forms(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "films" / "a.bmp")
    (tmp_path / "notes.csv").write_text("name,remark\nsomebody,fine\n")
    code, text = run(capsys, "--images", "films")
    assert code == 1 and "1 bmp of 8 bits" in text and "notes.csv: no column names images of this folder" in text
    draft = (tmp_path / "films.yaml").read_text()
    assert list(yaml.safe_load(draft)["datasets"]["films"]) == ["images", "splits"] and "#   box:" in draft
    with pytest.raises(DataError, match=r"notes\.csv: no column names images of this folder; the first is 'a\.bmp'"):
        look(tmp_path / "films", tmp_path / "notes.csv", tmp_path / "b.yaml")
    for arguments, message in ((["--images", "none"], "none: no such folder"), (["--labels", "x"], "go with --images")):
        with pytest.raises(ValueError, match=message):
            check_data.main(arguments)
