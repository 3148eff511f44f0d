"""Predictions as SVG over the displayed radiograph, one layer a unit."""

from __future__ import annotations

import html

import cv2
import numpy as np

from ..prediction import Prediction
from ..prediction.findings import FindingMap
from ..prediction.pictures import Palette, ratio_lines
from ..schedule import Unit
from ..visualization.drawing import MAX_BOXES
from ..visualization.palette import mix, to_css
from ..visualization.panels import FOREGROUND

# Of the image's width: text and lines.
_TEXT, _LINE = 1 / 42, 1 / 260


def layer(
    prediction: Prediction, unit: Unit, size: tuple[int, int], mapping: FindingMap, palette: Palette, threshold: float
) -> str:
    """SVG elements of one box or mask unit, empty where nothing reaches the threshold; the cardiothoracic ratio on top.

    Args:
        size: width and height of the displayed image in pixels; the elements are in its coordinates.
        threshold: lowest score that is drawn; of boxes the 10 best.
    """
    instances = prediction.instances(str(unit), threshold)
    order = instances.scores.argsort(descending=True, stable=True)
    if unit.task == "box":
        order = order[:MAX_BOXES]
    instances = instances[order]
    scale = size[0] / prediction.width, size[1] / prediction.height
    parts = []
    for row in range(len(instances)):
        label = prediction.classes[unit].names[int(instances.pred_classes[row])]
        color = to_css(palette[mapping.name(unit.dataset, label)])
        # Dark colours are hard to read as text.
        bright = to_css(mix(palette[mapping.name(unit.dataset, label)], 1.0, 0.45))
        text = f"{label} {float(instances.scores[row]):.2f} {unit.dataset}"
        x0, y0, x1, y1 = (v * scale[k % 2] for k, v in enumerate(instances.pred_boxes.tensor[row].tolist()))
        if unit.task == "box":
            place = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
            parts.append(f'<rect {place} fill="none" stroke="{color}" stroke-width="{size[0] * _LINE:.1f}"/>')
            parts.append(_text(text, x0, y0, size[0], bright))
        else:
            # Its text stands below it: boxes have theirs above.
            parts.append(_area(instances.pred_masks[row].numpy(), size, color))
            parts.append(_text(text, x0, min(y1 + 1.4 * size[0] * _TEXT, size[1]), size[0], bright))
    return "".join(parts) + _diameters(prediction, unit, size)


def _diameters(prediction: Prediction, unit: Unit, size: tuple[int, int]) -> str:
    """Heart and thorax as lines; the upper one has its text above it, the lower one below, so that none is hidden."""
    scale, color = (size[0] / prediction.width, size[1] / prediction.height), to_css(FOREGROUND)
    parts = []
    for lower, (line, text) in enumerate(sorted(ratio_lines(prediction, unit), key=lambda pair: pair[0].y)):
        x0, x1, y = line.left * scale[0], line.right * scale[0], line.y * scale[1]
        place = f'x1="{x0:.1f}" y1="{y:.1f}" x2="{x1:.1f}" y2="{y:.1f}"'
        parts.append(f'<line {place} stroke="{color}" stroke-width="{size[0] * _LINE:.1f}"/>')
        parts.append(_text(text, x0, y + lower * 1.4 * size[0] * _TEXT, size[0], color))
    return "".join(parts)


def _text(text: str, x: float, y: float, width: int, color: str) -> str:
    """Above its place, or below it at the upper edge; moved left where it would leave the image."""
    size = width * _TEXT
    x = max(0.0, min(x, width - 0.56 * size * len(text)))
    y = y - 0.3 * size if y > 1.4 * size else y + 1.1 * size
    style = (
        f'font-size="{size:.1f}" font-family="sans-serif" fill="{color}" stroke="#000" stroke-width="{size / 5:.1f}"'
    )
    return f'<text x="{x:.1f}" y="{y:.1f}" {style} paint-order="stroke">{html.escape(text)}</text>'


def _area(mask: np.ndarray, size: tuple[int, int], color: str) -> str:
    """Outline and translucent fill of a mask, holes left out."""
    drawn = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    outlines, _ = cv2.findContours(drawn.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    path = "".join("M" + "L".join(f"{x} {y}" for x, y in line[:, 0]) + "Z" for line in outlines if len(line) > 2)
    if not path:
        return ""
    fill = f'fill="{color}" fill-opacity="0.28" fill-rule="evenodd"'
    return f'<path d="{path}" {fill} stroke="{color}" stroke-width="{size[0] * _LINE:.1f}"/>'
