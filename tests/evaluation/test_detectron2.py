"""Detectron2's COCOEvaluator on our datasets gives our numbers, for boxes and for every form of masks."""

import json

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import Visualizer
from pycocotools import mask as coco_mask

from fx_d2.data.catalog import register_datasets
from fx_d2.data.masks import PictureAnnotation, decode_masks, decode_segmentation
from fx_d2.evaluation import EVALUATORS
from fx_d2.evaluation.tables import Options
from fx_d2.modeling.heads.instances import present_instances
from tests.evaluation.cases import box_output

pytestmark = pytest.mark.usefixtures("fresh_catalog")
YAML = """
datasets:
  drawn:
    images: images
    splits: {train: 0.3, test: 0.7, seed: 1}
    tasks:
      mask: {folders: {Effusion: effusion, Mass: mass}}
"""


def compare(name, outputs, kind, tmp_path):
    """Both evaluators over the same outputs; returns COCO's AP."""
    records, metadata = DatasetCatalog.get(name), MetadataCatalog.get(name)
    theirs = COCOEvaluator(name, output_dir=str(tmp_path / "coco"))
    theirs.reset()
    ours = EVALUATORS[metadata.unit.split("/")[1]](records, metadata.thing_classes, options=Options(bootstraps=0))
    for evaluator in (ours, theirs):
        evaluator.process(records, outputs)
    found, (expected,) = theirs.evaluate()[kind], ours.evaluate().values()
    for metric in ("AP", "AP50", "AP75"):
        assert found[metric] == pytest.approx(100 * expected[metric], abs=1e-9)
    for label in metadata.thing_classes:
        value = expected[f"AP/{label}"]
        assert len(metadata.thing_classes) == 1 or found[f"AP-{label}"] == pytest.approx(100 * value, abs=1e-9)
    return found["AP"]


def guess_masks(record, classes, rng):
    """The truth moved by a few pixels, with noise: probabilities (K, H, W), and what a network gives for them."""
    truth = decode_masks(record, classes)
    blurred = [cv2.GaussianBlur((mask == 1).astype(np.float32), (0, 0), 1.5) for mask in truth]
    moved = [np.roll(mask, rng.integers(-2, 3, 2), (0, 1)) for mask in blurred]
    masks = torch.from_numpy(np.stack(moved) * rng.uniform(0.7, 1.0) + 0.6 * (rng.random(truth.shape) < 0.001))
    return {"masks": masks.float(), "instances": present_instances(masks.float(), 0.5, components=True)}


@pytest.mark.parametrize("name", ["phantom_ward_box_test", "phantom_heart_box_test"])
def test_boxes(cohort, name, tmp_path):
    register_datasets([cohort / "phantoms" / "phantoms.yaml"])
    rng, outputs = np.random.default_rng(0), []
    for record in DatasetCatalog.get(name):
        truth = record["annotations"] * 2
        boxes = [BoxMode.convert(entry["bbox"], entry["bbox_mode"], BoxMode.XYXY_ABS) for entry in truth]
        corners = np.reshape(boxes, (-1, 4)) + rng.normal(0, 2, (len(truth), 4))
        outputs.append(box_output(corners, [entry["category_id"] for entry in truth], rng.random(len(truth))))
    assert 5 < compare(name, outputs, "bbox", tmp_path) < 95


@pytest.mark.parametrize("name", ["phantom_heart_mask_test", "phantom_emergency_mask_test"])
def test_masks_of_coco_files_and_of_pictures(cohort, name, tmp_path):
    register_datasets([cohort / "phantoms" / "phantoms.yaml"])
    rng, classes = np.random.default_rng(0), len(MetadataCatalog.get(name).thing_classes)
    outputs = [guess_masks(record, classes, rng) for record in DatasetCatalog.get(name)]
    assert 5 < compare(name, outputs, "segm", tmp_path) < 95


