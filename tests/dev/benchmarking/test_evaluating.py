"""The cost of an evaluation by hand from invented costs; the measured ones are of the work that they say."""

import numpy as np
import pytest

from benchmarking import evaluating, loading, scoring
from benchmarking.evaluating import Costs, share_of_cycle
from benchmarking.options import Options
from fx_d2.config import cycle_passes
from fx_d2.engine.build import prepare
from fx_d2.evaluation import evaluators
from fx_d2.schedule import Unit
from tests.tiny import tiny_config

UNITS = [Unit.parse("tbx11k/cls"), Unit.parse("tbx11k/box"), Unit.parse("siim_acr/mask")]
OPTIONS = Options(batch=2, repeats=1)


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "IMAGES", 2)
    monkeypatch.setattr(evaluating, "SAMPLE", {"cls": 6, "box": 3, "mask": 2})
    names = list(map(str, UNITS))
    overrides = {"DATASETS.FILES": [], "FX.CYCLE.UNITS": names, "MODEL.SWIN.DROP_PATH_RATE": 0.0}
    overrides |= {"FX.CYCLE.CLS": [{"train": "path"}]}
    both = [{"train": "head", "fraction": 0.5}, {"train": "path"}]
    overrides |= {"FX.CYCLE.BOX": both, "FX.CYCLE.MASK": both}
    cfg = tiny_config(tmp_path, tmp_path, **overrides)
    prepare(cfg)
    return cfg


def test_the_share_by_hand(cfg):
    """TBX11K has 6,600 images for training and 1,800 for validation, none for test."""
    costs = Costs(
        training={("cls", "path"): 0.1, ("box", "head"): 0.2, ("box", "path"): 0.4},
        inference={"cls": 0.02, "box": 0.05},
        scoring={UNITS[0]: 0.001, UNITS[1]: 0.002},
        reading={UNITS[0]: (0.004, 0.003), UNITS[1]: (0.006, 0.003)},
    )
    slow = share_of_cycle(cycle_passes(cfg), costs, "val", 1.0, 2)
    assert slow["training s"] == pytest.approx(6600 * 0.1 + 3300 * 0.2 + 6600 * 0.4)  # 3,960
    assert slow["networks s"] == pytest.approx(2 * 1800 * (0.02 + 0.05))  # 252
    assert slow["scoring s"] == pytest.approx(1800 * 0.003) and slow["reading s"] == pytest.approx(1800 * 0.003)
    assert slow["evaluation s"] == pytest.approx(257.4) and slow["share of the cycle"] == pytest.approx(257.4 / 3960)
    # A thousand times as fast, reading by two cores is what training waits for, and scoring all that is left.
    fast = share_of_cycle(cycle_passes(cfg), costs, "val", 1000.0, 2)
    assert fast["training s"] == pytest.approx((6600 * 0.004 + 9900 * 0.006) / 2)
    assert fast["evaluation s"] == pytest.approx(0.252 + 5.4)
    assert share_of_cycle(cycle_passes(cfg), costs, "test", 1.0, 2)["share of the cycle"] == 0


def test_rows_of_the_share(cfg, monkeypatch):
    training = {("cls", "path"): 0.1, ("box", "head"): 0.2, ("box", "path"): 0.4}
    training |= {("mask", "head"): 0.1, ("mask", "path"): 0.2}
    inference = dict.fromkeys(("cls", "box", "mask"), 0.01)
    monkeypatch.setattr(evaluating, "network_costs", lambda cfg, options: (training, inference))
    rows = evaluating.share_rows(cfg, OPTIONS)
    cases = [f"{split}, {rate} images/s" for split in ("val", "test") for rate in (10, 500, "1e+03", "2e+03")]
    assert [row["case"] for row in rows] == cases
    for split in (0, 4):
        # 500 images a second are fifty times the measured ten; what the processor does stays.
        assert rows[split]["networks s"] == pytest.approx(50 * rows[split + 1]["networks s"])
        assert rows[split]["scoring s"] == rows[split + 1]["scoring s"]


def test_networks_are_measured_in_each_pass_and_task(cfg):
    training, inference = evaluating.network_costs(cfg, OPTIONS)
    kinds = [("cls", "path"), ("box", "head"), ("box", "path"), ("mask", "head"), ("mask", "path")]
    assert list(training) == kinds and list(inference) == ["cls", "box", "mask"]
    assert min(*training.values(), *inference.values()) > 0


def test_evaluators_see_every_image_for_both_models(cfg, monkeypatch):
    seen, drawn = [], []
    real, measure = evaluators.decode_drawn, evaluators.MaskEvaluator.measure
    monkeypatch.setattr(evaluators, "decode_drawn", lambda record: drawn.append(record["image_id"]) or real(record))
    monkeypatch.setattr(
        evaluators.MaskEvaluator,
        "measure",
        lambda self, record, *rest: seen.append(record["image_id"]) or measure(self, record, *rest),
    )
    assert evaluating.evaluator_seconds(cfg, UNITS[2], OPTIONS) > 0
    once = len(drawn) // 2  # a round that does not count goes first
    assert drawn[:once] == ["0.jpeg.dcm", "1.jpeg.dcm"]
    assert seen[: 2 * once] == [name for name in drawn[:once] for _ in ("student", "teacher")]


def test_rows_of_the_evaluators_are_sums(cfg):
    *units, total = evaluating.evaluator_rows(cfg, OPTIONS)
    assert [row["case"] for row in units] == list(map(str, UNITS))
    assert total["val images"] == 1800 + 1800 + 1205 and total["test images"] == 1205
    for row in units:
        assert row["val s"] == pytest.approx(row["val images"] * row["ms an image"] / 1000)
    assert total["val s"] == pytest.approx(sum(row["val s"] for row in units))


def test_made_up_tables_have_what_they_should():
    rng = np.random.default_rng(0)
    findings = scoring.finding_table(2000, 3, rng)
    prevalence = findings.labels.mean(axis=0)
    assert ((prevalence > 0.005) & (prevalence < 0.25)).all() and findings.images[17].patient_id == "p1"
    for labels, scores in zip(findings.labels.T, findings.scores.T, strict=True):
        assert scores[labels == 1].mean() > scores[labels == 0].mean()
    boxes = scoring.box_table(10, 2, 50, rng)
    assert (
        boxes.truth.shape == (10, 7)
        and boxes.predictions.shape == (50, 7)
        and (np.diff(boxes.predictions[:, 0]) >= 0).all()
    )
    masks = scoring.mask_table(2, 3, 64, rng)
    assert [[row.category for row in rows] for rows in masks.truth] == [[0, 1, 2]] * 2


def test_other_rows_of_scoring(monkeypatch):
    monkeypatch.setattr(scoring, "FINDINGS", (60, 2))
    monkeypatch.setattr(scoring, "BOXES", (20, 2))
    cases = [row["case"] for row in scoring.finding_rows(None, OPTIONS)]
    assert cases == ["AUROC and AP", "all metrics, 1,000 bootstraps"]
    rows = scoring.coco_rows(None, Options(repeats=1, detections=200))
    assert rows[0]["times as fast"] == 1 and "pycocotools" in {row["case"] for row in rows}
