"""The cardiothoracic ratio in the files and pictures of ``fx-d2 predict``: a tiny network with masks drawn by hand."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

import fx_d2
from fx_d2.data.images import read_image
from fx_d2.modeling.heads import MaskHead
from fx_d2.modeling.heads.instances import present_instances
from fx_d2.phantoms.writing import write_dicom
from fx_d2.prediction import Prediction
from fx_d2.prediction.cardiothoracic import CardiothoracicRatio, Diameter
from fx_d2.prediction.pictures import Palette, draw_prediction, ratio_lines
from fx_d2.schedule import Unit
from fx_d2.visualization.panels import FOREGROUND
from tests.prediction.command import read

pytestmark = pytest.mark.usefixtures("fresh_catalog")

UNIT = Unit("phantom_heart", "mask")
# First and last row and column of left lung, right lung and heart on images of 96 x 96: 32 of 80 pixels.
ORGANS = [(10, 69, 58, 87), (10, 69, 8, 37), (40, 79, 35, 66)]


def draw_organs(monkeypatch, organs):
    """Whatever the mask head computes, it gives these rectangles."""

    def inference(self, encoded, dataset, batch):
        masks = torch.zeros(len(organs), batch[0]["height"], batch[0]["width"])
        for mask, (top, bottom, left, right) in zip(masks, organs, strict=True):
            mask[top : bottom + 1, left : right + 1] = 0.9
        return [{"masks": masks, "instances": present_instances(masks, 0.5, False)}]

    monkeypatch.setattr(MaskHead, "inference", inference)


@pytest.fixture
def chest(monkeypatch):
    draw_organs(monkeypatch, ORGANS)


def table(folder):
    with (folder / "cardiothoracic.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_json_and_csv(trained, call, chest):
    code, folder = call("--input", str(trained.images[0]), "--no-overlays")
    assert code == 0
    (image,) = read(folder)["images"]
    assert image["cardiothoracic"] == [
        {
            "unit": "phantom_heart/mask",
            "dataset": "phantom_heart",
            "ratio": 0.4,
            "heart": {"left": 35, "right": 67, "y": 60, "pixels": 32, "mm": None},
            "thorax": {"left": 8, "right": 88, "y": 10.5, "pixels": 80, "mm": None},
            "flags": [],
        }
    ]
    numbers = {"ratio": "0.4", "heart": "32", "thorax": "80", "heart_mm": "", "thorax_mm": "", "flags": ""}
    assert table(folder) == [{"file_name": str(trained.images[0]), "dataset": "phantom_heart", **numbers}]


def test_millimetres_of_a_dicom_file_are_those_of_its_columns(trained, call, chest, tmp_path):
    write_dicom(tmp_path / "a.dcm", read_image(trained.images[0]), tags={"PixelSpacing": [3, 2.5]})
    code, folder = call("--input", str(tmp_path / "a.dcm"), "--no-overlays")
    (row,) = table(folder)
    assert code == 0 and (row["ratio"], row["heart_mm"], row["thorax_mm"]) == ("0.4", "80.0", "200.0")


def test_masks_that_are_implausible(trained, call, monkeypatch):
    """The heart is gone, then it reaches the lower border and its ratio is 0.2."""
    draw_organs(monkeypatch, [*ORGANS[:2], (0, -1, 0, -1)])
    code, folder = call("--input", str(trained.images[0]))
    (entry,) = read(folder)["images"][0]["cardiothoracic"]
    (row,) = table(folder)
    assert code == 0 and entry["ratio"] is None and entry["heart"] is None and entry["thorax"]["pixels"] == 80
    assert entry["flags"] == ["The mask of the heart is empty."] == [row["flags"]]
    assert (row["ratio"], row["heart"], row["thorax"]) == ("", "", "80")
    draw_organs(monkeypatch, [*ORGANS[:2], (40, 95, 40, 55)])
    _, folder = call("--input", str(trained.images[0]), "--no-overlays", output="again")
    (entry,), (row,) = read(folder)["images"][0]["cardiothoracic"], table(folder)
    assert entry["ratio"] == 0.2 and len(entry["flags"]) == 2 and row["flags"] == " ".join(entry["flags"])


def test_a_network_without_these_masks_writes_what_it_wrote(trained, call, chest):
    units = "phantom_screen/cls,phantom_heart/box"
    code, folder = call("--input", str(trained.images[0]), "--units", units, "--no-overlays")
    assert code == 0 and not (folder / "cardiothoracic.csv").exists()
    assert "cardiothoracic" not in read(folder)["images"][0]


def test_masks_of_the_network_itself(trained):
    """Random weights: what is measured, if anything, is what the outermost pixels of their masks say."""
    prediction = fx_d2.Predictor.from_config(trained.config, trained.weights)(trained.images[0])
    (measured,) = prediction.cardiothoracic.values()
    assert list(prediction.cardiothoracic) == [UNIT] and measured.flags  # no chest looks like that
    instances = prediction.instances(str(UNIT))
    (heart,) = instances.pred_masks[instances.pred_classes == 2].numpy()
    columns = np.flatnonzero(heart.any(axis=0))
    assert measured.heart.pixels <= columns[-1] - columns[0] + 1


def white(picture, panel):
    """Where a panel of 384 x 384 pixels has the colour of the lines."""
    left = panel * (384 + 8)
    view = picture[28 + 22 :, left : left + 384][:384].astype(int)
    return np.abs(view - np.array(FOREGROUND) * 255).max(axis=2) < 12


@pytest.mark.parametrize(("heart", "row"), [((40, 79, 35, 66), 240), ((8, 17, 35, 66), 52)])
def test_the_picture_has_both_lines(trained, monkeypatch, heart, row):
    """Shown at four times its size: thorax 32 to 352 at row 42, heart 140 to 268 below; no label hides a line."""
    draw_organs(monkeypatch, [*ORGANS[:2], heart])
    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights, "phantom_heart/mask")
    prediction = predictor(np.full((96, 96), 40, np.uint8))
    palette = Palette(predictor.findings.table(predictor.classes))
    picture = draw_prediction(prediction, predictor.findings.name, palette, "teacher", 0.3)
    assert not white(picture, 0).any()
    drawn = white(picture, 1)
    for y, left, right in ((row, 140, 268), (42, 32, 352)):
        columns = np.flatnonzero(drawn[y])
        assert abs(columns[0] - left) <= 2 and abs(columns[-1] - right) <= 2 and len(columns) > 0.95 * (right - left)


def test_what_is_written_at_the_lines():
    heart, thorax = Diameter(35, 67, 60), Diameter(8, 88, 10.5)

    def texts(*measured):
        ratios = {UNIT: CardiothoracicRatio(*measured)}
        image = np.zeros((96, 96), np.uint8)
        return [text for _, text in ratio_lines(Prediction("a.png", image, {}, {}, [], cardiothoracic=ratios), UNIT)]

    assert texts(heart, thorax, ()) == ["heart 32 px", "thorax 80 px, CTR 0.40 phantom_heart"]
    assert texts(heart, thorax, ("Why.",))[1] == "thorax 80 px, CTR 0.40 (doubtful) phantom_heart"
    assert texts(heart, None, ("Why.",)) == ["heart 32 px"] and texts(None, None, ("Why.",)) == []
    in_mm = (replace(line, spacing=2.5) for line in (heart, thorax))
    assert texts(*in_mm, ()) == ["heart 80 mm", "thorax 200 mm, CTR 0.40 phantom_heart"]
