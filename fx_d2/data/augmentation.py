"""What may be drawn for a view of a training image: its geometry, and its brightness, contrast and gamma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .transforms import AffineTransform

# Aspect ratios of a random crop, relative to the whole image.
_ASPECT = (3 / 4, 4 / 3)
Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Geometry:
    """What may be drawn; the defaults draw nothing. Messages name the keys below ``cfg.INPUT``.

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

    def content(self, height: int, width: int) -> Rectangle:
        """The rectangle of the input that holds the whole undisturbed image, in whole pixels."""
        if not self.letterbox:
            return 0.0, 0.0, float(self.size), float(self.size)
        longest = max(height, width)
        w, h = (max(1, round(self.size * side / longest)) for side in (width, height))
        x0, y0 = (self.size - w) // 2, (self.size - h) // 2
        return float(x0), float(y0), float(x0 + w), float(y0 + h)

    def plain(self, height: int, width: int) -> AffineTransform:
        """Resize or letterbox alone; for inference."""
        matrix = _fit((0, 0, width, height), self.content(height, width))
        return AffineTransform(matrix[:2], (self.size, self.size), (height, width))

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
        linear = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear[:, 0] *= mirror
        middle = self.size / 2
        jitter = np.eye(3)
        jitter[:2, :2] = linear
        jitter[:2, 2] = middle + shift - linear @ (middle, middle)
        matrix = jitter @ _fit(window, content) @ _fit((0, 0, width, height), content)
        if centres is not None and len(centres):
            matrix = _keep_inside(centres @ matrix[:2, :2].T + matrix[:2, 2], self.size) @ matrix
        return AffineTransform(matrix[:2], (self.size, self.size), (height, width))


def _ordered(pair: tuple[float, float], top: float) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= top


def _fit(source: Rectangle, target: Rectangle) -> np.ndarray:
    """The (3, 3) matrix that takes one rectangle to another."""
    (a0, b0, a1, b1), (x0, y0, x1, y1) = source, target
    sx, sy = (x1 - x0) / (a1 - a0), (y1 - y0) / (b1 - b0)
    return np.array([[sx, 0, x0 - sx * a0], [0, sy, y0 - sy * b0], [0, 0, 1]])


def _draw_window(rng: np.random.Generator, area: tuple[float, float], content: Rectangle) -> Rectangle:
    """A crop window inside ``content``. The aspect ratios are those that fit, so no draw is ever rejected."""
    share = rng.uniform(*area)
    ratio = np.exp(rng.uniform(np.log(max(_ASPECT[0], share)), np.log(min(_ASPECT[1], 1 / share))))
    x0, y0, x1, y1 = content
    w, h = np.sqrt(share * ratio) * (x1 - x0), np.sqrt(share / ratio) * (y1 - y0)
    x, y = x0 + rng.random() * (x1 - x0 - w), y0 + rng.random() * (y1 - y0 - h)
    return x, y, x + w, y + h


def _keep_inside(points: np.ndarray, size: int) -> np.ndarray:
    """The smallest correction (3, 3) of a view after which all points (N, 2) lie in 0..size."""
    low, high = points.min(axis=0), points.max(axis=0)
    factor = np.minimum(1.0, size / np.maximum(high - low, 1e-9))
    low, high = low * factor, high * factor
    offset = np.where(low < 0, -low, np.where(high > size, size - high, 0.0))
    return np.array([[factor[0], 0, offset[0]], [0, factor[1], offset[1]], [0, 0, 1]])


@dataclass(frozen=True)
class Photometry:
    """What may be drawn; 0 switches a part off. Messages name the keys below ``cfg.INPUT``.

    Attributes:
        brightness: largest change, as share of full scale.
        contrast: the factor is drawn from ``1 - contrast .. 1 + contrast`` and works about mid-grey.
        gamma: the exponent is drawn from ``1 - gamma .. 1 + gamma``.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if not 0 <= value < 1:
                raise ValueError(f"INPUT.{key.upper()} must be at least 0 and below 1, not {value!r}")

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draws a look-up table: uint8 (256,), the new value of each grey level."""
        exponent = 1 + rng.uniform(-self.gamma, self.gamma)
        factor = 1 + rng.uniform(-self.contrast, self.contrast)
        offset = rng.uniform(-self.brightness, self.brightness)
        level = np.linspace(0, 1, 256) ** exponent
        changed = (level - 0.5) * factor + 0.5 + offset
        return np.rint(changed.clip(0, 1) * 255).astype(np.uint8)
