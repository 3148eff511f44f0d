"""Predictions on disk give the numbers of the evaluation that wrote them; comparisons are paired."""

import csv
import json

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode
from pycocotools import mask as coco_mask
from sklearn.metrics import roc_auc_score

from fx_d2.commands import evaluate as evaluate_predictions
from fx_d2.data.errors import DataError
from fx_d2.evaluation import EVALUATORS
from fx_d2.evaluation.bootstrap import replicates
from fx_d2.evaluation.compare import bootstrap_p, compare
from fx_d2.evaluation.files import table_path
from fx_d2.evaluation.findings import score_findings
from fx_d2.evaluation.recorder import Recorder
from fx_d2.evaluation.rescore import compare_folders, rescore
from fx_d2.evaluation.tables import Options, patients_of
from tests.evaluation.cases import box_output, finding_table

CLASSES = ("Nodule", "Mass/Lump")
OPTIONS = Options(bootstraps=20, seed=3)
SIDE = 40


def records(rng, task, count=12):
    """Images of patients who have two each; the last has neither patient nor spacing."""
    rows = []
    for number in range(count):
        row = {"image_id": f"{number}.png", "file_name": f"{number}.png", "unit": f"toy/{task}", "height": SIDE}
        row |= {"width": SIDE, "patient_id": f"p{number // 2}", "spacing": (0.2, 0.3)}
        if number == count - 1:
            del row["patient_id"], row["spacing"]
        if task == "cls":
            row["labels"] = [float(number % 2), (np.nan, 1.0, 0.0)[number % 3]]
        elif task == "box":
            row["annotations"] = [
                {"bbox": [*rng.random(2) * 20, 12, 14], "bbox_mode": BoxMode.XYWH_ABS, "category_id": k, "iscrowd": 0}
                for k in range(number % 3)
            ]
        else:
            masks = rng.random((2, SIDE, SIDE)) < 0.3
            row["annotations"] = [
                {"segmentation": coco_mask.encode(np.asfortranarray(m, np.uint8)), "category_id": k, "iscrowd": 0}
                for k, m in enumerate(masks[: number % 3])
            ]
            row["unknown_classes"] = [1] if number == 0 else []
        rows.append(row)
    return rows


