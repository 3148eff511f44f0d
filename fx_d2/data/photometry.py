"""Brightness, contrast and gamma of a view, as one look-up table."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


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
        for key in ("brightness", "contrast", "gamma"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                raise ValueError(f"INPUT.{key.upper()} must be at least 0 and below 1, not {value!r}")

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draws a table: uint8 (256,), the new value of each grey level."""
        exponent = 1 + rng.uniform(-self.gamma, self.gamma)
        factor = 1 + rng.uniform(-self.contrast, self.contrast)
        offset = rng.uniform(-self.brightness, self.brightness)
        level = np.linspace(0, 1, 256) ** exponent
        changed = (level - 0.5) * factor + 0.5 + offset
        return np.rint(changed.clip(0, 1) * 255).astype(np.uint8)


def apply_table(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """A new uint8 image (H, W) with every grey level replaced by the table's."""
    return cv2.LUT(image, table)
