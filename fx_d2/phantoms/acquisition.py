"""How a hospital takes a picture: placement, exposure, scatter, noise, markers and cables."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Style:
    """One acquisition style; pairs are (smallest, largest).

    Attributes:
        aspect: width / height of the image.
        bits: 8 or 16 per pixel.
        tilt: standard deviation of the rotation, degrees.
        zoom: scale of the patient in the image.
        window: attenuation that becomes middle grey.
        contrast: slope of the film curve there.
        noise: standard deviation at middle grey, on the scale 0..1.
        blur: sigma in pixels of a 256-pixel image.
        portable: picture taken at the bedside: shallow breath, electrodes and cables, collimator edges.
        marker: probability of a side marker.
    """

    aspect: float = 1.0
    bits: int = 8
    tilt: float = 1.5
    zoom: tuple[float, float] = (0.96, 1.04)
    window: tuple[float, float] = (0.60, 0.70)
    contrast: tuple[float, float] = (4.6, 5.6)
    noise: tuple[float, float] = (0.008, 0.016)
    blur: tuple[float, float] = (0.3, 0.6)
    portable: bool = False
    marker: float = 0.5


def place(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> np.ndarray:
    """(2, 3) matrix from body coordinates to pixels of a raster (height, width): turned, scaled, shifted a little."""
    height, width = shape
    angle = np.deg2rad(np.clip(rng.normal(0, style.tilt), -2.2 * style.tilt, 2.2 * style.tilt))
    zoom = height * rng.uniform(*style.zoom)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([width / 2, height / 2]) + height * np.clip(rng.normal(0, 0.012, 2), -0.025, 0.025)
    return np.column_stack([turn, centre - turn @ np.array([0.0, 0.5])])


def expose(rng: np.random.Generator, absorbed: np.ndarray, style: Style) -> np.ndarray:
    """Grey image (uint8 or uint16) of an attenuation map (H, W), float32."""
    height, width = absorbed.shape
    unit = height / 256
    small = cv2.resize(absorbed, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    haze = cv2.resize(cv2.GaussianBlur(small, (0, 0), 3 * unit), (width, height), interpolation=cv2.INTER_LINEAR)
    share = 0.16 if style.portable else 0.06
    seen = cv2.addWeighted(absorbed, 1 - share, haze, share, 0)
    slope = np.float32(rng.uniform(*style.contrast))
    middle = np.float32(rng.uniform(*style.window))
    low, high = (1 / (1 + np.exp(slope * (middle - end))) for end in (np.float32(0.0), np.float32(1.35)))
    grey = 1 / (1 + np.exp(slope * (middle - seen)))
    grey = (grey - low) / (high - low)
    grey = 0.02 + 0.95 * grey
    if rng.random() < style.marker:
        _marker(rng, grey)
    if style.portable:
        _bedside(rng, grey)
    grey = cv2.GaussianBlur(grey, (0, 0), max(0.2, unit * rng.uniform(*style.blur)))
    # Fewer photons reach the film behind dense tissue: noise grows with brightness, and is slightly correlated.
    grain = rng.standard_normal(absorbed.shape, dtype=np.float32)
    grain = 0.7 * grain + 0.9 * cv2.GaussianBlur(grain, (0, 0), 0.8)
    grey += grain * np.float32(rng.uniform(*style.noise)) * (0.5 + grey)
    top = (1 << style.bits) - 1
    return np.clip(np.round(grey * top), 0, top).astype(np.uint8 if style.bits == 8 else np.uint16)


def _marker(rng: np.random.Generator, grey: np.ndarray) -> None:
    """A lead letter L on the patient's left."""
    height, width = grey.shape
    unit = height / 256
    x, y = width - rng.uniform(14, 26) * unit, rng.uniform(14, 30) * unit
    corners = np.array([[x, y], [x, y + 8 * unit], [x + 5 * unit, y + 8 * unit]])
    strokes = [np.round(corners * 16).astype(np.int32)]
    cv2.polylines(grey, strokes, False, 0.97, max(1, round(1.4 * unit)), cv2.LINE_8, 4)


def _bedside(rng: np.random.Generator, grey: np.ndarray) -> None:
    """Electrodes with their cables, and now and then the black edge of the collimator."""
    height, width = grey.shape
    unit = height / 256
    for _ in range(int(rng.integers(0, 4))):
        spot = np.array([width * rng.uniform(0.15, 0.85), height * rng.uniform(0.2, 0.75)])
        away = np.array([width * rng.choice([-0.05, 1.05]), height * rng.uniform(0.3, 1.0)])
        middle = (spot + away) / 2 + height * rng.normal(0, 0.08, 2)
        t = np.linspace(0, 1, 24)[:, None]
        cable = (1 - t) ** 2 * spot + 2 * t * (1 - t) * middle + t**2 * away
        layer = np.zeros_like(grey)
        cv2.polylines(layer, [np.round(cable * 16).astype(np.int32)], False, 0.13, max(1, round(unit)), cv2.LINE_8, 4)
        cv2.circle(layer, tuple(int(v) for v in spot), max(1, round(2.2 * unit)), 0.30, -1)
        np.minimum(grey + layer, np.maximum(grey, 0.93), out=grey)
    if rng.random() < 0.4:
        edge = int(width * rng.uniform(0.01, 0.05))
        grey[:, slice(0, edge) if rng.random() < 0.5 else slice(width - edge, width)] = 0.015
