"""From attenuation to the stored grey image: scatter, film curve, digital processing, noise, borders, letters, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from . import ranges
from .patient import Pose
from .ranges import sample

_LOOKS, _SHARES = list(ranges.LOOK_SHARES), list(ranges.LOOK_SHARES.values())
LETTERS = ("L", "R", "PA", "AP", "SUPINE", "PORTABLE", "SITTING", "ERECT", "AP MOBILE")


def expose(rng: np.random.Generator, absorbed: np.ndarray, pose: Pose, look: str | None = None) -> np.ndarray:
    """Grey image (H, W), uint8, of an attenuation map (H, W), float32; `look` is a key of `ranges.LOOKS`, or drawn."""
    knobs = sample(rng, ranges.LOOKS[look or str(rng.choice(_LOOKS, p=_SHARES))], ranges.EXPOSURE)
    height, width = absorbed.shape
    unit = height / 256
    haze = _haze(absorbed, 24 * unit)
    seen = absorbed + np.float32(pose.knobs.scatter) * (haze - absorbed)
    if knobs.equalise:
        # The processing evens out coarse contrast, about the mean of the body.
        coarse = _haze(seen, 36 * unit)
        seen -= np.float32(knobs.equalise) * (coarse - np.float32(0.6)) * (coarse > 0.05)
    seen += np.linspace(-knobs.shade, knobs.shade, width, dtype=np.float32) / 2
    grey = _curve(seen, knobs)
    if knobs.detail:
        grey += np.float32(knobs.detail) * (grey - cv2.GaussianBlur(grey, (0, 0), 5 * unit))
    if rng.random() < ranges.GRID_LINES:
        waves = np.sin(np.arange(height, dtype=np.float32) * np.float32(rng.uniform(0.6, 2.2)))
        grey += (np.float32(rng.uniform(0.004, 0.015)) * waves)[:, None]
    grey = cv2.GaussianBlur(grey, (0, 0), max(0.2, unit * knobs.blur))
    # Fewer photons pass dense tissue: noise grows with brightness.
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    if knobs.grain > 0.4:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.9) * np.float32(2.2)
    grey += noise * np.float32(knobs.noise) * (0.4 + grey)
    grey = np.float32(knobs.black) + np.float32(knobs.white - knobs.black) * np.clip(grey, 0, 1)
    image = _borders(rng, np.clip(np.round(grey * 255), 0, 255).astype(np.uint8))
    if rng.random() < ranges.LETTERS:
        _letters(rng, image)
    if rng.random() < ranges.JPEG:
        quality = int(rng.integers(*ranges.JPEG_QUALITY))
        stored = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE))
    return image


def _haze(raster: np.ndarray, sigma: float) -> np.ndarray:
    """Wide Gaussian blur, computed on an eighth of the size."""
    height, width = raster.shape
    small = cv2.resize(raster, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 8), (width, height), interpolation=cv2.INTER_LINEAR)


def _curve(seen: np.ndarray, knobs) -> np.ndarray:
    """The film curve: grey 0..1 of attenuation, a sigmoid between air and twice the body, then a power."""
    slope, middle = np.float32(knobs.slope), np.float32(knobs.middle)
    low, high = (1 / (1 + np.exp(slope * (middle - np.float32(end)))) for end in (0.0, 1.25))
    grey = 1 / (1 + cv2.exp(slope * (middle - seen)))
    return cv2.pow(np.clip((grey - low) / (high - low), 0, 1.05), knobs.gamma)


def _borders(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Black collimation on some sides, slightly askew, or the dark corners of a photographed film."""
    height, width = image.shape
    if rng.random() < ranges.COLLIMATED:
        for side in range(4):
            if rng.random() < 0.5:
                a, b = rng.uniform(*ranges.COLLIMATION) * np.array([1, rng.uniform(0.6, 1.4)])
                shape = (
                    np.array([[0, 0], [1, 0], [1, a], [0, b]])
                    if side < 2
                    else np.array([[0, 0], [0, 1], [a, 1], [b, 0]])
                )
                shape = 1 - shape if side % 2 else shape
                corners = np.round(shape * [width - 1, height - 1]).astype(np.int32)
                cv2.fillConvexPoly(image, corners, int(rng.integers(0, 12)))
    if rng.random() < ranges.VIGNETTE:
        y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
        image = (image * (1 - rng.uniform(0.1, 0.4) * np.clip(x**4 + y**4, 0, 1))).astype(np.uint8)
    return image


def _letters(rng: np.random.Generator, image: np.ndarray) -> None:
    """Lead or burned-in letters near the edges, in place; an L lies on the patient's left, an R on the right."""
    height, width = image.shape
    for _ in range(int(rng.integers(1, 3))):
        text = str(rng.choice(LETTERS, p=[0.4, 0.2, *[0.4 / 7] * 7]))
        scale = height / 256 * rng.uniform(0.25, 0.6)
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        left = text == "L" or (text != "R" and rng.random() < 0.5)
        x = int(width * (rng.uniform(0.84, 0.97) if left else rng.uniform(0.02, 0.12))) - (w if left else 0)
        y = int(height * rng.uniform(0.04, 0.3)) + h // 2
        if rng.random() < 0.15:
            cv2.rectangle(image, (x - 3, y - h - 3), (x + w + 3, y + 3), 90, -1)
        thick = 1 + int(rng.random() < 0.4)
        cv2.putText(
            image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, int(rng.integers(190, 256)), thick, cv2.LINE_AA
        )
