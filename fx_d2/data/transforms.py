"""Geometry of a view: one affine map that moves image, boxes and masks together.

Coordinates are continuous, as in Detectron2: an image of W pixels spans 0..W, the centre of its first pixel is 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from fvcore.transforms.transform import Transform

from .shrink import shrink_image, shrink_mask, shrunk_size

# Aspect ratios of a random crop, relative to the whole image.
_ASPECT = (3 / 4, 4 / 3)
# A box of which less than this share of the area stays visible is no longer a box of that finding.
MIN_VISIBLE = 0.25
# A box with a side below this many input pixels is degenerate.
MIN_SIDE = 1.0


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
        self.output_size = (output_size[0], output_size[1])
        self.source_size = (source_size[0], source_size[1])

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Moves points (N, 2) given as x, y; boxes follow by their corners (``apply_box``: the upright hull)."""
        return np.asarray(coords, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Resamples an image (H, W); what lies outside the source is black (0).

        Raises:
            ValueError: the image has not the source size.
        """
        moved = self._interpolate(shrink_image(img, self._shrunk(img)))
        return moved.copy() if moved is img else moved

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Resamples a mask (H, W) of 0 and 1: interpolated like the image, then inside from one half on."""
        grey = self._interpolate(shrink_mask(segmentation, self._shrunk(segmentation)))
        return (grey > 127).astype(segmentation.dtype)

    def _shrunk(self, image: np.ndarray) -> tuple[int, int]:
        """Width and height that an image of the source has before it is interpolated."""
        if image.shape[:2] != self.source_size:
            raise ValueError(f"image of {image.shape[:2]} (height, width), the transform is for {self.source_size}")
        return shrunk_size(self.source_size[::-1], self.matrix)

    def _interpolate(self, image: np.ndarray) -> np.ndarray:
        """The input, from the source or from what it was shrunk to."""
        matrix = self.matrix.copy()
        matrix[:, :2] *= np.divide(self.source_size[::-1], image.shape[1::-1])
        height, width = self.output_size
        if image.shape[:2] == self.output_size and np.allclose(matrix, np.eye(2, 3), rtol=0, atol=1e-6):
            return image
        border = cv2.BORDER_CONSTANT
        if _lies_inside(matrix, self.output_size, image.shape[:2]):
            # Nothing outside is seen; a constant border would only darken the outermost half pixel.
            border = cv2.BORDER_REPLICATE
        # OpenCV puts the centre of the first pixel at 0.
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)

    def inverse(self) -> AffineTransform:
        """The map from the input back to the source."""
        return AffineTransform(cv2.invertAffineTransform(self.matrix), self.source_size, self.output_size)


def _lies_inside(matrix: np.ndarray, output_size: tuple[int, int], source_size: tuple[int, int]) -> bool:
    """Whether every corner of the input comes from inside the source (to a hundredth of a pixel)."""
    height, width = output_size
    back = cv2.invertAffineTransform(matrix)
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)]) @ back[:, :2].T + back[:, 2]
    return bool((corners >= -0.01).all() and (corners <= np.array(source_size[::-1]) + 0.01).all())


