"""Pictures of predictions: what is drawn lies where it was predicted; names of files are unique."""

from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances

from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.prediction import Prediction, pictures
from fx_d2.prediction.findings import Finding, FindingMap
from fx_d2.prediction.pictures import Palette, draw_prediction, finding_bars, picture_names
from fx_d2.schedule import Unit
from fx_d2.visualization.palette import color_of
from fx_d2.visualization.panels import displayed

BOX, MASK, CLS = Unit("node21", "box"), Unit("siim_acr", "mask"), Unit("siim_acr", "cls")
CLASSES = {BOX: UnitClasses(("Nodule",)), MASK: UnitClasses(("Pneumothorax",)), CLS: UnitClasses(("Pneumothorax",))}


def make(scores=(0.9, 0.1), names=("Pneumothorax",)):
    boxes = Instances((400, 500))
    boxes.pred_boxes = Boxes(torch.tensor([[100.0, 50.0, 200.0, 150.0], [300.0, 300.0, 400.0, 390.0]]))
    boxes.scores, boxes.pred_classes = torch.tensor(scores), torch.zeros(2, dtype=torch.int64)
    mask = torch.zeros(1, 400, 500, dtype=torch.bool)
    mask[0, 200:300, 20:120] = True
    masks = Instances((400, 500))
    masks.pred_masks, masks.pred_boxes = mask, BitMasks(mask).get_bounding_boxes()
    masks.scores, masks.pred_classes = torch.tensor([0.8]), torch.zeros(1, dtype=torch.int64)
    outputs = {
        BOX: {"instances": boxes},
        MASK: {"masks": mask.float(), "instances": masks},
        CLS: {"scores": torch.tensor([0.5])},
    }
    mapping = FindingMap.load()
    return Prediction("a/b.png", np.full((400, 500), 90, np.uint8), CLASSES, outputs, mapping.join(CLASSES, outputs))


def panel(picture, number, width=500, height=400):
    left = number * (width + 8)
    return picture[28 + 22 : 28 + 22 + height, left : left + width].astype(int)


def coloured(image):
    return np.ptp(image, axis=2) > 40


def test_boxes_and_masks_lie_where_they_were_predicted():
    mapping = FindingMap.load()
    picture = draw_prediction(make(), mapping.name, Palette(mapping.table(CLASSES)), "teacher", 0.3)
    assert picture.dtype == np.uint8 and picture.shape[1] == 3 * 508 + 440
    boxes, masks = coloured(panel(picture, 1)), coloured(panel(picture, 2))
    rows, columns = np.nonzero(boxes[45:155, 95:205])
    assert abs(columns.min() + 95 - 100) <= 2 and abs(rows.max() + 45 - 150) <= 2
    assert not boxes[280:].any()  # the second box is below the threshold
    # The fill of the mask and nothing else, to its edge.
    assert masks[205:295, 25:115].mean() > 0.99
    masks[196:304, 16:124] = False
    assert not masks.any()


def test_one_finding_has_one_colour_in_every_picture():
    palette = Palette(FindingMap.load().table(CLASSES))
    assert palette["Nodule"] != palette["Pneumothorax"]


def test_bars_show_the_highest_findings():
    findings = [Finding(f"F{k}", {"a/cls": k / 100}) for k in range(60)]
    board = finding_bars(200, findings)
    assert board.shape == (200, 440, 3)
    assert finding_bars(200, findings[:1]).shape == (200, 440, 3)


SIGN = slice(8, 24)  # columns


def test_called_findings_are_marked():
    findings = [
        Finding("A", {"a/cls": 0.1}, calls={"a/cls": True}),
        Finding("B", {"a/cls": 0.9}, calls={"a/cls": False}),
    ]
    findings.append(Finding("C", {"a/cls": 0.5}))
    step = 34  # pixels of a row where there is room
    rows = [finding_bars(400, findings)[8 + k * step : 8 + (k + 1) * step].astype(int) for k in range(3)]
    inked = [coloured(row[:, SIGN]).sum() for row in rows]
    assert inked[0] > inked[1] > 0 == inked[2]  # filled, open, nothing
    orange, blue = ((np.array(color_of(k)) * 255).round() for k in (0, 1))
    for row, color in zip(rows, (orange, blue, blue), strict=True):
        bar = row[:, 24:][coloured(row[:, 24:])]
        assert np.abs(np.median(bar, axis=0) - color).max() <= 2


def test_no_called_finding_is_hidden_by_higher_scores(monkeypatch):
    """60 findings, room for 9: the called ones have the lowest scores."""
    texts = []
    monkeypatch.setattr(pictures, "write", lambda board, x, y, text, *_, **__: texts.append(text))
    heads = [dict.fromkeys(("a/cls", "b/cls"), (k + 1) / 100) for k in range(60)]
    findings = [Finding(f"F{k}", heads[k], calls={"a/cls": k < 3}) for k in range(60)]
    finding_bars(200, findings)
    assert [t for t in texts if t.startswith("F")] == [f"F{k}" for k in (0, 1, 2, 54, 55, 56, 57, 58, 59)]
    assert texts[-1] == "51 more findings, none of them called"
    texts.clear()
    for finding in findings:
        finding.calls = {"a/cls": finding.mean < 0.205, "b/cls": False}
    finding_bars(200, findings)
    assert texts[-1] == "51 more findings, 11 of them called" and texts[2] == "1 of 2 call"
    for finding in findings:
        finding.calls = {}
    finding_bars(200, findings)
    assert texts[-1] == "51 more findings with lower scores" and texts[-2] == "2 heads"


def test_small_and_large_images_are_legible():
    assert displayed(np.zeros((10, 20), np.uint8)).shape == (384, 768, 3)
    assert displayed(np.zeros((3000, 1500), np.uint8)).shape == (1536, 768, 3)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["x/a.png", "y/b.png"], ["a.png", "b.png"]),
        (["x/1.png", "y/1.png", "z/1.dcm"], ["1.png", "y-1.png", "z-1.png"]),
        (["a.png", "a.jpg", "/a.dcm"], ["a.png", "a-2.png", "a-3.png"]),
    ],
)
def test_names_of_pictures_are_unique(paths, expected):
    names = picture_names(paths)
    assert [names[path] for path in paths] == expected
    assert all(PurePosixPath(name).name == name for name in names.values())
