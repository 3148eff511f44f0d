"""How far an exported file is from the network, output by output."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..schedule import Unit
from .formats import Run
from .graph import ExportGraph

# Rounding in another order of the sums; above it something is wrong.
TOLERANCE = 1e-3


def largest_differences(graph: ExportGraph, run: Run, batch: int = 3) -> dict[str, float]:
    """Largest difference of each unit's outputs (probabilities, and boxes in 0..1) over random images.

    Args:
        graph: as exported, on the CPU. run: the exported file. batch: another number of images than was traced.
    """
    images = graph.example(batch, seed=1)
    with torch.no_grad():
        expected = [value.numpy() for value in graph(images)]
    got = run(images.numpy())
    units: dict[Unit, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for (unit, tensor), one, other in zip(graph.outputs, expected, got, strict=True):
        units.setdefault(unit, {})[tensor] = (one, np.asarray(other))
    return {
        str(unit): _detections(tensors) if unit.task == "box" else max(_distance(*pair) for pair in tensors.values())
        for unit, tensors in units.items()
    }


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.float64) - other).max()) if one.shape == other.shape else float("inf")


def _detections(tensors: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """Each detection against the nearest of the same class: equal scores may come in another order."""
    scores, classes, boxes = (tensors[name] for name in ("scores", "classes", "boxes"))
    if scores[0].shape != scores[1].shape:
        return float("inf")
    worst = 0.0
    for row in range(len(scores[0])):
        # (N, 5): score and box; another class is another place far away.
        mine, other = (
            np.column_stack([scores[side][row], boxes[side][row], 10.0 * classes[side][row]]).astype(np.float64)
            for side in (0, 1)
        )
        distances = np.abs(mine[:, None] - other[None]).max(-1)
        worst = max(worst, float(distances.min(0).max()), float(distances.min(1).max()))
    return worst