def outputs(rng, task, rows):
    for row in rows:
        if task == "cls":
            yield {"scores": torch.as_tensor(rng.random(2), dtype=torch.float32)}
        elif task == "box":
            truth = [a["bbox"] for a in row["annotations"]] + [[1, 1, 9, 9]]
            corners = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in truth]) + torch.as_tensor(
                rng.normal(0, 1, 4)
            )
            yield box_output(corners, torch.arange(len(truth)) % 2, rng.random(len(truth)))
        else:
            yield {"masks": torch.as_tensor(rng.random((2, SIDE, SIDE)), dtype=torch.float32)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An evaluation of two models over three units, as the engine does it."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("run")
    recorder = Recorder(OPTIONS, "test", "val", folder / "predictions")
    for task, evaluator in EVALUATORS.items():
        for split in ["val", "test"] if task == "cls" else ["test"]:
            rows = records(rng, task)
            evaluators = {name: evaluator(rows, CLASSES, False, OPTIONS) for name in ("student", "teacher")}
            truths = evaluators["student"].truths_of(rows)
            for name, scorer in evaluators.items():
                scorer.process(rows, list(outputs(rng, task, rows)), truths)
                if task == "cls" and split == "test":
                    scorer.thresholds = recorder.thresholds_of(name, f"toy/{task}", CLASSES)
                assert scorer.evaluate()[task] == scorer.score.metrics
            tables = {name: scorer.table for name, scorer in evaluators.items()}
            if split == "val":
                recorder.choose_thresholds("toy/cls", tables)
            else:
                recorder.add(f"toy/{task}", tables, {name: scorer.score for name, scorer in evaluators.items()})
    recorder.write(folder)
    return folder


RESULTS = ("results.json", "results_details.json", "results.csv", "results.md", "thresholds.json")


def test_the_same_numbers_without_the_model(run, tmp_path, capsys):
    evaluate_predictions.main([str(run / "predictions"), "--output", str(tmp_path / "again")])
    for name in RESULTS:
        assert (tmp_path / "again" / name).read_text() == (run / name).read_text(), name
    assert "toy/box" in capsys.readouterr().out


def test_results_files(run):
    results = json.loads((run / "results.json").read_text(), parse_constant=pytest.fail)
    details = json.loads((run / "results_details.json").read_text(), parse_constant=pytest.fail)
    flat = {
        f"{model}/{dataset}/{task}/{metric}": value
        for model, datasets in results.items()
        for dataset, tasks in datasets.items()
        for task, metrics in tasks.items()
        for metric, value in metrics.items()
    }
    assert set(flat) == set(details["metrics"])
    assert all(value is None or isinstance(value, float) for value in flat.values())
    for key, detail in details["metrics"].items():
        assert detail["value"] == flat[key]
        assert ("reason" in detail) == (flat[key] is None), key
        if "low" in detail:
            assert detail["low"] <= detail["high"] and detail["method"] == "bootstrap over patients"
    with (run / "results.csv").open(newline="") as file:
        rows = {
            tuple(row[k] for k in ("model", "dataset", "task", "metric", "class")): row for row in csv.DictReader(file)
        }
    assert len(rows) == len(flat)
    row = rows["teacher", "toy", "cls", "AUROC", "Mass/Lump"]
    assert float(row["value"]) == flat["teacher/toy/cls/AUROC/Mass/Lump"] and float(row["low"]) <= float(row["high"])
    assert rows["student", "toy", "box", "APl", ""]["reason"]
    thresholds = json.loads((run / "thresholds.json").read_text())
    assert set(thresholds["teacher"]["toy"]) == set(CLASSES)
    assert thresholds["teacher"]["toy"]["Nodule"]["source"] == "youden on the val split"
    text = (run / "results.md").read_text()
    assert f"{flat['teacher/toy/mask/Dice']:.3f} [" in text
    assert {"teacher/toy/mask/HD95_mm", "teacher/toy/mask/AP50", "student/toy/box/FROC"} <= set(flat)
    assert details["about"]["coco"] and details["units"]["student/toy/cls"]["patients"] == 7


def test_some_units_and_other_options(run):
    again = rescore(run / "predictions", ["toy/mask"], bootstraps=0, distances=False)
    assert list(again.scores["student"]) == ["toy/mask"]
    estimates = again.scores["student"]["toy/mask"].estimates
    assert estimates["Dice"].low is None and "FX.EVAL.DISTANCES" in estimates["HD95/Nodule"].reason
    with pytest.raises(DataError, match="no predictions for the unit 'toy/boxes'; did you mean 'toy/box'"):
        rescore(run / "predictions", ["toy/boxes"])


def test_student_and_teacher_are_compared(run):
    details = json.loads((run / "results_details.json").read_text())
    comparison = details["comparisons"]["toy/cls"]
    assert (comparison["first"], comparison["second"]) == ("teacher", "student")
    row, values = comparison["metrics"]["AUROC/Nodule"], details["metrics"]
    difference = values["teacher/toy/cls/AUROC/Nodule"]["value"] - values["student/toy/cls/AUROC/Nodule"]["value"]
    assert row["difference"] == pytest.approx(difference) and row["low"] <= row["high"]
    assert 0 < row["p_value"] <= 1 and 0 <= row["delong_p_value"] <= 1
    assert comparison["metrics"]["ECE/Nodule"]["difference"] is not None  # without an interval
    assert details["comparisons"]["toy/box"]["metrics"]["APl"]["reason"]


def test_differences_are_those_of_a_loop_over_replicates():
    rng = np.random.default_rng(4)
    patients, labels = [f"p{i // 3}" for i in range(60)], (rng.random((60, 1)) < 0.4).astype(float)
    pair = [finding_table(labels, 0.3 * labels + rng.random((60, 1)) * 0.7, patients) for _ in range(2)]
    options = Options(bootstraps=30, seed=8)
    row = compare(*(score_findings(table, options) for table in pair), tuple(pair), options)["AUROC/a"]
    drawn = []
    for weights in np.concatenate(list(replicates(patients_of(pair[0].images), 30, 8))):
        areas = [roc_auc_score(labels[:, 0], table.scores[:, 0], sample_weight=weights) for table in pair]
        drawn.append(areas[0] - areas[1])
    assert [row["low"], row["high"]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    smaller = min(sum(d <= 0 for d in drawn), sum(d >= 0 for d in drawn))
    assert row["p_value"] == pytest.approx(min(1.0, 2 * (1 + smaller) / 31))
    same = compare(*(score_findings(pair[0], options) for _ in range(2)), (pair[0], pair[0]), options)
    assert same["AUROC/a"]["difference"] == 0 and same["AUROC/a"]["p_value"] == same["AUROC/a"]["delong_p_value"] == 1
    assert bootstrap_p(np.full(99, 0.2)) == 0.02


def test_two_folders(run, tmp_path, capsys):
    evaluate_predictions.main(
        ["--compare", *[str(run / "predictions")] * 2, "--output", str(tmp_path / "diff"), "--per-class"]
    )
    stored = json.loads((tmp_path / "diff" / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert set(stored) == {f"{model}/toy/{task}" for model in ("student", "teacher") for task in EVALUATORS}
    assert stored["teacher/toy/cls"]["AUROC"]["difference"] == 0
    assert "AUROC/Nodule" in capsys.readouterr().out


def test_unlike_folders_are_refused(run, tmp_path):
    other = tmp_path / "other"
    for path in (run / "predictions").rglob("*.*"):
        target = other / path.relative_to(run / "predictions")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    path = table_path(other, "student", "toy/cls", "test")
    text = path.read_text()
    path.write_text(text.replace("\n3.png,p1", "\n3.png,p0"))
    with pytest.raises(DataError, match=r"student/toy/cls: .*same images and patients \(2 differ"):
        compare_folders(run / "predictions", other, ["toy/cls"])
    path.write_text(text.replace("\n3.png,p1,1", "\n3.png,p1,0"))
    with pytest.raises(DataError, match="different truth"):
        compare_folders(run / "predictions", other, ["toy/cls"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one predictions folder"),
        (["x", "--compare", "a", "b"], "name one"),
        (["x", "--bootstraps", "-1"], "0 or"),
    ],
)
def test_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit):
        evaluate_predictions.main(arguments)
    assert message in capsys.readouterr().err


def test_a_wrong_folder_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*manifest\.json does not exist"):
        evaluate_predictions.main([str(tmp_path)])


@pytest.mark.parametrize("what", ["findings", "boxes", "masks"])
def test_the_timing_tool_runs(what, capsys):
    import time_evaluation

    time_evaluation.main([what, "--images", "6", "--classes", "2", "--detections", "30", "--side", "32"])
    assert "seconds" in capsys.readouterr().out
