"""Boxes and masks over a radiograph, drawn with Detectron2's Visualizer."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.utils.visualizer import GenericMask, Visualizer

from .palette import Color, color_of, mix
from .panels import POINTS, TEXT, text_width

# Scales Detectron2's text and, with it, the width of its lines (to about 2 pixels).
_LINES = 0.6
_FILL = 0.3
# Half of the tick at the end of a diameter, in pixels.
_TICK = 5
# Boxes drawn of an image at most: those with the highest scores.
MAX_BOXES = 10

# A box in drawn pixels (x0, y0, x1, y1), its label, its colour, its line style.
Drawn = tuple[np.ndarray, str, Color, str]


def overlay_boxes(image: np.ndarray, boxes: Sequence[Drawn]) -> np.ndarray:
    """Boxes with labels that keep clear of one another; the first boxes get the best places."""
    visualizer = Visualizer(image, font_size_scale=_LINES)
    for corners, _, color, style in boxes:
        visualizer.draw_box(corners, alpha=1.0, edge_color=color, line_style=style)
    _write_labels(visualizer, [(corners, label, color) for corners, label, color, _ in boxes])
    return visualizer.output.get_image()


def overlay_diameters(image: np.ndarray, lines: Sequence[tuple[np.ndarray, str, Color]]) -> np.ndarray:
    """Horizontal lines with a tick at either end, and labels that hide no line. lines: (x0, x1, y), label, colour."""
    visualizer = Visualizer(image, font_size_scale=_LINES)
    labels = []
    for (x0, x1, y), label, color in lines:
        for xs, ys in (((x0, x1), (y, y)), ((x0, x0), (y - _TICK, y + _TICK)), ((x1, x1), (y - _TICK, y + _TICK))):
            visualizer.draw_line(xs, ys, color)
        labels.append((np.array([x0, y - _TICK, x1, y + _TICK]), label, color))
    _write_labels(visualizer, labels)
    return visualizer.output.get_image()


def _write_labels(visualizer: Visualizer, labels: Sequence[tuple[np.ndarray, str, Color]]) -> None:
    """At boxes (x0, y0, x1, y1), in the order given."""
    limit = np.array([visualizer.output.width, visualizer.output.height])
    placed: list[np.ndarray] = []
    for box, label, color in labels:
        size = np.array([text_width(label) + 4, TEXT + 6])
        other_boxes = [other for other, *_ in labels if other is not box]
        place = _place_label(box, size, limit, placed, other_boxes)
        placed.append(np.concatenate([place, place + size]))
        visualizer.draw_text(label, place + 2, font_size=TEXT * POINTS, color=color, horizontal_alignment="left")
        visualizer.output.ax.texts[-1].set_parse_math(False)


def _place_label(
    box: np.ndarray, size: np.ndarray, limit: np.ndarray, labels: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
) -> np.ndarray:
    """Upper left corner of a label: of the places around its box the one that hides least, the first if equal."""
    (x0, y0, x1, y1), (w, h) = box, size
    places = [(x0, y0 - h), (x1 - w, y0 - h), (x0, y1), (x1 - w, y1), (x1, y0), (x0 - w, y0), (x1, y1 - h)]
    places += [(x0 - w, y1 - h), (x0, y0), (x0, y1 - h), (x1 - w, y0), (x1 - w, y1 - h)]
    best, lowest_cost = np.zeros(2), np.inf
    for place in places:
        inside = np.clip(place, 0, np.maximum(limit - size, 0))
        rectangle = np.concatenate([inside, inside + size])
        # Another label under it is worst, then its own box, then another box.
        cost = 100 * sum(_overlap(rectangle, label) for label in labels) + 2 * _overlap(rectangle, box)
        cost += sum(_overlap(rectangle, other_box) for other_box in boxes)
        if cost < lowest_cost - 1e-6:
            best, lowest_cost = inside, cost
    return best


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection area of two boxes (x0, y0, x1, y1)."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0)))


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
