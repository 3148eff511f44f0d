"""One picture an image: the radiograph, boxes and masks of all heads on it, and the findings with their agreement."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from detectron2.utils.visualizer import VisImage
from matplotlib.patches import Rectangle

from ..schedule import Unit
from ..visualization.drawing import MAX_BOXES, overlay_boxes, overlay_diameters, overlay_masks
from ..visualization.palette import Color, color_of
from ..visualization.panels import FAINT, FOREGROUND, GAP, TEXT, blank, compose, displayed, shorten, text_width, write
from .cardiothoracic import Diameter
from .findings import Finding
from .predictor import Prediction

_BARS_WIDTH = 440
_ROW = (18.0, 34.0)
_LAST_LINE = 22
_TRACK = (0.22, 0.22, 0.22)
# Room for the sign of a call.
_SIGN = 18
SCORE, CALLED = color_of(1), color_of(0)


class Palette:
    """A colour for each finding, the same in all pictures of a run: box and mask heads come first.

    Args:
        table: findings of the network, as :meth:`FindingMap.table` gives them.
    """

    def __init__(self, table: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        located = [name for name, units in table.items() if any(not unit.endswith("/cls") for unit in units)]
        self.index = {name: k for k, name in enumerate([*located, *(name for name in table if name not in located)])}

    def __getitem__(self, finding: str) -> Color:
        return color_of(self.index[finding])


def draw_prediction(prediction: Prediction, namer, palette: Palette, title: str, threshold: float) -> np.ndarray:
    """uint8 RGB (H, W, 3): title, panels, legend.

    Args:
        namer: ``namer(dataset, class)`` is the finding, such as :meth:`FindingMap.name`.
        title: which network predicted.
        threshold: boxes and instances of masks with a lower score are not drawn, and never more than the 10 best boxes.
    """
    image = displayed(prediction.image)
    panels = [("Radiograph", f"{prediction.width} × {prediction.height} pixels", image)]
    seen: dict[str, Color] = {}
    tasks = {unit.task for unit in prediction.outputs}
    if "box" in tasks:
        panels.append(_draw_boxes(prediction, image, namer, palette, threshold, seen))
    if "mask" in tasks:
        panels.append(_draw_masks(prediction, image, namer, palette, threshold, seen))
    if "cls" in tasks:
        rows = [finding for finding in prediction.findings if finding.count]
        detail = "mean and range; ● called by a head, ○ by none"
        if not prediction.calls:
            detail = "mean of the heads, line from lowest to highest"
        panels.append(("Findings", detail, finding_bars(image.shape[0], rows)))
    return compose(title, Path(prediction.name).name, panels, list(seen.items()))


def _draw_boxes(prediction: Prediction, image, namer, palette: Palette, threshold: float, seen: dict):
    scale = np.tile([image.shape[1] / prediction.width, image.shape[0] / prediction.height], 2)
    found = []
    for unit in (unit for unit in prediction.outputs if unit.task == "box"):
        instances = prediction.instances(str(unit), threshold)
        for row in range(len(instances)):
            label = prediction.classes[unit].names[int(instances.pred_classes[row])]
            corners = instances.pred_boxes.tensor[row].numpy() * scale
            found.append((float(instances.scores[row]), corners, label, unit))
    found.sort(key=lambda entry: -entry[0])
    drawn = []
    for score, corners, label, unit in found[:MAX_BOXES]:
        name = namer(unit.dataset, label)
        seen[name] = palette[name]
        drawn.append((corners, f"{label} {score:.2f} {unit.dataset}", palette[name], "-"))
    number = f"best {MAX_BOXES} of {len(found)}" if len(found) > MAX_BOXES else f"{len(found)}"
    return "Boxes", f"{number} with score ≥ {threshold:g}", overlay_boxes(image, drawn)


def _draw_masks(prediction: Prediction, image, namer, palette: Palette, threshold: float, seen: dict):
    """Masks of one finding from several heads are joined: the pictures show where any of them sees it."""
    union = np.zeros((len(palette.index), *image.shape[:2]), bool)
    count = 0
    for unit in (unit for unit in prediction.outputs if unit.task == "mask"):
        instances = prediction.instances(str(unit), threshold)
        count += len(instances)
        for mask, label in zip(instances.pred_masks.numpy(), instances.pred_classes.tolist(), strict=True):
            name = namer(unit.dataset, prediction.classes[unit].names[label])
            seen[name] = palette[name]
            size = image.shape[1::-1]
            union[palette.index[name]] |= cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    drawn = overlay_masks(image, union)
    across, down = image.shape[1] / prediction.width, image.shape[0] / prediction.height
    lines = [
        (np.array([line.left * across, line.right * across, line.y * down]), text, FOREGROUND)
        for unit in prediction.cardiothoracic
        for line, text in ratio_lines(prediction, unit)
    ]
    return "Masks", f"{count} with score ≥ {threshold:g}", overlay_diameters(drawn, lines) if lines else drawn


def ratio_lines(prediction: Prediction, unit: Unit) -> list[tuple[Diameter, str]]:
    """The diameters of heart and thorax by a mask unit and what is written at each; those that could be measured.

    The ratio is called doubtful where the masks are; why stands in its flags.
    """
    measured = prediction.cardiothoracic.get(unit)
    if measured is None:
        return []
    lines = []
    for organ, line in (("heart", measured.heart), ("thorax", measured.thorax)):
        if line is not None:
            lines.append((line, f"{organ} {line.pixels} px" if line.mm is None else f"{organ} {line.mm:.0f} mm"))
    if measured.ratio is not None:
        doubt = " (doubtful)" if measured.flags else ""
        lines[-1] = (lines[-1][0], f"{lines[-1][1]}, CTR {measured.ratio:.2f}{doubt} {unit.dataset}")
    return lines


def finding_bars(height: int, findings: Sequence[Finding]) -> np.ndarray:
    """One row a finding: name, mean score as a bar, lowest to highest as a line, number of heads.

    With operating points also a sign, filled and orange with the bar where a head calls it, open where none does, and
    how many of several call it. Where there are more findings than rows, the called ones are shown, then those with the
    highest means, in the order given.
    """
    room = height - 2 * GAP - _LAST_LINE
    ranked = sorted(range(len(findings)), key=lambda k: (not findings[k].called, -_mean(findings[k])))
    rows = [findings[k] for k in sorted(ranked[: max(1, int(room / _ROW[0]))])]
    step = min(_ROW[1], room / len(rows))
    size = min(TEXT, 0.8 * step)
    board = VisImage(blank(height, _BARS_WIDTH))
    names = min(max(text_width(finding.name, size) for finding in rows), 0.45 * _BARS_WIDTH)
    calls = any(finding.calls for finding in findings)
    start = GAP + (_SIGN if calls else 0)
    left, right = start + names + 2 * GAP, _BARS_WIDTH - GAP - (108 if calls else 90)
    for row, finding in enumerate(rows):
        y = GAP + (row + 0.5) * step
        bar, color = min(12.0, 0.5 * step), CALLED if finding.called else SCORE
        write(board, start, y, shorten(finding.name, names, size), size=size)
        for end, face in ((right, _TRACK), (left + _mean(finding) * (right - left), color)):
            board.ax.add_patch(Rectangle((left, y - bar / 2), end - left, bar, facecolor=face, edgecolor="none"))
        if finding.count > 1:
            scores = finding.heads.values()
            ends = [left + value * (right - left) for value in (min(scores), max(scores))]
            board.ax.plot(ends, [y, y], color=FOREGROUND, linewidth=1.2, marker="|", markersize=0.5 * size)
        if finding.calls:
            sign = {"markerfacecolor": color if finding.called else "none", "markeredgecolor": color}
            board.ax.plot([GAP + _SIGN / 3], [y], marker="o", markersize=0.45 * size, **sign)
        write(board, right + 8, y, f"{_mean(finding):.2f}", size=size)
        write(board, right + 44, y, _heads(finding), FAINT, size=0.85 * size)
    if len(rows) < len(findings):
        write(board, GAP, height - _LAST_LINE / 2, _hidden(findings, rows), FAINT, size=11)
    return board.get_image()


def _mean(finding: Finding) -> float:
    """Of a finding with an image-level head, the only ones that have a bar."""
    assert finding.mean is not None
    return finding.mean


def _heads(finding: Finding) -> str:
    if finding.calls and finding.count > 1:
        return f"{finding.called} of {len(finding.calls)} call"
    return "1 head" if finding.count == 1 else f"{finding.count} heads"


def _hidden(findings: Sequence[Finding], rows: Sequence[Finding]) -> str:
    number = len(findings) - len(rows)
    if not any(finding.calls for finding in findings):
        return f"{number} more findings with lower scores"
    all_called, shown = (sum(bool(finding.called) for finding in some) for some in (findings, rows))
    return f"{number} more findings, {all_called - shown or 'none'} of them called"


def picture_names(paths: Sequence[str]) -> dict[str, str]:
    """A file name for the picture of each image: its own stem, with its folders or a number where two are alike."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in paths:
        parts = Path(path).with_suffix("").parts
        options = [_short("-".join(parts[-depth:])) or "image" for depth in range(1, len(parts) + 1)]
        options += [f"{options[0]}-{number}" for number in range(2, len(paths) + 2)]
        name = next(option for option in options if option not in taken)
        taken.add(name)
        names[path] = f"{name}.png"
    return names


def _short(name: str) -> str:
    """At most 200 bytes, for file systems allow 255 and an ending follows; nothing at the ends that separates."""
    while len(os.fsencode(name)) > 200:
        name = name[1:]
    return name.strip("-/\\")