@pytest.fixture
def drawn(tmp_path):
    """Pictures of masks with several regions, none, and without a file (unknown)."""
    rng = np.random.default_rng(1)
    for folder in ("images", "effusion", "mass"):
        (tmp_path / folder).mkdir()
    for number in range(12):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), rng.integers(0, 256, (60, 80), np.uint8))
        for kind, folder in enumerate(("effusion", "mass")):
            mask = np.zeros((60, 80), np.uint8)
            for _ in range((number + kind) % 4):
                centre = int(rng.integers(10, 70)), int(rng.integers(10, 50))
                cv2.circle(mask, centre, int(rng.integers(4, 12)), 255, -1)
            if (number + 2 * kind) % 5:
                cv2.imwrite(str(tmp_path / folder / f"{number}.png"), mask)
    (tmp_path / "drawn.yaml").write_text(YAML)
    register_datasets([tmp_path / "drawn.yaml"])
    return tmp_path


def test_several_regions_none_and_unknown_classes(drawn):
    rng = np.random.default_rng(2)
    records = DatasetCatalog.get("drawn_mask_test")
    assert any(record["unknown_classes"] for record in records)
    outputs = [guess_masks(record, 2, rng) for record in records]
    for output, record in zip(outputs, records, strict=True):  # something is predicted where the class is unknown
        output["masks"][record["unknown_classes"], 20:30, 20:40] = 0.9
        output["instances"] = present_instances(output["masks"], 0.5, components=True)
    assert 5 < compare("drawn_mask_test", outputs, "segm", drawn) < 95


def test_a_listing_opens_no_picture_and_an_annotation_is_standard(drawn, monkeypatch):
    opened = []
    monkeypatch.setattr("fx_d2.data.masks.read_mask", lambda path: opened.append(path))
    records = DatasetCatalog.get("drawn_mask_test")
    entries = [entry for record in records for entry in record["annotations"]]
    assert not opened and all(isinstance(entry, PictureAnnotation) and "bbox" in entry for entry in entries)
    monkeypatch.undo()
    for entry in entries:
        mask = cv2.imread(entry["segmentation"]["png"], cv2.IMREAD_GRAYSCALE) > 0
        rows, columns = np.nonzero(mask)
        x, y, width, height = entry["bbox"]
        assert entry["bbox_mode"] == BoxMode.XYWH_ABS and np.array_equal(coco_mask.decode(entry["segmentation"]), mask)
        if len(rows):
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
    with pytest.raises(KeyError, match="keypoints"):
        entries[0]["keypoints"]
    with pytest.raises(KeyError, match="polygons"):
        entries[0]["segmentation"]["polygons"]


def test_the_visualizer_draws_the_dicts(cohort, drawn):
    """Every form of mask: run lengths of a COCO file, pictures."""
    register_datasets([cohort / "phantoms" / "phantoms.yaml"])
    for name in ("phantom_heart_mask_test", "drawn_mask_test"):
        record = next(record for record in DatasetCatalog.get(name) if record["annotations"])
        image = np.zeros((record["height"], record["width"], 3), np.uint8)
        picture = Visualizer(image, MetadataCatalog.get(name)).draw_dataset_dict(record).get_image()
        inside = np.any([decode_segmentation(a["segmentation"], *image.shape[:2]) for a in record["annotations"]], 0)
        assert (picture.any(axis=2) & inside).sum() > 0.9 * inside.sum() > 0


def test_a_coco_file_with_lists_of_counts_gives_text(tmp_path):
    """Detectron2 wants the compressed form."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 5), np.uint8))
    runs = {"size": [4, 5], "counts": [5, 2, 2, 2, 9]}  # rows 1, 2 of columns 1, 2
    polygon = [[0, 0, 2, 0, 2, 3]]
    rows = [{"id": i, "image_id": 1, "category_id": 1, "segmentation": s} for i, s in enumerate((runs, polygon))]
    content = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "Mass"}]}
    (tmp_path / "m.json").write_text(json.dumps({**content, "annotations": rows}))
    (tmp_path / "d.yaml").write_text(
        f"datasets: {{one: {{images: {tmp_path}, splits: {{train: 1.0}}, tasks: {{mask: {{file: m.json}}}}}}}}"
    )
    register_datasets([tmp_path / "d.yaml"])
    ((first, second),) = (record["annotations"] for record in DatasetCatalog.get("one_mask_train"))
    assert first["bbox"] == [1, 1, 2, 2] and isinstance(first["segmentation"]["counts"], str)
    assert second["bbox"] == [0, 0, 2, 3] and second["bbox_mode"] == BoxMode.XYWH_ABS
