"""The cardiothoracic ratio from masks of heart and lungs.

The largest transverse diameter of the heart over the largest inner transverse diameter of the thorax, both horizontal:
C. S. Danzer, "The cardiothoracic ratio: an index of cardiac enlargement", Am J Med Sci 157 (1919), 513-521; measured as
in K. Dimopoulos et al., "Cardiothoracic ratio from postero-anterior chest radiographs", Int J Cardiol 166 (2013),
453-457. The image must be upright, head up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

# Beyond these a mask is doubted. A normal ratio is 0.42 to 0.5, and 0.7 is a very large heart.
PLAUSIBLE = (0.25, 0.9)
# Area of an organ's second largest piece over its largest, and of the smaller lung over the larger.
LARGEST_ISLAND = 0.1
SMALLEST_LUNG = 1 / 3


@dataclass(frozen=True)
class Diameter:
    """A horizontal line over an organ, in pixels of the image from its upper left corner.

    Attributes:
        left, right: edges: a mask of the columns 3 to 5 reaches from 3 to 6.
        y: where the line is drawn; the middle of row 3 is 3.5.
        spacing: mm between neighbouring columns, None where unknown.
    """

    left: int
    right: int
    y: float
    spacing: float | None = None

    @property
    def pixels(self) -> int:
        return self.right - self.left

    @property
    def mm(self) -> float | None:
        return None if self.spacing is None else self.pixels * self.spacing


@dataclass(frozen=True)
class CardiothoracicRatio:
    """The ratio of one image.

    Attributes:
        heart, thorax: None where it cannot be measured.
        flags: sentences on what is implausible about the masks; empty where nothing is.
    """

    heart: Diameter | None
    thorax: Diameter | None
    flags: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """None without one of the diameters. Both are horizontal, so pixels need not be square."""
        return self.heart.pixels / self.thorax.pixels if self.heart and self.thorax else None


def measure(
    heart: np.ndarray, left_lung: np.ndarray, right_lung: np.ndarray, spacing: float | None = None
) -> CardiothoracicRatio:
    """Measures three masks; of each only the largest connected region counts, so small islands do not.

    The heart's diameter is the distance between its leftmost and its rightmost edge. That is the sum of the largest
    distances to the left and to the right of any vertical line through it, such as the midline that readers draw. The
    thorax' diameter is the largest distance between the outer edges of the two lungs in one row.

    Args:
        heart, left_lung, right_lung: bool (H, W) of one size; left is the patient's, but nothing depends on it.
        spacing: mm between neighbouring columns.

    Raises:
        ValueError: the masks differ in size.
    """
    masks = {"heart": heart, "left lung": left_lung, "right lung": right_lung}
    if len({mask.shape for mask in masks.values()}) > 1:
        raise ValueError(f"masks of heart and lungs must be of one size, not {[m.shape for m in masks.values()]}")
    pieces = {organ: _largest_piece(mask) for organ, mask in masks.items()}
    there = {organ: piece for organ, (piece, _) in pieces.items() if piece.any()}
    flags = [f"The mask of the {organ} is empty." for organ in masks if organ not in there]
    flags += [
        f"The mask of the {organ} is in pieces: the second has {island:.0%} of the area of the first."
        for organ, (_, island) in pieces.items()
        if island >= LARGEST_ISLAND
    ]
    across = _heart_diameter(there["heart"], spacing) if "heart" in there else None
    lungs = [there[organ] for organ in ("left lung", "right lung") if organ in there]
    thorax = _thorax_diameter(lungs[0], lungs[1], spacing) if len(lungs) == 2 else None
    if len(lungs) == 2 and thorax is None:
        flags.append("No row of the image holds both lungs.")
    measured = CardiothoracicRatio(across, thorax, ())
    return replace(measured, flags=(*flags, *_position_flags(there), *_size_flags(there, measured.ratio)))


def cut_lungs(lungs: np.ndarray, heart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One mask of both lungs as left and right lung, bool (H, W) each: cut at the column of the heart's centre.

    Where there is no heart, at that of their own centre. The patient's left is on the right of the image.
    """
    if not lungs.any():
        return lungs, lungs
    columns = np.arange(lungs.shape[1])
    on_the_right = columns >= _center(heart if heart.any() else lungs)
    return lungs & on_the_right, lungs & ~on_the_right


def _largest_piece(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """The largest connected region, and the area of the second largest over its own. Corners connect."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask, np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return mask, 0.0
    order = np.argsort(-areas, kind="stable")
    return labels == order[0] + 1, float(areas[order[1]] / areas[order[0]]) if len(areas) > 1 else 0.0


def _heart_diameter(heart: np.ndarray, spacing: float | None) -> Diameter:
    """Drawn halfway between the rows of its leftmost and of its rightmost edge, for these are rarely in one row."""
    columns = np.flatnonzero(heart.any(axis=0))
    left, right = int(columns[0]), int(columns[-1])
    rows = [np.flatnonzero(heart[:, column]).mean() for column in (left, right)]
    return Diameter(left, right + 1, float(np.mean(rows)) + 0.5, spacing)


def _thorax_diameter(left_lung: np.ndarray, right_lung: np.ndarray, spacing: float | None) -> Diameter | None:
    """Of rows that are equally wide the uppermost; None where no row holds both."""
    both = left_lung | right_lung
    shared = left_lung.any(axis=1) & right_lung.any(axis=1)
    if not shared.any():
        return None
    first, last = both.argmax(axis=1), both.shape[1] - both[:, ::-1].argmax(axis=1)
    row = int(np.where(shared, last - first, 0).argmax())
    return Diameter(int(first[row]), int(last[row]), row + 0.5, spacing)


def _position_flags(organs: dict[str, np.ndarray]) -> list[str]:
    """Of the organs that are there: cut off by the border, heart beside the lungs."""
    flags = []
    for organ, mask in organs.items():
        if mask[:, [0, -1]].any() or (organ == "heart" and mask[[0, -1]].any()):
            border = "border" if organ == "heart" else "side border"
            flags.append(f"The {organ} touches the {border} of the image, so its edge may lie outside.")
    if len(organs) == 3:
        heart, *lungs = (_center(organs[organ]) for organ in ("heart", "left lung", "right lung"))
        if not min(lungs) < heart < max(lungs):
            flags.append("The heart does not lie between the lungs.")
    return flags


def _size_flags(organs: dict[str, np.ndarray], ratio: float | None) -> list[str]:
    flags = []
    areas = sorted((int(mask.sum()), organ) for organ, mask in organs.items() if organ != "heart")
    if len(areas) == 2 and areas[0][0] < SMALLEST_LUNG * areas[1][0]:
        flags.append(f"The {areas[0][1]} has less than a third of the area of the {areas[1][1]}.")
    low, high = PLAUSIBLE
    if ratio is not None and not low <= ratio <= high:
        flags.append(f"A ratio of {ratio:.3f} is outside {low:g} to {high:g}.")
    return flags


def _center(mask: np.ndarray) -> float:
    """Mean column of the pixels inside."""
    columns = mask.sum(axis=0)
    return float((columns * np.arange(len(columns))).sum() / columns.sum())
