"""The final evaluation of a network: its files, and what it reads once."""

import json

import pytest
from detectron2.data import DatasetCatalog

from fx_d2.engine.build import build_networks, build_precision, prepare
from fx_d2.engine.evaluate import evaluate, evaluate_fully
from fx_d2.evaluation import evaluators
from fx_d2.evaluation.rescore import rescore
from fx_d2.schedule import Unit
from tests.tiny import tiny_config

pytestmark = pytest.mark.usefixtures("fresh_catalog")
UNITS = [Unit("phantom_screen", "cls"), Unit("phantom_heart", "box"), Unit("phantom_heart", "mask")]


@pytest.fixture
def networks(cohort, tmp_path):
    cfg = tiny_config(cohort, tmp_path, **{"FX.EVAL.BOOTSTRAPS": 4})
    prepare(cfg)
    student, teacher = build_networks(cfg)
    return cfg, {"student": student, "teacher": teacher.model}


def test_everything_is_written_and_scored_again_alike(networks, tmp_path, monkeypatch):
    cfg, models = networks
    decoded = []
    real = evaluators.decode_drawn
    monkeypatch.setattr(evaluators, "decode_drawn", lambda record: decoded.append(record["image_id"]) or real(record))
    results, cases = evaluate_fully(cfg, models, UNITS, build_precision(cfg), keep=2)
    images = len(DatasetCatalog.get("phantom_heart_mask_test"))
    assert len(decoded) == len(set(decoded)) == images  # once for student and teacher
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert {unit: len(kept) for unit, kept in cases.items()} == dict.fromkeys(UNITS, 2)

    rescore(tmp_path / "predictions").write(tmp_path / "again")
    for name in ("results.json", "results_details.json", "results.csv", "results.md", "thresholds.json"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / name).read_text(), name
    sources = {
        entry["source"]
        for entry in json.loads((tmp_path / "thresholds.json").read_text())["student"]["phantom_screen"].values()
    }
    assert "youden on the val split" in sources
    details = json.loads((tmp_path / "results_details.json").read_text())
    assert details["units"]["student/phantom_screen/cls"]["patients"] > 1
    assert set(details["comparisons"]) == {str(unit) for unit in UNITS}


def test_the_main_metrics_are_those_of_a_validation(networks):
    cfg, models = networks
    full, _ = evaluate_fully(cfg, models, UNITS, build_precision(cfg))
    quick, _ = evaluate(cfg, models, UNITS, "test", build_precision(cfg))
    for model, datasets in quick.items():
        for dataset, tasks in datasets.items():
            for task, metrics in tasks.items():
                assert metrics == {name: full[model][dataset][task][name] for name in metrics}
    assert "HD95" not in quick["student"]["phantom_heart"]["mask"]


def test_without_predictions_and_on_the_validation_split_itself(networks, tmp_path):
    cfg, models = networks
    cfg.FX.EVAL.PREDICTIONS, cfg.FX.EVAL.SPLIT = False, "val"
    evaluate_fully(cfg, {"student": models["student"]}, UNITS[:1], build_precision(cfg))
    assert not (tmp_path / "predictions").exists()
    thresholds = json.loads((tmp_path / "thresholds.json").read_text())["student"]["phantom_screen"]
    assert {entry["threshold"] for entry in thresholds.values()} == {0.5}
    assert json.loads((tmp_path / "results_details.json").read_text())["comparisons"] == {}
