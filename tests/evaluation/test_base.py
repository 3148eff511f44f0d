"""No image is lost, none counts twice, whatever the number of processes."""

import logging

import pytest
import torch
from detectron2.utils import comm

from fx_d2.evaluation import EVALUATORS, ClassificationEvaluator
from fx_d2.schedule import TASKS

RECORDS = [{"image_id": name, "unit": "toy/cls", "labels": [float(y)]} for name, y in (("a", 0), ("b", 1), ("c", 0))]


def outputs(*values):
    return [{"scores": torch.tensor([value])} for value in values]


def test_every_task_has_an_evaluator():
    assert set(EVALUATORS) == set(TASKS)
    assert all(evaluator.task == task for task, evaluator in EVALUATORS.items())


def test_missing_predictions_are_an_error():
    evaluator = ClassificationEvaluator(RECORDS, ["x"])
    evaluator.process(RECORDS[:1], outputs(0.1))
    with pytest.raises(ValueError, match=r"toy/cls: 2 of 3 images have no prediction.*'b'"):
        evaluator.evaluate()


def test_a_foreign_image_is_an_error():
    evaluator = ClassificationEvaluator(RECORDS, ["x"])
    with pytest.raises(ValueError, match="'z', which is not among the 3 images"):
        evaluator.process([{"image_id": "z"}], outputs(0.1))


def test_repeated_image_ids_and_empty_sets_are_errors():
    with pytest.raises(ValueError, match="1 images repeat"):
        ClassificationEvaluator([*RECORDS, RECORDS[0]], ["x"])
    with pytest.raises(ValueError, match="no images"):
        ClassificationEvaluator([], ["x"])


def test_a_repeated_prediction_counts_once_and_reset_forgets():
    evaluator = ClassificationEvaluator(RECORDS, ["x"])
    evaluator.process(RECORDS, outputs(0.2, 0.3, 0.1))
    evaluator.process(RECORDS[1:2], outputs(0.0))  # as a sampler does that pads the last batch
    assert evaluator.evaluate()["cls"]["AUROC"] == 1.0
    evaluator.reset()
    evaluator.process(RECORDS, outputs(0.2, 0.0, 0.1))
    assert evaluator.evaluate()["cls"]["AUROC"] == 0.0


def test_processes_are_gathered_in_the_order_of_the_dataset(monkeypatch, caplog):
    first, second = ClassificationEvaluator(RECORDS, ["x"]), ClassificationEvaluator(RECORDS, ["x"])
    first.process([RECORDS[2], RECORDS[0]], outputs(0.1, 0.2))
    second.process([RECORDS[1], RECORDS[2]], outputs(0.3, 0.9))
    monkeypatch.setattr(comm, "gather", lambda data, dst=0: [first._measured, second._measured])
    with caplog.at_level(logging.INFO, "fx_d2"):
        assert first.evaluate()["cls"]["AUROC"] == 1.0
    assert "1 predictions came from two processes" in caplog.text
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert first.evaluate() == {}
