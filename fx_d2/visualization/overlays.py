"""Predictions beside the ground truth on the radiograph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.masks import UNKNOWN
from .drawing import MAX_BOXES, Drawn, overlay_boxes, overlay_masks
from .palette import color_of
from .panels import ABSENT, FAINT, PRESENT, Legend, Panel, compose, displayed, score_bars
from .truth import View, count_boxes, drawn_boxes, stored_view


def draw_case(dataset_dict: Mapping, output: Mapping, metadata, score_threshold: float = 0.3) -> np.ndarray:
    """Truth on the left, prediction on the right.

    Args:
        dataset_dict: an image with its truth. output: the network's output for it.
        metadata: Detectron2 metadata of the unit (``thing_classes``).
        score_threshold: boxes below it are not drawn, and never more than the 10 best.

    Returns:
        uint8 RGB (H, W, 3): title, panels (the image with a shorter side of 384 to 768 pixels), legend.
    """
    unit, classes = dataset_dict["unit"], list(metadata.thing_classes)
    view = stored_view(dataset_dict, len(classes))
    image = displayed(view.image)
    legend: Legend = []
    if view.labels is not None:
        bars = score_bars(image.shape[0], classes, view.labels, output["scores"].cpu().tolist())
        size = f"{dataset_dict['width']} × {dataset_dict['height']} pixels"
        panels = [("Image", size, image), ("Truth and prediction", "score 0 to 1", bars)]
        legend = [("present", PRESENT), ("absent", ABSENT), ("unknown", FAINT)]
    elif view.boxes is not None:
        panels = _draw_boxes(image, view, output, classes, score_threshold)
    else:
        panels, legend = _draw_masks(image, view, output, classes)
    return compose(unit, str(dataset_dict["image_id"]), panels, legend)


def write_overlays(
    cases: Iterable[tuple[Mapping, Mapping]], metadata, folder: str | Path, prefix: str, score_threshold: float = 0.3
) -> list[Path]:
    """Writes a PNG ``{prefix}_{number}_{image}.png`` per case (dataset dict, output); returns the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (dataset_dict, output) in enumerate(cases, start=1):
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(dataset_dict["image_id"]).with_suffix("").as_posix())
        paths.append(folder / f"{prefix}_{number:02d}_{name[-80:]}.png")
        Image.fromarray(draw_case(dataset_dict, output, metadata, score_threshold)).save(paths[-1])
    return paths


def _draw_boxes(
    image: np.ndarray, view: View, output: Mapping, classes: Sequence[str], threshold: float
) -> list[Panel]:
    instances = output["instances"].to("cpu")
    scores = instances.scores.numpy()
    best = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    scale = np.tile([image.shape[1] / view.image.shape[1], image.shape[0] / view.image.shape[0]], 2)
    predictions: list[Drawn] = []
    for i in best[:MAX_BOXES]:
        k = int(instances.pred_classes[i])
        corners = instances.pred_boxes.tensor[i].numpy() * scale
        predictions.append((corners, f"{classes[k]} {scores[i]:.2f}", color_of(k), "-"))
    number = f"best {MAX_BOXES} of {len(best)} boxes" if len(best) > MAX_BOXES else count_boxes(len(best))
    detail = f"{number} with score ≥ {threshold:g}"
    if not best and len(scores):
        detail += f", highest {scores.max():.2f}"
    truth = drawn_boxes(view, classes, scale)
    return [
        ("Truth", count_boxes(len(truth)), overlay_boxes(image, truth)),
        ("Prediction", detail, overlay_boxes(image, predictions)),
    ]


def _draw_masks(image: np.ndarray, view: View, output: Mapping, classes: Sequence[str]) -> tuple[list[Panel], Legend]:
    """The predicted instances are cut at the network's own threshold; the legend adds the Dice of each class."""
    assert view.masks is not None
    instances = output["instances"].to("cpu")
    predicted = np.zeros(view.masks.shape, bool)
    for mask, k in zip(instances.pred_masks.numpy(), instances.pred_classes.tolist(), strict=True):
        predicted[k] |= mask
    truth = view.masks == 1
    unknown = (view.masks == UNKNOWN).all(axis=(1, 2))
    legend: Legend = []
    for k, name in enumerate(classes):
        total = int(truth[k].sum() + predicted[k].sum())
        if unknown[k]:
            legend += [(f"{name}, truth unknown", color_of(k))] if predicted[k].any() else []
        elif total:
            legend.append((f"{name}, Dice {2 * int((truth[k] & predicted[k]).sum()) / total:.2f}", color_of(k)))
    panels = [
        (heading, _count_classes(m), overlay_masks(image, m))
        for heading, m in (("Truth", truth), ("Prediction", predicted))
    ]
    return panels, legend


def _count_classes(masks: np.ndarray) -> str:
    number = int(masks.any(axis=(1, 2)).sum())
    return {0: "empty", 1: "1 class"}.get(number, f"{number} classes")
