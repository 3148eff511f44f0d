"""Weighted average precision against pycocotools on repeated images; FROC against a loop over thresholds."""

import numpy as np
import pytest

from fx_d2.evaluation.bootstrap import replicates
from fx_d2.evaluation.coco import IOU_THRESHOLDS, precision
from fx_d2.evaluation.detections import FROC_RATES, METRICS, DetectionStatistic, score_boxes, score_regions
from fx_d2.evaluation.matching import FALSE, HIT, IGNORED, match, rank_detections
from fx_d2.evaluation.tables import BoxTable, ImageRow, Options, patients_of
from tests.evaluation.cases import random_regions, repeat_images

IMAGES, CLASSES = 6, ("x", "y", "z")


def pycocotools_ap(truth, predictions, images):
    values = precision(truth, predictions, images, len(CLASSES), name="pycocotools")[..., 0]
    means = values.mean(axis=1)
    return np.where(means > -1, means, np.nan).T  # class, IoU threshold


def ranked_of(truth, predictions, images=IMAGES):
    return rank_detections(truth, predictions, images, len(CLASSES), IOU_THRESHOLDS)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_with_weight_one_it_is_cocos(seed, masks):
    truth, predictions = random_regions(np.random.default_rng(seed), IMAGES, 3, 20, 90, ties=seed > 2, masks=masks)
    ours = [r.average_precision(np.ones((1, IMAGES), np.int16))[0] for r in ranked_of(truth, predictions)]
    np.testing.assert_allclose(ours, pycocotools_ap(truth, predictions, IMAGES), atol=1e-12)


def test_more_than_a_hundred_detections():
    truth, predictions = random_regions(np.random.default_rng(3), IMAGES, 3, 30, 2400)
    ours = [r.average_precision(np.ones((1, IMAGES), np.int16))[0] for r in ranked_of(truth, predictions)]
    np.testing.assert_allclose(ours, pycocotools_ap(truth, predictions, IMAGES), atol=1e-12)
    assert all(len(r.images) <= 600 for r in ranked_of(truth, predictions))


@pytest.mark.parametrize("seed", range(4))
def test_a_weight_is_so_many_copies_of_the_image(seed):
    rng = np.random.default_rng(seed + 100)
    truth, predictions = random_regions(rng, IMAGES, 3, 25, 80)
    weights = rng.integers(0, 4, size=(3, IMAGES)).astype(np.int16)
    ours = np.stack([r.average_precision(weights) for r in ranked_of(truth, predictions)], axis=1)
    for row, values in zip(weights, ours, strict=True):
        copies = repeat_images(truth, row), repeat_images(predictions, row)
        np.testing.assert_allclose(values, pycocotools_ap(*copies, int(row.sum())), atol=1e-12)


def literal_froc(truth, predictions, images, category, iou, rate):
    """Tries every score as the threshold; the matching is greedy over all detections, as COCO's."""
    ranked = rank_detections(truth, predictions, images, category + 1, np.array([iou]))[category]
    positives = ((truth.categories == category) & (truth.values == 0)).sum()
    if not positives:
        return None
    best = 0.0
    for threshold in set(ranked.scores.tolist()):
        hits = sum(o == HIT and s >= threshold for o, s in zip(ranked.outcome[0], ranked.scores, strict=True))
        false = sum(o == FALSE and s >= threshold for o, s in zip(ranked.outcome[0], ranked.scores, strict=True))
        if false / images <= rate:
            best = max(best, hits / positives)
    return best


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_froc_against_every_threshold(seed, ties):
    truth, predictions = random_regions(np.random.default_rng(seed), IMAGES, 3, 15, 120, ties=ties)
    images = [ImageRow(str(i)) for i in range(IMAGES)]
    metrics = score_regions(truth, predictions, images, CLASSES, Options(bootstraps=0, froc_iou=0.3)).metrics
    for category, name in enumerate(CLASSES):
        values = [literal_froc(truth, predictions, IMAGES, category, 0.3, rate) for rate in FROC_RATES]
        ours = [metrics[f"Sensitivity@{rate:g}/{name}"] for rate in FROC_RATES]
        assert ours == pytest.approx(values)
        assert metrics[f"FROC/{name}"] == pytest.approx(np.mean(values))
    assert metrics["FROC"] == pytest.approx(np.mean([metrics[f"FROC/{name}"] for name in CLASSES]))


