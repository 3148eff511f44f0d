"""Predictions as SVG over the displayed radiograph, one layer a unit."""

from __future__ import annotations

import html
from collections.abc import Sequence

import cv2
import numpy as np

from ..prediction import Prediction
from ..prediction.findings import FindingMap
from ..prediction.pictures import Palette, ratio_lines
from ..schedule import Unit
from ..visualization.drawing import MAX_BOXES
from ..visualization.palette import mix, to_css
from ..visualization.panels import FOREGROUND

# Of the image's width: text and lines. Of a text's height: the mean width of a letter.
_TEXT, _LINE = 1 / 36, 1 / 260
_LETTER = 0.56


class Labels:
    """The texts on one picture of ``width`` pixels: one that would cover another is moved, or left out.

    They are drawn after all layers (:attr:`svg`), so that no line of a box crosses a text.
    """

    def __init__(self, width: int) -> None:
        self.width, self.height, self.svg = width, width * _TEXT, ""
        self._taken: list[tuple[float, float, float, float]] = []

    def put(self, text: str, places: Sequence[tuple[float, float]], color: str) -> None:
        """Adds the text at the first free place, each the left end of its base line; none where none is free."""
        length = _LETTER * self.height * len(text)
        for x, y in places:
            x = max(0.0, min(x, self.width - length))
            room = (x, y - self.height, x + length, y + 0.2 * self.height)
            if room[1] < 0 or any(_overlap(room, other) for other in self._taken):
                continue
            self._taken.append(room)
            style = f'font-size="{self.height:.1f}" font-family="sans-serif" fill="{color}" paint-order="stroke"'
            edge = f'stroke="#000" stroke-width="{self.height / 5:.1f}"'
            self.svg += f'<text x="{x:.1f}" y="{y:.1f}" {style} {edge}>{html.escape(text)}</text>'
            return


def layer(
    prediction: Prediction,
    unit: Unit,
    size: tuple[int, int],
    mapping: FindingMap,
    palette: Palette,
    threshold: float,
    labels: Labels,
) -> str:
    """SVG elements of one box or mask unit, empty where nothing reaches the threshold; the cardiothoracic ratio on top.

    What a box or a mask is, stands in a tooltip. Class and score of a box are a text, too, where there is room for it.

    Args:
        size: width and height of the displayed image in pixels; the elements are in its coordinates.
        threshold: lowest score that is drawn; of boxes the 10 best.
        labels: of the picture, shared by its layers; the texts of this layer are put there.
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
        text = f"{label} {float(instances.scores[row]):.2f}"
        what = f'pointer-events="visiblePainted"><title>{html.escape(f"{text} {unit.dataset}")}</title>'
        if unit.task == "mask":
            parts.append(_area(instances.pred_masks[row].numpy(), size, color, what))
            continue
        x0, y0, x1, y1 = (v * scale[k % 2] for k, v in enumerate(instances.pred_boxes.tensor[row].tolist()))
        place = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
        parts.append(f'<rect {place} fill="none" stroke="{color}" stroke-width="{size[0] * _LINE:.1f}" {what}</rect>')
        # Above the upper edge, below it, then at the lower edge.
        places = [(x0, y + shift * labels.height) for y in (y0, y1) for shift in (-0.3, 1.1)]
        labels.put(text, places, bright)
    return "".join(parts) + _diameters(prediction, unit, size, labels)


def _diameters(prediction: Prediction, unit: Unit, size: tuple[int, int], labels: Labels) -> str:
    """Heart and thorax as lines; the upper one has its text above it, the lower one below, so that none is hidden."""
    scale, color = (size[0] / prediction.width, size[1] / prediction.height), to_css(FOREGROUND)
    parts = []
    for lower, (line, text) in enumerate(sorted(ratio_lines(prediction, unit), key=lambda pair: pair[0].y)):
        x0, x1, y = line.left * scale[0], line.right * scale[0], line.y * scale[1]
        place = f'x1="{x0:.1f}" y1="{y:.1f}" x2="{x1:.1f}" y2="{y:.1f}"'
        parts.append(f'<line {place} stroke="{color}" stroke-width="{size[0] * _LINE:.1f}"/>')
        places = [(x0, y + shift * labels.height) for shift in ((1.1, -0.3) if lower else (-0.3, 1.1))]
        labels.put(text, places, color)
    return "".join(parts)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    """Whether two rectangles (left, upper, right, lower edge) share an area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _area(mask: np.ndarray, size: tuple[int, int], color: str, what: str) -> str:
    """Outline and translucent fill of a mask, holes left out; ``what``: end of the tag, and the tooltip."""
    drawn = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    outlines, _ = cv2.findContours(drawn.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    path = "".join("M" + "L".join(f"{x} {y}" for x, y in line[:, 0]) + "Z" for line in outlines if len(line) > 2)
    if not path:
        return ""
    fill = f'fill="{color}" fill-opacity="0.28" fill-rule="evenodd"'
    return f'<path d="{path}" {fill} stroke="{color}" stroke-width="{size[0] * _LINE:.1f}" {what}</path>'
