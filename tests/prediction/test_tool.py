"""tools/predict.py as people run it: its files read back with other libraries, exit codes."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

import fx_d2
from fx_d2.commands import predict
from fx_d2.phantoms.writing import write_dicom
from fx_d2.prediction.sources import find_images
from tests.prediction.command import exit_code, read

pytestmark = pytest.mark.usefixtures("fresh_catalog")


def test_all_files_say_the_same(trained, call):
    code, folder = call("--input", *map(str, trained.images), "--threshold", "0.2", "--no-overlays")
    assert code == 0 and not list(folder.rglob("*.part"))
    data = read(folder)
    assert data["model"] == "teacher" and data["failed"] == [] and data["threshold"] == 0.2
    assert data["units"]["phantom_emergency/cls"] == {
        "dataset": "phantom_emergency",
        "task": "cls",
        "classes": ["Normal", "Pneumothorax", "Consolidation"],
        "exclusive": True,
    }
    assert [image["file_name"] for image in data["images"]] == list(map(str, trained.images))
    with (folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights)
    for path, image in zip(trained.images, data["images"], strict=True):
        expected = predictor(path)
        mine = [row for row in rows if row["file_name"] == str(path)]
        for unit, scores in image["scores"].items():
            assert scores == pytest.approx(expected.scores(unit), abs=1e-4)
            dataset = unit.split("/")[0]
            found = {r["class"]: float(r["score"]) for r in mine if (r["dataset"], r["task"]) == (dataset, "cls")}
            assert found == scores
        for task, key in (("box", "boxes"), ("mask", "masks")):
            assert all(entry["score"] >= 0.2 for entry in image[key])
            assert [(r["class"], float(r["x"])) for r in mine if r["task"] == task] == [
                (entry["class"], entry["bbox"][0]) for entry in image[key]
            ]


def test_coco_files_open_with_pycocotools(trained, call):
    code, folder = call("--input", str(trained.images[0]), "--threshold", "0", "--no-overlays")
    assert code == 0
    assert {path.name for path in (folder / "coco").iterdir()} == {
        "phantom_heart_box.json",
        "phantom_emergency_box.json",
        "phantom_heart_mask.json",
    }
    prediction = fx_d2.Predictor.from_config(trained.config, trained.weights)(trained.images[0])
    coco = COCO(str(folder / "coco" / "phantom_heart_mask.json"))
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    instances = prediction.instances("phantom_heart/mask")
    assert len(coco.anns) == len(instances)
    classes = ("Left Lung", "Right Lung", "Heart")
    expected = {classes[k]: m.numpy() for k, m in zip(instances.pred_classes, instances.pred_masks, strict=True)}
    for annotation in coco.anns.values():
        pixels = rle.decode(annotation["segmentation"]).astype(bool)
        np.testing.assert_array_equal(pixels, expected[names[annotation["category_id"]]])
        assert annotation["area"] == pixels.sum()
    boxes = COCO(str(folder / "coco" / "phantom_heart_box.json"))
    assert len(boxes.anns) == len(prediction.instances("phantom_heart/box"))
    for annotation in boxes.anns.values():
        x, y, w, h = annotation["bbox"]
        assert 0 <= x <= x + w <= prediction.width + 0.01 and 0 <= y <= y + h <= prediction.height + 0.01


def test_findings_table(trained, call, capsys):
    code, folder = call("--input", str(trained.images[0]))
    assert [path.name for path in (folder / "overlays").iterdir()] == [f"{trained.images[0].stem}.png"]
    with (folder / "findings.csv").open() as stream:
        rows = {row["finding"]: row for row in csv.DictReader(stream)}
    (image,) = read(folder)["images"]
    entry = next(entry for entry in image["findings"] if entry["finding"] == "Pleural Effusion")
    scores = [image["scores"]["phantom_screen/cls"]["Effusion"], image["scores"]["phantom_heart/cls"]["Effusion"]]
    assert entry["count"] == 2 and entry["mean"] == pytest.approx(sum(scores) / 2, abs=2e-6)
    assert entry["spread"] == pytest.approx(abs(scores[0] - scores[1]) / 2, abs=2e-6)
    assert float(rows["Pleural Effusion"]["mean"]) == entry["mean"]
    assert rows["Left Lung (phantom_heart)"]["mean"] == ""
    assert exit_code(["--config-file", trained.config, "--show-findings", "MODEL.WEIGHTS", trained.weights]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Pleural", "Effusion", "phantom_heart/cls", "Effusion"] in lines


def test_called_findings(trained, call, tmp_path, capsys):
    """One threshold below the first image's score, one above it; two classes of that unit have none."""
    _, folder = call("--input", str(trained.images[0]), "--no-overlays", output="plain")
    plain = read(folder)
    assert plain["operating_points"] is None and plain["images"][0]["calls"] == {}
    assert all(e["called"] is None and e["calls"] == {} for e in plain["images"][0]["findings"])
    scores = plain["images"][0]["scores"]["phantom_screen/cls"]
    names = list(scores)
    thresholds = {"Effusion": round(scores["Effusion"] - 1e-3, 4), names[-1]: round(scores[names[-1]] + 1e-3, 4)}
    entries = {name: {"threshold": value, "source": "f1 on the val split"} for name, value in thresholds.items()}
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"teacher": {"phantom_screen": entries}}))
    capsys.readouterr()
    code, folder = call("--input", str(trained.images[0]), "--no-overlays", "--operating-points", str(path))
    out = capsys.readouterr().out
    assert code == 0 and f"operating points: {path}\n  2 classes called at an operating point of the file" in out
    data = read(folder)
    (image,) = data["images"]
    assert data["version"] == plain["version"] == 1 and data["operating_points"]["file"] == str(path)
    said = data["operating_points"]["units"]
    assert list(said) == ["phantom_screen/cls", "phantom_emergency/cls", "phantom_heart/cls"] == list(image["calls"])
    assert {name: said["phantom_screen/cls"][name] for name in thresholds} == entries
    assert said["phantom_heart/cls"]["Effusion"] == {"threshold": None, "source": "the file has none"}
    calls = dict.fromkeys(names) | {"Effusion": True, names[-1]: False}
    assert image["calls"]["phantom_screen/cls"] == calls
    exclusive = image["scores"]["phantom_emergency/cls"]
    assert [k for k, v in image["calls"]["phantom_emergency/cls"].items() if v] == [max(exclusive, key=exclusive.get)]
    effusion = next(entry for entry in image["findings"] if entry["finding"] == "Pleural Effusion")
    assert effusion["count"] == 2 and effusion["called"] == 1 and effusion["calls"] == {"phantom_screen/cls": True}

    with (folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    cells = {r["class"]: r["called"] for r in rows if (r["dataset"], r["task"]) == ("phantom_screen", "cls")}
    assert cells == dict.fromkeys(names, "") | {"Effusion": "1", names[-1]: "0"}
    assert {r["called"] for r in rows if r["task"] != "cls" or r["dataset"] == "phantom_heart"} == {""}
    with (folder / "findings.csv").open() as stream:
        rows = {row["finding"]: row for row in csv.DictReader(stream)}
    assert (rows["Pleural Effusion"]["called"], rows["Pleural Effusion"]["calls"]) == ("1", "phantom_screen/cls=1")
    assert rows["Left Lung (phantom_heart)"]["called"] == ""


def test_a_file_beside_the_weights_is_named_but_not_used(trained, call, tmp_path, capsys):
    """It may be of other weights of the run, and does not say so."""
    code, _ = call("--input", str(trained.images[0]), "--no-overlays")
    assert code == 0 and "--operating-points" not in capsys.readouterr().out
    weights = tmp_path / "model_best.pth"
    shutil.copy(trained.weights, weights)
    stored = {"teacher": {"phantom_screen": {"Effusion": {"threshold": 0, "source": "mine"}}}}
    (tmp_path / "thresholds.json").write_text(json.dumps(stored))
    head = ["--config-file", trained.config, "--output", str(tmp_path / "out"), "--no-overlays"]
    assert exit_code([*head, "--input", str(trained.images[0]), "MODEL.WEIGHTS", str(weights)]) == 0
    assert f"--operating-points {tmp_path / 'thresholds.json'}" in capsys.readouterr().out
    assert read(tmp_path / "out")["operating_points"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--input", "{image}", "--operating-points", "gone.json"],
            "file of operating points 'gone.json' is not there",
        ),
        (["--input", "nowhere.png"], "no such file or folder"),
        (["--input", "{image}", "--units", "phantom_hart/cls"], "did you mean 'phantom_heart/cls'"),
        (["--input", "{image}", "--findings", "gone.yaml"], "gone.yaml"),
    ],
)
def test_mistakes_end_with_one_line(trained, call, capsys, arguments, message):
    code, _ = call(*(item.format(image=trained.images[0]) for item in arguments))
    error = capsys.readouterr().err
    assert code == 2 and error.startswith("error: ") and message in error and "Traceback" not in error


def test_inputs_may_stand_last(trained, tmp_path):
    args = predict.parse_arguments(["--output", "o", "--input", "a.png", "b.png", "MODEL.WEIGHTS", "w.pth"])
    assert args.input == ["a.png", "b.png"] and args.opts == ["MODEL.WEIGHTS", "w.pth"]


def test_find_images(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    image = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
    for name in ("a/2.png", "a/1.PNG", "a/b/3.jpg", "a/.hidden.png"):
        (tmp_path / name).write_bytes(image)
    write_dicom(tmp_path / "a" / "IM0001", np.zeros((2, 2), np.uint8))
    (tmp_path / "a" / "README").write_bytes(b"x" * 200)
    names = [path.name for path in find_images([tmp_path / "a", tmp_path / "a" / "2.png"])]
    assert names == ["1.PNG", "2.png", "IM0001", "3.jpg"]
    assert [path.name for path in find_images([str(tmp_path / "a" / "**" / "*.jpg")])] == ["3.jpg"]
    with pytest.raises(ValueError, match="no image in"):
        (tmp_path / "empty").mkdir()
        find_images([tmp_path / "empty"])
