"""Radiographs of the galleries: a small grey picture inside the page, truth and prediction as outlines above it.

The outlines are SVG: they stay sharp, can be switched off one by one, and the picture is stored once.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from markupsafe import Markup, escape

from ..visualization.palette import color_of, to_css
from .svg import tag, text, tooltip

# Longer side in pixels, tried from the largest on until the picture fits its share of the page.
_SIDES = (448, 384, 320, 256, 192, 128)
_QUALITY = 78
# A contour is simplified by at most this many drawn pixels.
_TOLERANCE = 0.6


@dataclass(frozen=True)
class Shape:
    """A box or a region on an image, in pixels of the stored image.

    Attributes:
        label: class, and score where it is predicted. index: of the class, its colour.
        box: (x0, y0, x1, y1), or None. mask: bool (H, W), or None.
    """

    label: str
    index: int
    box: Sequence[float] | None = None
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """One image of a gallery.

    Attributes:
        rank: ``best``, ``worst`` or ``random``.
        image_id: of the dataset. score: the number that it was chosen by, as text.
        alt: truth and prediction in words.
        image: grey uint8 (H, W); None where the file cannot be read, then ``problem`` says why.
        truth, predictions: what is drawn. findings: (class, label or None, score, index) rows of image-level findings.
        remark: what is not drawn (boxes below the threshold).
    """

    rank: str
    image_id: str
    score: str
    alt: str
    image: np.ndarray | None
    truth: Sequence[Shape] = ()
    predictions: Sequence[Shape] = ()
    findings: Sequence[tuple[str, float | None, float, int]] = ()
    remark: str = ""
    problem: str = ""


def encode(image: np.ndarray, budget: int) -> tuple[str, int, int]:
    """A data URI (JPEG) of at most about ``budget`` bytes, its width and height in pixels; never enlarged."""
    longer = max(image.shape[:2])
    for side in _SIDES:
        scale = min(1.0, side / longer)
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        if len(data) * 4 / 3 <= budget:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", size[0], size[1]


def draw_case(case: Case, budget: int) -> Markup:
    """The picture with its outlines. ``budget``: bytes for the picture."""
    if case.image is None:
        return Markup('<div class="missing">{}</div>').format(case.problem)
    uri, width, height = encode(case.image, budget)
    # Drawn on a fixed width, so that lines and letters have one size in all pictures.
    wide = 320.0
    scale = wide / case.image.shape[1]
    tall = round(case.image.shape[0] * scale, 1)
    truth = Markup("").join(_shape(shape, scale, wide, tall, "truth") for shape in case.truth)
    predictions = Markup("").join(_shape(shape, scale, wide, tall, "found") for shape in case.predictions)
    outlines = tag("g", truth, class_="layer-truth") + tag("g", predictions, class_="layer-found")
    overlay = tag("svg", outlines, class_="overlay", viewBox=f"0 0 {wide:g} {tall:g}", aria_hidden="true")
    picture = Markup('<img src="{}" width="{}" height="{}" alt="{}">').format(Markup(uri), width, height, case.alt)
    return Markup('<div class="picture">{}{}</div>').format(picture, overlay)


def _shape(shape: Shape, scale: float, wide: float, tall: float, kind: str) -> Markup:
    hint, color = tooltip(shape.label), f"--c:{to_css(color_of(shape.index))}"
    label = Markup("")
    if shape.box is not None:
        x0, y0, x1, y1 = (round(float(v) * scale, 1) for v in shape.box)
        outline = tag("rect", hint, class_="outline", x=x0, y=y0, width=x1 - x0, height=y1 - y0)
        # The truth's label lies below its box, the prediction's above: they seldom meet.
        y = y0 - 4 if kind == "found" else y1 + 12
        label = _label(shape.label, x0 + 1, min(max(y, 11.0), tall - 3), wide)
    else:
        assert shape.mask is not None
        outline = tag("path", hint, class_="outline", d=contours(shape.mask, scale), fill_rule="evenodd")
    return tag("g", outline + label, class_=f"shape {kind}", style=color)


def _label(content: str, x: float, y: float, wide: float) -> Markup:
    """Moved to the left where it would leave the picture (6.4 units a letter)."""
    return text(max(2.0, min(x, wide - 6.4 * len(content) - 3)), y, content)


def contours(mask: np.ndarray, scale: float) -> str:
    """Outlines of a region, holes included, as an SVG path in drawn pixels."""
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    solid = (soft >= 0.5).astype(np.uint8)
    if not solid.any() and mask.any():  # smaller than a drawn pixel
        solid = (soft > 0).astype(np.uint8)
    outlines, _ = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    path = ""
    for outline in outlines:
        points = cv2.approxPolyDP(outline, _TOLERANCE, True).reshape(-1, 2)
        path += "M" + "L".join(f"{x} {y}" for x, y in points.tolist()) + "Z"
    return path


def legend(names: Sequence[str]) -> Markup:
    """The classes with their colours."""
    items = (
        Markup('<span class="key"><i style="--c:{}"></i>{}</span>').format(to_css(color_of(index)), escape(name))
        for index, name in enumerate(names)
    )
    return Markup("").join(items)
