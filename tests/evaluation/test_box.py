"""COCO average precision on cases that can be worked out by hand."""

import pytest
import torch
from detectron2.structures import BoxMode

from fx_d2.evaluation import BoxEvaluator
from fx_d2.evaluation.coco import IOU_THRESHOLDS
from tests.evaluation.cases import box_output


def record(name, *boxes, crowd=()):
    annotations = [
        {"bbox": list(box[:4]), "bbox_mode": BoxMode.XYWH_ABS, "category_id": box[4], "iscrowd": int(i in crowd)}
        for i, box in enumerate(boxes)
    ]
    return {"image_id": name, "unit": "toy/box", "height": 200, "width": 200, "annotations": annotations}


def predicted(*rows):
    """Rows x, y, width, height, class, score."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return box_output(torch.cat([table[:, :2], table[:, :2] + table[:, 2:4]], dim=1), table[:, 4], table[:, 5])


def evaluate(pairs, classes=("x",)):
    records = [pair[0] for pair in pairs]
    evaluator = BoxEvaluator(records, classes)
    evaluator.process(records, [pair[1] for pair in pairs])
    return evaluator.evaluate()["box"]


def test_thresholds():
    assert IOU_THRESHOLDS.tolist() == [0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


@pytest.mark.parametrize(
    ("width", "ap40", "ap50", "ap75", "ap"),
    # A prediction inside the truth (width 100): IoU = width / 100, so AP = share of 0.50:0.05:0.95 at or below it.
    [(39, 0, 0, 0, 0), (47, 1, 0, 0, 0), (53, 1, 1, 0, 0.1), (72, 1, 1, 0, 0.5), (77, 1, 1, 1, 0.6), (100, 1, 1, 1, 1)],
)
def test_one_detection_of_known_iou(width, ap40, ap50, ap75, ap):
    metrics = evaluate([(record("a", (10, 20, 100, 50, 0)), predicted((10, 20, width, 50, 0, 0.8)))])
    expected = {"AP40": ap40, "AP50": ap50, "AP75": ap75, "AP": ap}
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value) and metrics[f"{name}/x"] == metrics[name]


def test_a_false_positive_on_a_normal_image():
    truth = record("a", (10, 10, 40, 40, 0), (100, 100, 40, 40, 0))
    hits = predicted((10, 10, 40, 40, 0, 0.9), (100, 100, 40, 40, 0, 0.5))
    # Order of scores: hit, false, hit. Precision 1 up to recall 0.5 (51 of 101 recall points), then 2 / 3.
    metrics = evaluate([(truth, hits), (record("normal"), predicted((10, 10, 40, 40, 0, 0.7)))])
    assert metrics["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert metrics["AP"] == pytest.approx(metrics["AP50"])
    # The same with the false one last: it costs nothing.
    metrics = evaluate([(truth, hits), (record("normal"), predicted((10, 10, 40, 40, 0, 0.1)))])
    assert metrics["AP50"] == pytest.approx(1)


def test_a_second_detection_of_one_box_is_false():
    truth = record("a", (10, 10, 40, 40, 0), (100, 100, 40, 40, 0))
    metrics = evaluate([(truth, predicted((10, 10, 40, 40, 0, 0.9), (10, 10, 40, 40, 0, 0.8)))])
    assert metrics["AP50"] == pytest.approx(51 / 101)  # one of two found: recall points 0..0.50


def test_classes_are_told_apart_and_those_without_truth_are_none():
    pairs = [(record("a", (10, 10, 40, 40, 0), (100, 100, 40, 40, 1)), predicted((10, 10, 40, 40, 0, 0.9)))]
    metrics = evaluate(pairs, ("x", "y", "z"))
    assert [metrics[f"AP50/{name}"] for name in "xyz"] == [pytest.approx(1), 0.0, None]
    assert metrics["AP50"] == pytest.approx(0.5)


@pytest.mark.parametrize("prediction", [predicted(), predicted((1, 1, 9, 9, 0, 0.9))])
def test_no_truth_at_all_is_undefined(prediction):
    assert set(evaluate([(record("a"), prediction), (record("b"), predicted())]).values()) == {None}


def test_truth_and_no_prediction_is_zero():
    assert set(evaluate([(record("a", (1, 1, 9, 9, 0)), predicted()), (record("b"), predicted())]).values()) == {0.0}


def test_crowds_are_ignored():
    truth = record("a", (10, 10, 40, 40, 0), (100, 100, 60, 60, 0), crowd=[1])
    # Two detections inside the crowd, better scored than the hit: neither right nor wrong.
    inside = ((100, 100, 30, 30, 0, 0.9), (130, 130, 30, 30, 0, 0.8))
    assert evaluate([(truth, predicted(*inside, (10, 10, 40, 40, 0, 0.7)))])["AP50"] == pytest.approx(1)
    only_crowd = record("a", (100, 100, 60, 60, 0), crowd=[0])
    assert evaluate([(only_crowd, predicted(*inside))])["AP50"] is None


def test_malformed_predictions_name_the_image():
    evaluator = BoxEvaluator([record("a")], ["x"])
    with pytest.raises(ValueError, match="toy/box: image 'a'.*outside 0..0"):
        evaluator.process([record("a")], [predicted((1, 1, 9, 9, 1, 0.9))])
    with pytest.raises(ValueError, match="'a'.*not finite"):
        evaluator.process([record("a")], [predicted((1, 1, float("nan"), 9, 0, 0.9))])


def test_nothing_is_printed(capsys):
    evaluate([(record("a", (1, 1, 9, 9, 0)), predicted((1, 1, 9, 9, 0, 0.5)))])
    assert capsys.readouterr().out == ""
