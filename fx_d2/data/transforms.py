"""The affine map of a view, which moves image, boxes and masks together.

Coordinates are continuous, as in Detectron2: an image of W pixels spans 0..W, the centre of its first pixel is 0.5.
"""

from __future__ import annotations

import cv2
import numpy as np
from fvcore.transforms.transform import Transform

# A box of which less than this share of the area stays visible is no longer a box of that finding.
MIN_VISIBLE = 0.25
# A box with a side below this many input pixels is degenerate.
MIN_SIDE = 1.0
# Shrinking by more than this is averaged over areas first: linear interpolation would skip source pixels.
_AREA_FACTOR = 1.5


class AffineTransform(Transform):
    """An affine map from a source image to an input of another size.

    Args:
        matrix: (2, 3), takes source coordinates to input coordinates.
        output_size: (height, width) of the input in pixels.
        source_size: (height, width) of the source in pixels.
    """

    def __init__(self, matrix: np.ndarray, output_size: tuple[int, int], source_size: tuple[int, int]) -> None:
        super().__init__()
        self.matrix = np.asarray(matrix, np.float64)
        self.output_size = output_size
        self.source_size = source_size

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    def at_resolution(self, height: int, width: int) -> AffineTransform:
        """The same view of a resized copy of the source."""
        matrix = self.matrix.copy()
        matrix[:, :2] *= np.divide(self.source_size, (height, width))[::-1]  # x, y
        return AffineTransform(matrix, self.output_size, (height, width))

    def inverse(self) -> AffineTransform:
        return AffineTransform(cv2.invertAffineTransform(self.matrix), self.source_size, self.output_size)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Moves points (N, 2) given as x, y; boxes follow by their corners (``apply_box``: the upright hull)."""
        return np.asarray(coords, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Resamples an image (H, W); what lies outside the source is black (0).

        Raises:
            ValueError: the image has not the source size.
        """
        size = self._shrunk_size(img)
        shrunk = img if size == img.shape[::-1] else cv2.resize(img, size, interpolation=cv2.INTER_AREA)
        moved = self._interpolate(shrunk)
        return moved.copy() if moved is img else moved

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Resamples a mask (H, W) of 0 and 1: interpolated like the image, then inside from one half on."""
        grey = self._interpolate(shrink_mask(segmentation, self._shrunk_size(segmentation)))
        return (grey > 127).astype(segmentation.dtype)

    def _shrunk_size(self, image: np.ndarray) -> tuple[int, int]:
        """Width and height that an image of the source gets by area averages before it is interpolated."""
        if image.shape != self.source_size:
            raise ValueError(f"image of {image.shape} (height, width), the transform is for {self.source_size}")
        scales = np.hypot(*self.matrix[:, :2])  # input pixels per source pixel along x and along y
        width, height = (
            max(1, round(side * scale)) if scale * _AREA_FACTOR < 1 else side
            for side, scale in zip(image.shape[::-1], scales, strict=True)
        )
        return width, height

    def _interpolate(self, image: np.ndarray) -> np.ndarray:
        """The input, from the source or from a resized copy; the image itself if nothing changes."""
        resized = self.at_resolution(*image.shape)
        matrix = resized.matrix
        if image.shape == self.output_size and np.allclose(matrix, np.eye(2, 3), rtol=0, atol=1e-6):
            return image
        height, width = self.output_size
        corners = resized.inverse().apply_coords(np.array([(0, 0), (width, 0), (0, height), (width, height)]))
        inside = (corners >= -0.01).all() and (corners <= np.array(image.shape[::-1]) + 0.01).all()
        # Where nothing outside the source is seen, a constant border would only darken the outermost half pixel.
        border = cv2.BORDER_REPLICATE if inside else cv2.BORDER_CONSTANT
        # OpenCV puts the centre of the first pixel at 0.
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def move_boxes(transform: AffineTransform, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moves boxes, clips them to the input and says which are still boxes.

    Args:
        boxes: (N, 4) corners x0, y0, x1, y1 in source pixels.

    Returns:
        (N, 4) clipped corners in input pixels, and (N,) bool: at least a quarter of the moved box's area is visible
        and no side is below one pixel.
    """
    hull = transform.apply_box(boxes)
    height, width = transform.output_size
    clipped = hull.clip(0, (width, height, width, height))
    whole, sides = hull[:, 2:] - hull[:, :2], clipped[:, 2:] - clipped[:, :2]
    visible = sides.prod(axis=1) >= (MIN_VISIBLE - 1e-6) * whole.prod(axis=1)
    return clipped, visible & (sides >= MIN_SIDE).all(axis=1)


def shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) of 0 and 1 at ``size`` (width, height) by area averages, as grey values 0..255, uint8.

    Only the rectangle that holds the mask is summed up: a region of a tenth of the image costs a third of its image.
    """
    if size == mask.shape[::-1]:
        return -mask.astype(np.uint8)  # a byte's -1 is 255
    width, height = size
    grey = np.zeros((height, width), np.uint8)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        y, down = _pixel_shares(mask.shape[0], height, rows[0], rows[-1] + 1)
        x, across = _pixel_shares(mask.shape[1], width, columns[0], columns[-1] + 1)
        inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
        grey[y, x] = np.rint(255 * (down @ inside @ across.T))
    return grey


def _pixel_shares(source: int, target: int, first: int, stop: int) -> tuple[slice, np.ndarray]:
    """The target pixels that source pixels ``first`` to ``stop - 1`` touch, and their shares: (targets, sources)."""
    step = source / target
    low, high = int(first / step), min(target, int(np.ceil(stop / step)))
    edges, pixels = np.arange(low, high + 1)[:, None] * step, np.arange(first, stop)
    shares = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return slice(low, high), (shares.clip(min=0) / step).astype(np.float32)
