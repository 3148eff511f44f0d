"""Predictions beside the truth on the radiograph, drawn with Detectron2's Visualizer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import GenericMask, Visualizer
from PIL import Image

from ..data.images import read_image
from ..data.masks import UNKNOWN, decode_masks
from .palette import Color, color_of, mix
from .panels import ABSENT, FAINT, POINTS, PRESENT, TEXT, compose, displayed, score_bars, text_width

# Scales Detectron2's text and, with it, the width of its lines (to about 2 pixels).
_LINES = 0.6
_FILL = 0.3
MAX_BOXES = 10

Panel = tuple[str, str, np.ndarray]
# A box in drawn pixels (x0, y0, x1, y1), its label, its colour, its line style.
Drawn = tuple[np.ndarray, str, Color, str]


def draw_case(dataset_dict: Mapping, output: Mapping, metadata, score_threshold: float = 0.3) -> np.ndarray:
    """Truth on the left, prediction on the right.

    Args:
        dataset_dict: an image with its truth. output: the network's output for it.
        metadata: Detectron2 metadata of the unit (``thing_classes``).
        score_threshold: boxes below it are not drawn, and never more than the 10 best.

    Returns:
        uint8 RGB (H, W, 3): title, panels (the image with a shorter side of 384 to 768 pixels), legend.
    """
    image = displayed(read_image(dataset_dict["file_name"]))
    unit, classes = dataset_dict["unit"], list(metadata.thing_classes)
    task = unit.rpartition("/")[2]
    if task == "cls":
        panels, legend = _draw_scores(image, dataset_dict, output, classes)
    elif task == "box":
        panels, legend = _draw_boxes(image, dataset_dict, output, classes, score_threshold)
    else:
        panels, legend = _draw_masks(image, dataset_dict, output, classes)
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


def _draw_scores(image: np.ndarray, dataset_dict: Mapping, output: Mapping, classes: Sequence[str]):
    bars = score_bars(image.shape[0], classes, dataset_dict["labels"], output["scores"].cpu().tolist())
    size = f"{dataset_dict['width']} × {dataset_dict['height']} pixels"
    panels = [("Image", size, image), ("Truth and prediction", "score 0 to 1", bars)]
    return panels, [("present", PRESENT), ("absent", ABSENT), ("unknown", FAINT)]


def _draw_boxes(image: np.ndarray, dataset_dict: Mapping, output: Mapping, classes: Sequence[str], threshold: float):
    scale = np.tile([image.shape[1] / dataset_dict["width"], image.shape[0] / dataset_dict["height"]], 2)
    truth: list[Drawn] = []
    for annotation in dataset_dict["annotations"]:
        corners = BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS)
        k = annotation["category_id"]
        # A crowd (no score for it either way) is dashed.
        style = "--" if annotation.get("iscrowd", 0) else "-"
        truth.append((np.array(corners) * scale, classes[k], color_of(k), style))
    instances = output["instances"].to("cpu")
    scores = instances.scores.numpy()
    best = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    found: list[Drawn] = []
    for i in best[:MAX_BOXES]:
        k = int(instances.pred_classes[i])
        corners = instances.pred_boxes.tensor[i].numpy() * scale
        found.append((corners, f"{classes[k]} {scores[i]:.2f}", color_of(k), "-"))
    number = f"best {MAX_BOXES} of {len(best)} boxes" if len(best) > MAX_BOXES else _boxes(len(best))
    detail = f"{number} with score ≥ {threshold:g}"
    if not best and len(scores):
        detail += f", highest {scores.max():.2f}"
    return [
        ("Truth", _boxes(len(truth)), overlay_boxes(image, truth)),
        ("Prediction", detail, overlay_boxes(image, found)),
    ], []


def _boxes(number: int) -> str:
    return {0: "no box", 1: "1 box"}.get(number, f"{number} boxes")


def overlay_boxes(image: np.ndarray, boxes: Sequence[Drawn]) -> np.ndarray:
    """Boxes with labels that keep clear of one another; the first boxes get the best places."""
    visualizer = Visualizer(image, font_size_scale=_LINES)
    height, width = image.shape[:2]
    placed: list[np.ndarray] = []
    for corners, label, color, style in boxes:
        visualizer.draw_box(corners, alpha=1.0, edge_color=color, line_style=style)
        size = np.array([text_width(label) + 4, TEXT + 6])
        others = [other for other, *_ in boxes if other is not corners]
        place = _place_label(corners, size, np.array([width, height]), placed, others)
        placed.append(np.concatenate([place, place + size]))
        visualizer.draw_text(label, place + 2, font_size=TEXT * POINTS, color=color, horizontal_alignment="left")
        visualizer.output.ax.texts[-1].set_parse_math(False)
    return visualizer.output.get_image()


def _place_label(
    box: np.ndarray, size: np.ndarray, limit: np.ndarray, labels: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
) -> np.ndarray:
    """Upper left corner of a label: of the places around its box the one that hides least, the first if equal."""
    (x0, y0, x1, y1), (w, h) = box, size
    places = [(x0, y0 - h), (x1 - w, y0 - h), (x0, y1), (x1 - w, y1), (x1, y0), (x0 - w, y0), (x1, y1 - h)]
    places += [(x0 - w, y1 - h), (x0, y0), (x0, y1 - h), (x1 - w, y0), (x1 - w, y1 - h)]
    best, least = np.zeros(2), np.inf
    for place in places:
        inside = np.clip(place, 0, np.maximum(limit - size, 0))
        rectangle = np.concatenate([inside, inside + size])
        # Another label under it is worst, then its own box, then another box.
        cost = 100 * sum(_overlap(rectangle, other) for other in labels) + 2 * _overlap(rectangle, box)
        cost += sum(_overlap(rectangle, other) for other in boxes)
        if cost < least - 1e-6:
            best, least = inside, cost
    return best


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _draw_masks(image: np.ndarray, dataset_dict: Mapping, output: Mapping, classes: Sequence[str]):
    """The instances are what the network calls inside, at its own threshold; the legend adds the Dice of each class."""
    target = decode_masks(dataset_dict, len(classes))
    instances = output["instances"].to("cpu")
    found = np.zeros(target.shape, bool)
    for mask, k in zip(instances.pred_masks.numpy(), instances.pred_classes.tolist(), strict=True):
        found[k] |= mask
    truth = target == 1
    unknown = (target == UNKNOWN).all(axis=(1, 2))
    legend = []
    for k, name in enumerate(classes):
        total = int(truth[k].sum() + found[k].sum())
        if unknown[k]:
            legend += [(f"{name}, truth unknown", color_of(k))] if found[k].any() else []
        elif total:
            legend.append((f"{name}, Dice {2 * int((truth[k] & found[k]).sum()) / total:.2f}", color_of(k)))
    panels = [("Truth", _areas(truth), overlay_masks(image, truth))]
    panels.append(("Prediction", _areas(found), overlay_masks(image, found)))
    return panels, legend


def _areas(masks: np.ndarray) -> str:
    number = int(masks.any(axis=(1, 2)).sum())
    return {0: "empty", 1: "1 class"}.get(number, f"{number} classes")


def overlay_masks(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Outlines and translucent fills in the colours of the classes, the largest first. masks: bool (K, H, W)."""
    visualizer = Visualizer(image, font_size_scale=_LINES)
    height, width = image.shape[:2]
    for k in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        # Smooth edges where the image is enlarged.
        drawn = cv2.resize(masks[k].astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
        if not drawn.any():
            continue
        visualizer.draw_soft_mask(drawn.astype(np.float32), color_of(k), alpha=_FILL)
        for outline in GenericMask(drawn, height, width).polygons:
            visualizer.draw_polygon(outline.reshape(-1, 2), color_of(k), mix(color_of(k), 1.0, 0.25), alpha=0.0)
    return visualizer.output.get_image()
