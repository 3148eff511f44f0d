"""Random truth and predictions of the size of published test sets, and what scoring them takes."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch

from fx_d2.evaluation import coco
from fx_d2.evaluation.detections import region_sets
from fx_d2.evaluation.findings import score_findings
from fx_d2.evaluation.regions import split_regions
from fx_d2.evaluation.tables import BoxTable, FindingTable, ImageRow, MaskTable
from fx_d2.evaluation.tables import Options as ScoreOptions

from .options import Options
from .others import compared

CPU = torch.device("cpu")
# The official test part of ChestX-ray14; and the boxes that COCO evaluation is compared on.
FINDINGS, BOXES = (25_596, 14), (3000, 14)
SIDE = 1024


def _images(count: int, side: int = SIDE) -> list[ImageRow]:
    """Nine images a patient, as in the test part of ChestX-ray14."""
    return [ImageRow(f"{i}.png", f"p{i // 9}", side, side, (0.14, 0.14)) for i in range(count)]


def _names(classes: int) -> tuple[str, ...]:
    return tuple(map(str, range(classes)))


def finding_table(images: int, classes: int, rng: np.random.Generator) -> FindingTable:
    """Findings with 1 to 20 % positives, and scores that know something of them."""
    shape = (images, classes)
    labels = (rng.random(shape) < rng.uniform(0.01, 0.2, classes)).astype(float)
    scores = 1 / (1 + np.exp(2 - 1.5 * labels - rng.normal(size=shape)))
    return FindingTable(_images(images), _names(classes), labels, scores)


def box_table(images: int, classes: int, detections: int, rng: np.random.Generator) -> BoxTable:
    """A true box an image on average; as many of the detections lie near one."""

    def draw(count: int) -> np.ndarray:
        sides = 20 + 300 * rng.random((count, 2)) ** 2
        corners = rng.random((count, 2)) * (SIDE - sides)
        return np.column_stack([np.sort(rng.integers(0, images, count)), corners, sides])

    truth, found = draw(images), draw(detections)
    truth = np.column_stack([truth, rng.integers(0, classes, len(truth)), np.zeros(len(truth))])
    found = np.column_stack([found, rng.integers(0, classes, len(found)), rng.random(len(found))])
    near = rng.choice(len(found), min(images, detections), replace=False)
    first = np.searchsorted(truth[:, 0], found[near, 0]).clip(max=len(truth) - 1)
    found[near, 1:6] = truth[first, 1:6]
    found[near, 1:5] += rng.normal(0, 8, (len(near), 4))
    return BoxTable(_images(images), _names(classes), truth, found)


def mask_table(images: int, classes: int, side: int, rng: np.random.Generator) -> MaskTable:
    """An ellipse of each class on each image, drawn and predicted independently."""
    rows, columns = np.mgrid[:side, :side]

    def blob() -> np.ndarray:
        y, x, a, b = rng.uniform(0.3, 0.6, 2).tolist() + rng.uniform(0.1, 0.3, 2).tolist()
        return ((rows / side - y) / a) ** 2 + ((columns / side - x) / b) ** 2 < 1

    truth, found = (
        [[row for k in range(classes) for row in split_regions(blob(), k)] for _ in range(images)] for _ in range(2)
    )
    return MaskTable(_images(images, side), _names(classes), truth, found)


def coco_rows(cfg, options: Options) -> list[dict]:
    """One row per installed back end, on ``options.detections`` boxes."""
    images, classes = BOXES
    truth, found = region_sets(box_table(images, classes, options.detections, np.random.default_rng(0)))
    names = [name for name in coco.BACK_ENDS if importlib.util.find_spec(name)]
    cases = {name: (lambda n=name: coco.precision(truth, found, images, classes, name=n)) for name in names}
    return compared(cases, names[0], options, CPU)


def finding_rows(cfg, options: Options) -> list[dict]:
    """AUROC, AP and all the rest with 1,000 bootstraps over a test set of :data:`FINDINGS`."""
    table = finding_table(*FINDINGS, np.random.default_rng(0))
    cases = {
        "AUROC and AP": lambda: score_findings(table),
        "all metrics, 1,000 bootstraps": lambda: score_findings(table, ScoreOptions()),
    }
    return [{"case": row["case"], "seconds": row["seconds"]} for row in compared(cases, "AUROC and AP", options, CPU)]
