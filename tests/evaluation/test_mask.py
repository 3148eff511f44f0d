"""Dice and IoU against literal loops over pixels."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from fx_d2.evaluation import MaskEvaluator

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


def evaluate(records, probabilities, classes=CLASSES):
    evaluator = MaskEvaluator(records, classes)
    evaluator.process(records, [{"masks": torch.as_tensor(p, dtype=torch.float32)} for p in probabilities])
    return evaluator.evaluate()["mask"]


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
    assert measured.counts.tolist() == [[4096, 4096, 4096]] and not measured.truth and not measured.found


def test_malformed_masks_name_the_image():
    evaluator = MaskEvaluator([record("a", np.ones((1, 4, 4), np.uint8))], ["x"])
    with pytest.raises(ValueError, match=r"'a'.*\(1, 4, 5\), expected \(1, 4, 4\)"):
        evaluator.process([{"image_id": "a"}], [{"masks": torch.ones(1, 4, 5)}])
    with pytest.raises(ValueError, match="'a'.*not finite"):
        evaluator.process([{"image_id": "a"}], [{"masks": torch.full((1, 4, 4), torch.nan)}])
