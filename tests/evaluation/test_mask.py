"""Dice and IoU against literal loops over pixels."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from fx_d2.evaluation import MaskEvaluator
from fx_d2.evaluation.tables import Options
from fx_d2.phantoms.writing import write_metaimage

CLASSES = ("lung", "heart", "rib")


def record(name, masks, unknown=()):
    annotations = [
        {"segmentation": coco_mask.encode(np.asfortranarray(mask)), "category_id": k, "iscrowd": 0}
        for k, mask in enumerate(masks)
        if mask.any()
    ]
    height, width = masks[0].shape
    return {
        "image_id": name,
        "file_name": f"{name}.png",
        "unit": "toy/mask",
        "height": height,
        "width": width,
        "annotations": annotations,
        "unknown_classes": list(unknown),
    }


def literal(predicted, truth):
    """Dice and IoU of two masks, one pixel at a time; 1 where both are empty."""
    both = either = sizes = 0
    for p, t in zip(predicted.ravel(), truth.ravel(), strict=True):
        both += p and t
        either += p or t
        sizes += int(p) + int(t)
    return (2 * both / sizes, both / either) if sizes else (1.0, 1.0)


def run(records, probabilities, classes, options=None):
    evaluator = MaskEvaluator(records, classes, options=options)
    evaluator.process(records, [{"masks": torch.as_tensor(p, dtype=torch.float32)} for p in probabilities])
    evaluator.evaluate()
    return evaluator


def evaluate(records, probabilities, classes=CLASSES):
    return run(records, probabilities, classes).score.metrics


def test_against_loops_with_empty_and_unknown_channels():
    rng = np.random.default_rng(1)
    truths = (rng.random((6, 3, 9, 7)) < 0.4).astype(np.uint8)
    probabilities = rng.random((6, 3, 9, 7)).astype(np.float32)
    truths[1, 0] = truths[2, 0] = truths[:, 2] = 0  # rib never occurs
    probabilities[2, 0] = 0.1  # empty in both
    probabilities[3, 2] = 0.1
    unknown = {(0, 1), (4, 0), (4, 1)}
    records = [record(str(i), truths[i], [k for j, k in unknown if i == j]) for i in range(6)]
    metrics = evaluate(records, probabilities)

    means = {"Dice": [], "IoU": [], "Dice_all": [], "IoU_all": []}
    for k, name in enumerate(CLASSES):
        positive, everything = [], []
        for i in range(6):
            if (i, k) in unknown:
                continue
            pair = literal(probabilities[i, k] >= 0.5, truths[i, k] == 1)
            everything.append(pair)
            if truths[i, k].any():
                positive.append(pair)
        for which, pairs in (("", positive), ("_all", everything)):
            for column, metric in enumerate(("Dice", "IoU")):
                value = np.mean([pair[column] for pair in pairs]) if pairs else None
                assert metrics[f"{metric}{which}/{name}"] == pytest.approx(value)
                if pairs:
                    means[metric + which].append(value)
    assert metrics["Dice/rib"] is None and metrics["Dice_all/rib"] == pytest.approx(1 / 6)
    for metric, values in means.items():
        assert metrics[metric] == pytest.approx(np.mean(values))


def test_empty_against_empty_and_against_something():
    empty, full = np.zeros((1, 4, 4), np.uint8), np.ones((1, 4, 4), np.uint8)
    nothing = evaluate([record("a", empty)], [empty], ["x"])
    assert (nothing["Dice"], nothing["IoU"], nothing["Dice_all"], nothing["IoU_all"]) == (None, None, 1.0, 1.0)
    invented = evaluate([record("a", empty)], [full], ["x"])
    assert (invented["Dice"], invented["Dice_all"]) == (None, 0.0)
    missed = evaluate([record("a", full)], [empty], ["x"])
    assert (missed["Dice"], missed["Dice_all"]) == (0.0, 0.0)
    unknown = evaluate([record("a", full, unknown=[0])], [full], ["x"])
    assert set(unknown.values()) == {None}


def test_one_half_is_inside():
    full = np.ones((1, 2, 2), np.uint8)
    assert evaluate([record("a", full)], [np.array([[[0.5, 0.5], [0.5, 0.49]]])], ["x"])["IoU"] == 0.75


def test_masks_are_not_kept():
    full = np.ones((1, 64, 64), np.uint8)
    evaluator = MaskEvaluator([record("a", full)], ["x"])
    evaluator.process([record("a", full)], [{"masks": torch.ones(1, 64, 64)}])
    measured = evaluator._measured["a"]
    assert measured.counts.tolist() == [[4096, 4096, 4096]] and not measured.truth and not measured.predictions


def test_malformed_masks_name_the_image():
    evaluator = MaskEvaluator([record("a", np.ones((1, 4, 4), np.uint8))], ["x"])
    with pytest.raises(ValueError, match=r"'a'.*\(1, 4, 5\), expected \(1, 4, 4\)"):
        evaluator.process([{"image_id": "a"}], [{"masks": torch.ones(1, 4, 5)}])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 37, 2 * 6 * 7 - 1])
def test_one_value_that_is_not_finite_is_found_wherever_it_is(value, place):
    masks = np.ones((2, 6, 7), np.uint8)
    probabilities = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(0))
    probabilities.view(-1)[place] = value
    evaluator = MaskEvaluator([record("a", masks)], CLASSES[:2])
    with pytest.raises(ValueError, match="'a': a mask probability is not finite"):
        evaluator.process([{"image_id": "a"}], [{"masks": probabilities}])


def test_counts_of_half_precision_by_loops():
    """Drawn, drawn as nothing, undrawn and unknown channels; bfloat16 as autocast gives it."""
    rng = np.random.default_rng(3)
    masks = (rng.random((4, 8, 5)) < 0.5).astype(np.uint8)
    masks[1:3] = 0
    probabilities = torch.as_tensor(rng.random((4, 8, 5))).bfloat16()
    image = record("a", masks, unknown=[3])
    image["annotations"].append({"segmentation": coco_mask.encode(np.asfortranarray(masks[1])), "category_id": 1})
    evaluator = MaskEvaluator([image], (*CLASSES, "spine"))
    measure = evaluator.measure(image, {"masks": probabilities}, evaluator.truth_of(image))
    expected = np.zeros((4, 3), int)
    for k, y, x in np.ndindex(3, 8, 5):
        inside, drawn = float(probabilities[k, y, x]) >= 0.5, bool(masks[k, y, x])
        expected[k] += inside and drawn, inside, drawn
    expected[3] = -1
    assert measure.counts.dtype == np.int64 and np.array_equal(measure.counts, expected)


def test_distances_and_their_counts():
    truths, predictions = np.zeros((2, 4, 1, 20, 20), np.uint8)
    truths[:3, 0, 2:8, 2:8] = 1
    predictions[0, 0, 2:8, 4:10] = predictions[1, 0, 2:8, 2:8] = predictions[3, 0, :3, :3] = 1
    rows = [record(str(i), truths[i]) for i in range(4)]
    rows[0]["spacing"] = (0.5, 0.25)
    score = run(rows, predictions, ["x"], Options(bootstraps=10)).score
    # Image 0 is two columns off, image 1 perfect, on image 2 nothing was drawn, on image 3 something invented.
    assert score.metrics["HD95/x"] == pytest.approx(1.0) and score.estimates["HD95/x"].count == 2
    assert score.metrics["HD95_mm/x"] == pytest.approx(0.5) and score.estimates["HD95_mm/x"].count == 1
    about = score.details["masks"]["x"]
    assert (about["positive"], about["negative"], about["missed"], about["invented"]) == (3, 1, 1, 1)
    assert about["dice"] == [0.0, 0.6667, 1.0]
    assert score.metrics["Dice/x"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert score.estimates["Dice"].low <= score.metrics["Dice"] <= score.estimates["Dice"].high
    del rows[0]["spacing"]
    score = run(rows, predictions, ["x"], Options(bootstraps=0)).score
    assert score.estimates["ASSD_mm"].reason and "pixel spacing" in score.estimates["ASSD_mm/x"].reason


def test_regions_are_scored_as_coco_instances():
    """Two lesions, one found; a false one elsewhere; 300 specks beyond what is kept are one region more."""
    truth, probability = np.zeros((2, 1, 80, 80), np.float32)
    truth[0, 5:15, 5:15] = truth[0, 40:50, 40:50] = 1
    probability[0, 5:15, 5:15] = 0.9
    probability[0, 60:70, 5:15] = 0.6
    evaluator = run([record("a", truth.astype(np.uint8))], [probability], ["x"], Options(bootstraps=5))
    # Score order: hit, false. Precision 1 up to recall one half.
    assert evaluator.score.metrics["AP50"] == pytest.approx(51 / 101)
    assert [row.score for row in evaluator.table.predictions[0]] == pytest.approx([0.9, 0.6])
    assert len(evaluator.table.truth[0]) == 2
    specks = np.zeros((1, 80, 80), np.float32)
    specks[0, ::3, ::3] = 0.7
    rows = run([record("a", truth.astype(np.uint8))], [specks], ["x"], Options(bootstraps=0)).table.predictions[0]
    assert len(rows) == 101 and sum(coco_mask.area(row.runs) for row in rows) == (specks > 0).sum()


def test_hundreds_of_regions_over_many_images():
    rng = np.random.default_rng(0)
    masks = (rng.random((12, 1, 40, 40)) < 0.04).astype(np.uint8)
    score = run([record(str(i), m) for i, m in enumerate(masks)], masks, ["x"], Options(bootstraps=0)).score
    assert score.details["regions"]["x"]["truths"] > 300
    assert score.metrics["Dice"] == score.metrics["AP50"] == 1.0 and score.metrics["HD95"] == 0.0


def test_unknown_channels_have_no_regions():
    full_mask = np.ones((2, 8, 8), np.uint8)
    evaluator = run([record("a", full_mask, unknown=[1])], [full_mask], ["x", "y"], Options(bootstraps=0))
    assert {row.category for row in evaluator.table.predictions[0]} == {0}
    assert evaluator.score.estimates["AP/y"].reason == "no true region"
    assert evaluator.score.estimates["Dice/y"].reason == "no image has the class"


def test_the_spacing_may_stand_in_the_file(tmp_path):
    mask = np.ones((1, 12, 9), np.uint8)
    row = record("a", mask)
    row["file_name"] = str(tmp_path / "a.mha")
    write_metaimage(tmp_path / "a.mha", np.zeros((12, 9), np.uint16), spacing=(0.3, 0.2))
    evaluator = run([row], [mask], ["x"], Options(bootstraps=0))
    assert evaluator.table.images[0].spacing == (0.3, 0.2) and evaluator.score.metrics["HD95_mm"] == 0.0
    assert run([row | {"spacing": (1, 2)}], [mask], ["x"], Options(bootstraps=0)).table.images[0].spacing == (1.0, 2.0)


def test_a_regions_score_is_its_mean_probability():
    rng = np.random.default_rng(5)
    probability = rng.random((1, 30, 23)).astype(np.float32)
    truth = np.ones((1, 30, 23), np.uint8)
    rows = run([record("a", truth)], [probability], ["x"], Options(bootstraps=0)).table.predictions[0]
    masks = [coco_mask.decode(row.runs).astype(bool) for row in rows]
    assert (sum(mask.astype(int) for mask in masks) == (probability[0] >= 0.5)).all()  # apart, and complete
    for row, mask in zip(rows, masks, strict=True):
        assert row.score == pytest.approx(probability[0][mask].mean(dtype=float), abs=1e-9)
    sizes = [mask.sum() for mask in masks]
    assert sizes == sorted(sizes, reverse=True) and len(rows) > 1
