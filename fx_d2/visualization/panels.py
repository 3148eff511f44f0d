"""Parts that a picture is put together from: strips of text, legends, bars of scores. All are uint8 RGB (H, W, 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from detectron2.utils.visualizer import VisImage
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from .palette import Color, color_of

BACKGROUND = 18
FOREGROUND = (0.93, 0.93, 0.93)
FAINT = (0.62, 0.62, 0.62)
# Matplotlib measures text in points; figures of Detectron2 have 100 pixels an inch.
POINTS = 72 / 100
TEXT = 13.0
GAP = 8
# Shorter side of a drawn image in pixels: small ones are enlarged so that text is legible, large ones reduced.
_SIDE = (384, 768)
_LINE = 22
_ROW = (17.0, 34.0)
_BARS_WIDTH = 400
_TRACK = (0.22, 0.22, 0.22)
PRESENT, ABSENT = color_of(0), color_of(1)

# Heading, remark, picture.
Panel = tuple[str, str, np.ndarray]
Legend = list[tuple[str, Color]]


def as_rgb(grey: np.ndarray, width: int, height: int) -> np.ndarray:
    """A radiograph uint8 (H, W) at another size, as RGB."""
    smaller = height < grey.shape[0]
    resized = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.repeat(resized[..., None], 3, axis=2)


def displayed(grey: np.ndarray) -> np.ndarray:
    """A radiograph uint8 (H, W) as RGB with a shorter side of 384 to 768 pixels."""
    short = min(grey.shape)
    scale = min(max(short, _SIDE[0]), _SIDE[1]) / short
    return as_rgb(grey, max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = TEXT) -> float:
    """Width in pixels of a line of text of ``size`` pixels."""
    font = FontProperties(family="sans-serif", size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def shorten(text: str, room: float, size: float = TEXT) -> str:
    """The text, its middle replaced by an ellipsis if it is wider than ``room`` pixels."""
    text = text.encode("utf-8", "backslashreplace").decode()  # bytes of a file name that are no text
    keep = len(text)
    short = text
    while keep > 2 and text_width(short, size) > room:
        keep -= 1
        short = text[: (keep + 1) // 2] + "…" + text[len(text) - keep // 2 :]
    return short


def write(board: VisImage, x: float, y: float, text: str, color: Color = FOREGROUND, **style) -> None:
    """Writes a line, its vertical middle at ``y``; ``size`` in pixels."""
    size = style.pop("size", TEXT) * POINTS
    board.ax.text(x, y, text, color=color, size=size, va="center", parse_math=False, **style)


def blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)


def title_strip(width: int, unit: str, image_id: str) -> np.ndarray:
    """The unit in bold and the image."""
    board = VisImage(blank(_LINE + 6, width))
    write(board, GAP, board.height / 2, unit, weight="bold", size=TEXT + 1)
    left = 3 * GAP + 1.15 * text_width(unit, TEXT + 1)
    write(board, left, board.height / 2, shorten(image_id, width - left - GAP), FAINT)
    return board.get_image()


def caption_strip(width: int, heading: str, detail: str) -> np.ndarray:
    """A heading and a fainter remark."""
    board = VisImage(blank(_LINE, width))
    write(board, GAP, _LINE / 2, heading)
    left = 2 * GAP + text_width(heading)
    write(board, left, _LINE / 2, shorten(detail, width - left - GAP), FAINT)
    return board.get_image()


def legend_strip(width: int, entries: Legend) -> np.ndarray:
    """A swatch and a text per entry, wrapped to the width."""
    swatch, places, x, line = 12, [], float(GAP), 0
    for text, color in entries:
        text = shorten(text, width - 4 * GAP - swatch)
        step = swatch + 6 + text_width(text) + 2 * GAP
        if x > GAP and x + step > width:
            x, line = GAP, line + 1
        places.append((x, (line + 0.5) * _LINE + 4, text, color))
        x += step
    board = VisImage(blank((line + 1) * _LINE + 8, width))
    for x, y, text, color in places:
        board.ax.add_patch(Rectangle((x, y - swatch / 2), swatch, swatch, facecolor=color, edgecolor="none"))
        write(board, x + swatch + 6, y, text)
    return board.get_image()


def compose(unit: str, image_id: str, panels: Sequence[Panel], legend: Legend) -> np.ndarray:
    """Panels of one height side by side, the title above, the legend below."""
    columns = []
    for heading, detail, picture in panels:
        columns += [np.concatenate([caption_strip(picture.shape[1], heading, detail), picture])]
        columns += [blank(columns[-1].shape[0], GAP)]
    body = np.concatenate(columns[:-1], axis=1)
    width = body.shape[1]
    rows = [title_strip(width, unit, image_id), body, *([legend_strip(width, legend)] if legend else [])]
    return np.concatenate(rows)


def choose_rows(labels: Sequence[float], scores: Sequence[float], room: int) -> list[int]:
    """At most ``room`` classes, in their order: first those that are present, then by score."""
    ranked = sorted(range(len(scores)), key=lambda k: (not labels[k] > 0, -scores[k]))
    return sorted(ranked[:room])


def score_bars(height: int, classes: Sequence[str], labels: Sequence[float], scores: Sequence[float]) -> np.ndarray:
    """One row a class: its name, the truth as a sign, the score as a bar from 0 to 1 and as a number.

    Signs: filled circle present, open circle absent, question mark unknown, a number for a soft label.
    Where there are more classes than rows, those present and those with the highest scores are shown.
    """
    room = height - 2 * GAP - _LINE  # the last line is kept for the remark about what is not shown
    rows = choose_rows(labels, scores, max(1, int(room / _ROW[0])))
    step = min(_ROW[1], room / len(rows))
    size = min(TEXT, 0.8 * step)
    board = VisImage(blank(height, _BARS_WIDTH))
    names = min(max(text_width(classes[k], size) for k in rows), 0.45 * _BARS_WIDTH)
    left, right = GAP + 26 + names + 2 * GAP, _BARS_WIDTH - GAP - 38
    for row, k in enumerate(rows):
        y, color = GAP + (row + 0.5) * step, _truth_color(labels[k])
        _truth_sign(board, GAP + 8, y, labels[k], size)
        write(board, GAP + 26, y, shorten(classes[k], names, size), FOREGROUND if labels[k] > 0 else FAINT, size=size)
        bar = min(12.0, 0.5 * step)
        for end, face in ((right, _TRACK), (left + scores[k] * (right - left), color)):
            board.ax.add_patch(Rectangle((left, y - bar / 2), end - left, bar, facecolor=face, edgecolor="none"))
        write(board, right + 6, y, f"{scores[k]:.2f}", size=size)
    hidden = len(scores) - len(rows)
    if hidden:
        write(board, GAP, height - _LINE / 2, f"{hidden} more classes, not present, with lower scores", FAINT, size=11)
    return board.get_image()


def _truth_color(label: float) -> Color:
    if math.isnan(label):
        return FAINT
    return PRESENT if label > 0 else ABSENT


def _truth_sign(board: VisImage, x: float, y: float, label: float, size: float) -> None:
    color = _truth_color(label)
    if math.isnan(label) or 0 < label < 1:
        text = "?" if math.isnan(label) else f"{label:.1f}".lstrip("0")
        write(board, x, y, text, color, size=size, ha="center")
        return
    face = color if label == 1 else "none"
    board.ax.plot([x], [y], marker="o", markersize=0.45 * size, markerfacecolor=face, markeredgecolor=color)