@dataclass(frozen=True)
class Geometry:
    """What may be drawn for a view; the defaults draw nothing. Messages name the keys below ``cfg.INPUT``.

    Attributes:
        size: side of the square input in pixels.
        letterbox: keep the aspect ratio and pad with black; otherwise stretch to the square.
        crop_area: smallest and largest share of the area of a random crop.
        rotation: largest rotation in degrees, either way.
        scale: smallest and largest factor.
        shift: largest shift along each axis, as share of the side.
        flip: probability of a horizontal flip.
    """

    size: int
    letterbox: bool = False
    crop_area: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    flip: float = 0.0

    def __post_init__(self) -> None:
        checks = {
            "SIZE": (self.size >= 1, "at least 1", self.size),
            "CROP_AREA": (_ordered(self.crop_area, 1.0), "two shares, 0 < smallest <= largest <= 1", self.crop_area),
            "ROTATION": (0 <= self.rotation <= 180, "in 0..180 degrees", self.rotation),
            "SCALE": (_ordered(self.scale, np.inf), "two factors, 0 < smallest <= largest", self.scale),
            "SHIFT": (0 <= self.shift < 1, "at least 0 and below 1", self.shift),
            "FLIP": (0 <= self.flip <= 1, "in 0..1", self.flip),
        }
        for key, (valid, expected, value) in checks.items():
            if not valid:
                raise ValueError(f"INPUT.{key} must be {expected}, not {value!r}")

    def content(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Rectangle x0, y0, x1, y1 of the input that holds the whole undisturbed image, in whole pixels."""
        if not self.letterbox:
            return 0.0, 0.0, float(self.size), float(self.size)
        longest = max(height, width)
        w, h = (max(1, round(self.size * side / longest)) for side in (width, height))
        x0, y0 = (self.size - w) // 2, (self.size - h) // 2
        return float(x0), float(y0), float(x0 + w), float(y0 + h)

    def plain(self, height: int, width: int) -> AffineTransform:
        """Resize or letterbox alone; for inference."""
        return self._transform(_fit((0, 0, width, height), self.content(height, width)), height, width)

    def draw(
        self, rng: np.random.Generator, height: int, width: int, centres: np.ndarray | None = None
    ) -> AffineTransform:
        """Draws a view.

        A crop is drawn by its share of the area and by its aspect ratio relative to the image, log-uniform in
        3/4..4/3 as far as such a crop fits; it is then stretched to the image's place in the input. Flip, rotation,
        scale and shift follow, about the middle of the input.

        Args:
            rng: source of every draw; the number of draws is always the same.
            height, width: of the source, pixels.
            centres: (N, 2) source points that must stay in the input (the box task's box centres): the view is moved,
                and shrunk only where it is too small to hold them all, until they do.
        """
        content = self.content(height, width)
        window = _draw_window(rng, self.crop_area, content)
        mirror = -1.0 if rng.random() < self.flip else 1.0
        angle = np.radians(rng.uniform(-self.rotation, self.rotation))
        factor = rng.uniform(*self.scale)
        shift = rng.uniform(-self.shift, self.shift, 2) * self.size
        turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn[:, 0] *= mirror
        middle = self.size / 2
        jitter = np.eye(3)
        jitter[:2, :2] = turn
        jitter[:2, 2] = middle + shift - turn @ (middle, middle)
        matrix = jitter @ _fit(window, content) @ _fit((0, 0, width, height), content)
        if centres is not None and len(centres):
            matrix = _hold(np.asarray(centres) @ matrix[:2, :2].T + matrix[:2, 2], self.size) @ matrix
        return self._transform(matrix, height, width)

    def _transform(self, matrix: np.ndarray, height: int, width: int) -> AffineTransform:
        return AffineTransform(matrix[:2], (self.size, self.size), (height, width))


def _ordered(pair: tuple[float, float], top: float) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= top


def _fit(source: tuple[float, ...], target: tuple[float, ...]) -> np.ndarray:
    """The (3, 3) matrix that takes one rectangle x0, y0, x1, y1 to another."""
    (a0, b0, a1, b1), (x0, y0, x1, y1) = source, target
    sx, sy = (x1 - x0) / (a1 - a0), (y1 - y0) / (b1 - b0)
    return np.array([[sx, 0, x0 - sx * a0], [0, sy, y0 - sy * b0], [0, 0, 1]])


def _draw_window(
    rng: np.random.Generator, area: tuple[float, float], content: tuple[float, ...]
) -> tuple[float, float, float, float]:
    """A crop window inside ``content``. The aspect ratios are those that fit, so no draw is ever rejected."""
    share = rng.uniform(*area)
    ratio = np.exp(rng.uniform(np.log(max(_ASPECT[0], share)), np.log(min(_ASPECT[1], 1 / share))))
    x0, y0, x1, y1 = content
    w, h = np.sqrt(share * ratio) * (x1 - x0), np.sqrt(share / ratio) * (y1 - y0)
    x, y = x0 + rng.random() * (x1 - x0 - w), y0 + rng.random() * (y1 - y0 - h)
    return x, y, x + w, y + h


def _hold(points: np.ndarray, size: int) -> np.ndarray:
    """The smallest correction (3, 3) of a view after which all points (N, 2) lie in 0..size."""
    low, high = points.min(axis=0), points.max(axis=0)
    factor = np.minimum(1.0, size / np.maximum(high - low, 1e-9))
    low, high = low * factor, high * factor
    offset = np.where(low < 0, -low, np.where(high > size, size - high, 0.0))
    return np.array([[factor[0], 0, offset[0]], [0, factor[1], offset[1]], [0, 0, 1]])


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
