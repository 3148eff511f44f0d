"""Evaluators on real annotations: the truth as its own prediction, moved by a few pixels, and nothing at all."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from fx_d2.data.catalog import register_datasets
from fx_d2.data.masks import decode_masks
from fx_d2.evaluation import BoxEvaluator, MaskEvaluator
from fx_d2.evaluation.files import read_table, write_table
from fx_d2.evaluation.rescore import score_table
from fx_d2.evaluation.tables import Options
from tests.evaluation.cases import box_output
from tests.real_data import REAL

FOLDER = REAL / "shared_part" / "covid_cxr"
pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real radiographs in {FOLDER}"),
    pytest.mark.usefixtures("fresh_catalog"),
]
OPTIONS = Options(bootstraps=20)
YAML = """
datasets:
  real:
    images: {folder}/images
    patients: {{file: {folder}/metadata.csv, image: filename, patient: patientid}}
    splits: {{train: 0.7, test: 0.3, seed: 2}}
    tasks:
      box: {{file: {folder}/annotations/lung_boxes_coco.json}}
      mask: {{file: {folder}/annotations/lungs_v7_coco.json, classes: [Lung]}}
"""


def load(tmp_path, task):
    (tmp_path / "real.yaml").write_text(YAML.format(folder=FOLDER))
    register_datasets([str(tmp_path / "real.yaml")])
    name = f"real_{task}_test"
    return DatasetCatalog.get(name), MetadataCatalog.get(name).thing_classes


def test_lung_masks(tmp_path):
    records, classes = load(tmp_path, "mask")
    moved = {0: 0.0, 4: 4.0}
    for pixels, distance in moved.items():
        evaluator = MaskEvaluator(records, classes, options=OPTIONS)
        for record in records:  # one at a time: whole pictures are large
            truth = (decode_masks(record, len(classes)) == 1).astype(np.float32)
            shifted = np.pad(truth, ((0, 0), (0, 0), (pixels, 0)))[:, :, : truth.shape[2]]
            evaluator.process([record], [{"masks": torch.from_numpy(shifted)}])
        metrics = evaluator.evaluate()["mask"]
        assert metrics["HD95"] == pytest.approx(distance, abs=1.0) and metrics["ASSD"] <= distance
        if not pixels:
            assert metrics["Dice"] == metrics["IoU_all"] == metrics["AP"] == 1.0
        assert 0.9 < metrics["Dice"] <= 1.0 and metrics["AP50"] == 1.0
    write_table(tmp_path, "student", "real/mask", "test", evaluator.table)
    table = read_table(tmp_path, "student", "real/mask", "test")
    assert score_table(table, "real/mask", OPTIONS).estimates == evaluator.score.estimates
    assert evaluator.score.details["patients"] < len(records)


def test_lung_boxes(tmp_path):
    records, classes = load(tmp_path, "box")
    for noise, detected in ((0.0, True), (0.02, True), (0.0, False)):
        evaluator = BoxEvaluator(records, classes, options=OPTIONS)
        shown = records if detected else [{**record, "annotations": []} for record in records]
        outputs = [prediction(record, noise) for record in shown]
        evaluator.process(records, outputs)
        metrics = evaluator.evaluate()["box"]
        perfect = 1.0 if detected else 0.0
        assert metrics["AP40"] == metrics["AP50"] == metrics["FROC"] == metrics["Sensitivity@0.125"] == perfect
        assert metrics["AP"] == perfect if not noise else metrics["AP"] > 0.6


def prediction(record, noise=0.0):
    rng, rows = np.random.default_rng(0), record["annotations"]
    corners = [BoxMode.convert(list(row["bbox"]), row["bbox_mode"], BoxMode.XYXY_ABS) for row in rows]
    corners = np.array(corners, dtype=float).reshape(-1, 4)
    corners = corners + rng.normal(0, noise, corners.shape) * record["width"]
    return box_output(corners, [row["category_id"] for row in rows], torch.linspace(0.9, 0.5, len(rows)))
