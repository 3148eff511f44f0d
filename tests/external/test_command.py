"""`fx-d2 external` end to end, against values computed from the predictions."""

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import fx_d2
from fx_d2.commands import external
from fx_d2.data.masks import decode_masks
from fx_d2.data.user_datasets import load_user_datasets
from fx_d2.tooling import run_tool

pytestmark = pytest.mark.usefixtures("fresh_catalog")

PLAN = """
external:
  title: Two rules | one network
  files: [{file}]
  scores:
    phantom_emergency/cls:
      head: phantom_screen/cls
      classes: {{Normal: No Finding, Consolidation: [Consolidation, Nodule]}}
    phantom_heart/mask:
      head: phantom_heart/mask
      classes: {{Right Lung: Right Lung, Heart: [Heart, Left Lung], Left Lung: Left Lung}}
    phantom_heart/box: {{head: phantom_heart/box, classes: {{Heart: Heart}}}}
"""


def call(*arguments):
    try:
        run_tool(lambda: external.main(list(arguments)))
    except SystemExit as error:
        return error.code
    return 0


@pytest.fixture
def run(trained, cohort, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN.format(file=cohort / "phantoms" / "phantoms.yaml"))
    arguments = [
        "--plan",
        str(tmp_path / "plan.yaml"),
        "--output",
        str(tmp_path / "out"),
        "--config-file",
        trained.config,
    ]
    code = call(*arguments, "MODEL.WEIGHTS", trained.weights, "FX.EVAL.BOOTSTRAPS", "20", "FX.EVAL.DISTANCES", "False")
    assert code == 0
    return tmp_path / "out"


def all_records(cohort, name, task):
    dataset = load_user_datasets(cohort / "phantoms" / "phantoms.yaml")[name]
    return dataset.tasks[task].classes, [r for split in dataset.splits for r in dataset.read(task, split)]


def test_values_are_those_of_the_predictions(run, trained, cohort, capsys):
    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights)
    results = json.loads((run / "results.json").read_text())["teacher"]

    classes, records = all_records(cohort, "phantom_emergency", "cls")
    predictions = predictor([record["file_name"] for record in records])
    labels = np.array([record["labels"] for record in records])
    for name, others in (("Normal", ["No Finding"]), ("Consolidation", ["Consolidation", "Nodule"])):
        scores = [max(p.scores("phantom_screen/cls")[other] for other in others) for p in predictions]
        expected = roc_auc_score(labels[:, classes.index(name)], scores)
        assert results["phantom_emergency"]["cls"][f"AUROC/{name}"] == pytest.approx(expected)

    classes, records = all_records(cohort, "phantom_heart", "mask")
    predictions = predictor([record["file_name"] for record in records])
    dice = []
    for record, prediction in zip(records, predictions, strict=True):
        names = prediction.classes[next(u for u in prediction.classes if str(u) == "phantom_heart/mask")].names
        output = prediction.outputs[next(u for u in prediction.outputs if str(u) == "phantom_heart/mask")]["masks"]
        predicted = torch.maximum(output[names.index("Heart")], output[names.index("Left Lung")]).numpy() >= 0.5
        truth = decode_masks(record, len(classes))[classes.index("Heart")] == 1
        if truth.any():
            dice.append(2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()))
    assert results["phantom_heart"]["mask"]["Dice/Heart"] == pytest.approx(np.mean(dice))


def test_the_page_and_the_files_of_an_evaluation(run, capsys):
    text = (run / "external.md").read_text()
    assert text.startswith("# Two rules \\| one network\n\nWeights: `model_final.pth`.")
    assert "| phantom_heart/mask    | phantom_heart/mask" in text and "Consolidation, Nodule" in text
    details = json.loads((run / "results_details.json").read_text())
    metric = details["metrics"]["teacher/phantom_heart/mask/Dice"]
    assert f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" in text
    masks = details["units"]["teacher/phantom_heart/mask"]["masks"]
    values = sorted(value for name in masks for value in masks[name]["dice"])
    assert f"{np.percentile(values, 10):.3f}" in text
    rows = list(csv.DictReader((run / "results.csv").open()))
    assert {(row["dataset"], row["task"]) for row in rows} == {
        ("phantom_emergency", "cls"),
        ("phantom_heart", "mask"),
        ("phantom_heart", "box"),
    }
    assert (run / "predictions" / "manifest.json").is_file()  # fx-d2 evaluate reads them again


def test_a_dataset_that_cannot_be_read_does_not_stop_the_others(trained, cohort, tmp_path, capsys):
    broken = tmp_path / "broken.yaml"
    (tmp_path / "labels.csv").write_text("image,Mass\nnowhere.png,1\n")
    images = cohort / "phantoms" / "phantom_heart" / "images"
    task = f"{{file: {tmp_path / 'labels.csv'}, image: image, classes: [Mass]}}"
    broken.write_text(f"datasets: {{broken: {{images: {images}, splits: {{test: 1.0}}, tasks: {{cls: {task}}}}}}}\n")
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        f"external: {{files: [{broken}, {cohort / 'phantoms' / 'phantoms.yaml'}], scores: {{"
        "broken/cls: {head: phantom_screen/cls, classes: {Mass: Nodule}}, "
        "phantom_heart/cls: {head: phantom_heart/cls, classes: {Cardiomegaly: Cardiomegaly}}}}\n"
    )
    arguments = ["--plan", str(plan), "--output", str(tmp_path / "out"), "--config-file", trained.config]
    assert call(*arguments, "MODEL.WEIGHTS", trained.weights, "FX.EVAL.BOOTSTRAPS", "0") == external.FAILED
    text = (tmp_path / "out" / "external.md").read_text()
    assert "## Not scored" in text and "nowhere.png" in text and "| phantom_heart/cls |" in text
    assert "nowhere.png" in capsys.readouterr().err


def test_a_mistake_in_the_plan_is_one_message(trained, tmp_path, capsys):
    plan = tmp_path / "plan.yaml"
    plan.write_text("external: {scores: {nothing/cls: {head: phantom_screen/cls, classes: {A: Nodule}}}}\n")
    arguments = ["--plan", str(plan), "--output", str(tmp_path / "out"), "--config-file", trained.config]
    assert call(*arguments, "MODEL.WEIGHTS", trained.weights) == 2
    assert "no dataset 'nothing'" in capsys.readouterr().err and not (tmp_path / "out").exists()
