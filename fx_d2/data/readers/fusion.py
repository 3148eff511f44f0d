"""One set of boxes from several readers: weighted box fusion (Solovyev et al., Image and Vision Computing 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Two boxes of a class are one lesion from this intersection over union on.
FUSION_IOU = 0.5
VOTES = {"any": 0.0, "majority": 0.5, "all": 1.0}


def enough(votes: int, readers: int, policy: str) -> bool:
    """Whether so many of the readers suffice: any, more than half, all."""
    return votes == readers if policy == "all" else votes > readers * VOTES[policy]


def fuse_boxes(
    boxes: Sequence[Sequence[float]], readers: Sequence[str], threshold: float = FUSION_IOU
) -> list[tuple[list[float], int]]:
    """Fuses the boxes of one image and class.

    Boxes are taken in the order of reader and position. Each joins the fused box that it overlaps most, if by at least
    the threshold, else it begins a new one; a fused box is the mean of its members. All readers weigh the same, so the
    method's confidence is the number of readers.

    Args:
        boxes: corners x0, y0, x1, y1 in pixels.
        readers: who drew each box.
        threshold: intersection over union from which boxes are one.

    Returns:
        (corners, number of different readers) of each fused box, in the order in which they began.
    """
    order = sorted(range(len(boxes)), key=lambda k: (readers[k], tuple(boxes[k])))
    members: list[list[int]] = []
    fused: list[np.ndarray] = []
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    for k in order:
        overlaps = [_iou(corners[k], box) for box in fused]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= threshold:
            members[best].append(k)
            fused[best] = corners[members[best]].mean(axis=0)
        else:
            members.append([k])
            fused.append(corners[k])
    votes = [len({readers[k] for k in group}) for group in members]
    return [(box.tolist(), number) for box, number in zip(fused, votes, strict=True)]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))
