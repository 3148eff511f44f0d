"""Curves and their rasters: the few drawing helpers that anatomy, findings and the radiograph share."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# cv2 reads integer coordinates with this many fractional bits.
_FRACTION_BITS = 4


def spline(points: np.ndarray, closed: bool = False, steps: int = 8) -> np.ndarray:
    """Smooth curve through the points (Catmull-Rom); a point given twice is a corner.

    Args:
        points: (..., N, 2) array; leading axes are many curves at once.
        closed: whether the last point is joined to the first.
        steps: samples per segment.

    Returns:
        (..., M, 2) float array of samples along the curve.
    """
    p = np.asarray(points, dtype=float)
    if closed:
        p = np.concatenate([p[..., -1:, :], p, p[..., :2, :]], axis=-2)
    else:
        before, after = 2 * p[..., :1, :] - p[..., 1:2, :], 2 * p[..., -1:, :] - p[..., -2:-1, :]
        p = np.concatenate([before, p, after], axis=-2)
    t = np.arange(steps)[:, None] / steps
    weights = 0.5 * np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1
    )
    windows = np.stack([p[..., :-3, :], p[..., 1:-2, :], p[..., 2:-1, :], p[..., 3:, :]], axis=-2)
    curve = (weights @ windows).reshape(*p.shape[:-2], -1, 2)
    return curve if closed else np.concatenate([curve, p[..., -2:-1, :]], axis=-2)


def blob(rng: np.random.Generator, centre: np.ndarray, radii: tuple[float, float], roughness: float) -> np.ndarray:
    """Closed contour (64, 2) of an ellipse whose radius wobbles by about the share `roughness`."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    wobble = np.ones_like(angle)
    for order in range(2, 7):
        wobble += roughness / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    wobble = np.clip(wobble, 0.6, 1.5)
    turn = rng.uniform(0, np.pi)
    x, y = radii[0] * wobble * np.cos(angle), radii[1] * wobble * np.sin(angle)
    rotated = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    return centre + rotated


class Canvas:
    """A raster with a placement: draws curves given in body coordinates.

    Body coordinates: x = 0 is the midline and grows towards the patient's left (image right), y = 0 is the upper and
    y = 1 the lower edge of a perfectly placed square image. `matrix` (2, 3) maps them to pixels of this raster.
    """

    def __init__(self, shape: tuple[int, int], matrix: np.ndarray) -> None:
        self.shape = shape
        self.matrix = matrix
        self.unit = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixel coordinates (..., 2), float, of body coordinates (..., 2)."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def _fixed_point(self, points: np.ndarray) -> np.ndarray:
        return np.round(self.pixels(points) * (1 << _FRACTION_BITS)).astype(np.int32)

    def width(self, body_width: float) -> int:
        """Line width in pixels, at least 1, of a width in body units."""
        return max(1, int(round(body_width * self.unit)))

    def fill(self, *contours: np.ndarray) -> np.ndarray:
        """uint8 raster, 255 inside the union of the contours, with smooth edges."""
        out = np.zeros(self.shape, np.uint8)
        for contour in contours:
            cv2.fillPoly(out, [self._fixed_point(contour)], 255, cv2.LINE_AA, _FRACTION_BITS)
        return out

    def lines(self, out: np.ndarray, curves: Sequence[np.ndarray] | np.ndarray, width: float, value: int) -> np.ndarray:
        """Draws open curves of one width (body units) and value (0..255) on `out`, in place."""
        points = self._fixed_point(np.concatenate(curves))
        ends = np.cumsum([len(curve) for curve in curves]).tolist()
        drawn = [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        cv2.polylines(out, drawn, False, int(value), self.width(width), cv2.LINE_8, _FRACTION_BITS)
        return out

    def blur(self, raster: np.ndarray, sigma: float) -> np.ndarray:
        """Gaussian blur, sigma in body units. Wide ones are computed on a smaller raster, which looks the same."""
        pixels = sigma * self.unit
        factor = 4 if pixels >= 8 else 2 if pixels >= 3 else 1
        if factor == 1:
            return cv2.GaussianBlur(raster, (0, 0), max(pixels, 0.3))
        height, width = self.shape
        small = cv2.resize(raster, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), pixels / factor)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    def depth(self, mask: np.ndarray, radius: float, coarse: int = 4) -> np.ndarray:
        """Thickness (float32, 0..1) of a rounded body with this outline: 0 at the edge, 1 from `radius` inwards.

        Computed on a raster `coarse` times smaller.
        """
        height, width = self.shape
        small = cv2.resize(mask, (width // coarse, height // coarse), interpolation=cv2.INTER_AREA)
        # A ring of zeros would read the image border as the edge of the body: repeat the border instead.
        padded = cv2.copyMakeBorder((small > 127).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        far = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
        distance = (
            np.minimum(far, height + width) * coarse / (radius * self.unit)
        )  # infinite where the body fills the raster
        rounded = np.sqrt(1 - (1 - np.minimum(distance, 1)) ** 2)
        return cv2.resize(cv2.GaussianBlur(rounded, (0, 0), 1.5), (width, height), interpolation=cv2.INTER_LINEAR)