def test_froc_by_hand():
    """Two images, three truths. By score: hit, false, hit, false, false."""
    truth = np.array([[0, 0, 0, 10, 10, 0, 0], [0, 50, 50, 10, 10, 0, 0], [1, 0, 0, 10, 10, 0, 0]], float)
    predictions = np.array(
        [
            [0, 0, 0, 10, 10, 0, 0.9],
            [0, 90, 90, 10, 10, 0, 0.8],
            [1, 1, 0, 10, 10, 0, 0.7],
            [0, 0, 0, 10, 9, 0, 0.6],  # a second time on a box that is taken
            [1, 80, 0, 10, 10, 0, 0.5],
        ]
    )
    images = [ImageRow("a"), ImageRow("b")]
    score = score_boxes(BoxTable(images, ("x",), truth, predictions), Options(bootstraps=50))
    # No false positive at 1/8 and 1/4 per image: one of three. From 1/2 on (one in two images): two of three.
    assert score.metrics["Sensitivity@0.125"] == score.metrics["Sensitivity@0.25"] == pytest.approx(1 / 3)
    assert score.metrics["Sensitivity@0.5"] == score.metrics["Sensitivity@8/x"] == pytest.approx(2 / 3)
    assert score.metrics["FROC"] == pytest.approx((2 / 3 + 5 * 2 / 3) / 7)
    assert score.details["froc"]["x"]["fp_per_image"] == [0.0, 0.5]
    assert score.details["froc"]["x"]["sensitivity"] == pytest.approx([1 / 3, 2 / 3])
    assert {score.estimates[key].count for key in ("AP/x", "FROC/x", "Sensitivity@1/x", "APs/x")} == {3}
    assert score.details["regions"]["x"] == {"truths": 3, "images_with": 2, "detections": 5}


def test_intervals_are_those_of_scoring_every_replicate():
    truth, predictions = random_regions(np.random.default_rng(11), IMAGES, 3, 25, 80)
    images = [ImageRow(str(i), f"p{i // 2}") for i in range(IMAGES)]
    options = Options(bootstraps=25, seed=2)
    score = score_regions(truth, predictions, images, CLASSES, options)
    drawn = {"AP": [], "AP50/x": [], "FROC/y": [], "FROC": []}
    for weights in np.concatenate(list(replicates(patients_of(images), 25, 2))):
        copy = repeat_images(truth, weights), repeat_images(predictions, weights)
        rows = [ImageRow(str(i)) for i in range(int(weights.sum()))]
        metrics = score_regions(*copy, rows, CLASSES, Options(bootstraps=0)).metrics
        for name, values in drawn.items():
            if metrics[name] is not None:
                values.append(metrics[name])
    for name, values in drawn.items():
        estimate = score.estimates[name]
        assert [estimate.low, estimate.high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-9), name


@pytest.mark.parametrize(("masks", "thing"), [(False, "box"), (True, "region")])
def test_classes_without_truth_images_without_boxes_no_predictions(masks, thing):
    rng = np.random.default_rng(0)
    truth, predictions = random_regions(rng, 2, 1, 4, 10, crowds=0, masks=masks)
    images = [ImageRow(str(i)) for i in range(5)]  # three are normal
    for detections, value in ((predictions, None), (random_regions(rng, 2, 1, 4, 0, masks=masks)[1], 0.0)):
        score = score_regions(truth, detections, images, ("x", "never"), Options(bootstraps=5))
        assert score.estimates["AP50/never"].reason == f"no true {thing}"
        assert value is None or (score.metrics["AP"] == score.metrics.get("FROC", 0.0) == value)
        assert ("FROC/never" in score.estimates) == (thing == "box")
        assert score.estimates["APs/never"].reason == f"no small true {thing}"
    nothing = score_regions(
        random_regions(rng, 5, 1, 0, 0, masks=masks)[0], predictions, images, ("x",), Options(bootstraps=5)
    )
    assert set(nothing.metrics.values()) == {None}


def test_match_rules():
    thresholds = np.array([0.5])
    crowd = np.array([False, False, True])
    # The first takes the nearer truth, the second is left with nothing but the crowd, the third overlaps nothing.
    overlaps = np.array([[0.6, 0.7, 0.0], [0.0, 0.9, 0.8], [0.1, 0.1, 0.1]])
    assert match(overlaps, crowd, thresholds).tolist() == [[HIT, IGNORED, FALSE]]
    # A crowd takes any number, a truth only one.
    assert match(np.array([[0.0, 0.0, 0.6]] * 2), crowd, thresholds).tolist() == [[IGNORED, IGNORED]]
    assert match(np.array([[0.5, 0.0, 0.0]] * 2), crowd, thresholds).tolist() == [[HIT, FALSE]]


def test_names_follow_the_columns():
    truth, predictions = random_regions(np.random.default_rng(1), IMAGES, 3, 10, 20)
    statistic = DetectionStatistic(ranked_of(truth, predictions), CLASSES, froc=False)
    values = dict(zip(statistic.names, statistic(np.ones((1, IMAGES), np.int16))[0], strict=True))
    assert list(values) == [f"{metric}/{name}" for name in CLASSES for metric in METRICS]
    assert values["AP40/y"] == pytest.approx(pycocotools_ap(truth, predictions, IMAGES)[1, 0], nan_ok=True)
