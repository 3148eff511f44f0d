"""COCO precision of random boxes by pycocotools and by the fast back end."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch

from ..evaluation import coco
from .options import Options
from .others import compared

IMAGES, CLASSES, SIDE = 3000, 14, 1024


def _regions(count: int, truth: bool, rng: np.random.Generator) -> coco.RegionSet:
    sides = 20 + 300 * rng.random((count, 2)) ** 2
    boxes = np.column_stack([rng.random((count, 2)) * (SIDE - sides), sides])
    images, categories = np.sort(rng.integers(0, IMAGES, count)), rng.integers(0, CLASSES, count)
    return coco.RegionSet(images, categories, np.zeros(count) if truth else rng.random(count), boxes, sides.prod(1))


def evaluation_rows(cfg, options: Options) -> list[dict]:
    """One row per installed back end, on ``options.detections`` boxes."""
    rng = np.random.default_rng(0)
    truth, found = _regions(IMAGES, True, rng), _regions(options.detections, False, rng)
    names = [name for name in coco.BACK_ENDS if importlib.util.find_spec(name)]
    cases = {name: (lambda n=name: coco.precision(truth, found, IMAGES, CLASSES, name=n)) for name in names}
    return compared(cases, names[0], options, torch.device("cpu"))
