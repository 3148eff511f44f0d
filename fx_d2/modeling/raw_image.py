"""Images as Detectron2 gives them (``DefaultPredictor``, ``DatasetMapper``) -> the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..config import unit_of_split
from ..data.augmentation import Geometry
from ..data.errors import nearest
from ..schedule import Unit


@dataclass(frozen=True)
class RawImages:
    """Makes the network's square grey input of images that are of any size, in colour and without a unit.

    Attributes:
        geometry: as for all predictions.
        unit: of an image that names none; None: it has to.
        rgb: the order of the colours (``INPUT.FORMAT``): red first, or blue first.
    """

    geometry: Geometry
    unit: Unit | None
    rgb: bool

    @classmethod
    def from_config(cls, cfg, units: Sequence[Unit]) -> RawImages:
        """The unit is that of ``DATASETS.TEST``, whose metadata ``DefaultPredictor`` has, else the only one.

        Raises:
            ValueError: ``DATASETS.TEST`` names no split of one of the units.
        """
        unit = units[0] if len(units) == 1 else None
        if cfg.DATASETS.TEST:
            unit = unit_of_split(cfg.DATASETS.TEST[0], units)
            if unit is None:
                names = [f"{unit.dataset}_{unit.task}_test" for unit in units]
                hint = nearest(cfg.DATASETS.TEST[0], names, "splits")
                raise ValueError(
                    f"DATASETS.TEST: {cfg.DATASETS.TEST[0]!r} is no split of a unit of the network; {hint}"
                )
        return cls(Geometry(cfg.INPUT.SIZE, cfg.INPUT.LETTERBOX), unit, cfg.INPUT.FORMAT == "RGB")

    def fit(self, entry: dict) -> dict:
        """An entry as the mapper gives it for evaluation; one that is so already comes back as it is.

        Args:
            entry: ``image`` (1 or 3, H, W) with values 0..255; ``height`` and ``width`` of the original, which the
                image may be a resized copy of, default: its own; ``unit`` where the network has several.

        Raises:
            ValueError: no unit can be told, or the image is not of that form.
        """
        image, side = entry["image"], self.geometry.size
        if "content" in entry or ("unit" in entry and tuple(image.shape[-2:]) == (side, side)):
            return entry
        if "unit" not in entry and self.unit is None:
            raise ValueError(
                "the network has several units and the image names none: set DATASETS.TEST to the unit to predict, "
                "such as ('mine_box_test',) for mine/box, or use fx_d2.Predictor, which predicts all"
            )
        grey = self._grey(image)
        size = dict(zip(("height", "width"), grey.shape, strict=True)) | entry
        height, width = size["height"], size["width"]
        view = self.geometry.plain(height, width).at_resolution(*grey.shape).apply_image(grey)
        content = self.geometry.content(height, width)
        fitted = {"image": torch.from_numpy(view)[None], "height": height, "width": width, "content": content}
        return {"unit": str(self.unit), **entry, **fitted}

    def _grey(self, image: Tensor) -> np.ndarray:
        """uint8 (H, W), as :func:`fx_d2.data.images.read_image` makes it of a colour file."""
        low, high = (float(bound) for bound in image.aminmax())
        if image.ndim != 3 or image.shape[0] not in (1, 3) or not 0 <= low <= high <= 255:
            raise ValueError(
                f"an image must have 1 or 3 channels (C, H, W) with values 0..255, not {tuple(image.shape)} with "
                f"{low:g}..{high:g}; fx_d2.data.images.read_image reads other depths"
            )
        pixels = np.ascontiguousarray(image.cpu().to(torch.uint8).permute(1, 2, 0).numpy())
        if pixels.shape[2] == 1:
            return pixels[..., 0]
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY if self.rgb else cv2.COLOR_BGR2GRAY)
