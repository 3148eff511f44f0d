"""Which classes are parts of the body, by their names; of mask heads heart and lungs, and what is measured on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.structures import Instances

from ..data.laterality import side_of, split_words
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit
from .cardiothoracic import CardiothoracicRatio, cut_lungs, measure

# Words beside an organ's name that leave it the whole organ. "Lung Opacity" and "Upper Lung" have others.
_WHOLE = {"whole", "entire", "both", "field", "fields", "silhouette", "shadow", "contour", "outline", "mask"}
_SIDES = {"left", "right", "l", "r"}
_ANATOMY = {"heart", "cardiac", "lung", "lungs", "rib", "ribs", "clavicle", "clavicles", "diaphragm"}


@dataclass(frozen=True)
class Organs:
    """Positions of heart and lungs among the classes of one mask head; the same twice where one mask is both lungs."""

    heart: int
    left_lung: int
    right_lung: int


def is_anatomy(name: str) -> bool:
    """Whether a class is a part of the body by its name: ``Left Clavicle``, ``R10``, but not ``Rib Fracture``."""
    words = {word for word in split_words(name) if not word.isdigit()} - _WHOLE
    return bool(words) and words <= _ANATOMY | _SIDES


def find_organs(classes: Mapping[Unit, UnitClasses]) -> dict[Unit, Organs]:
    """By mask head, of those that have a heart and lungs.

    A heart of one head is not measured against the lungs of another: their datasets may draw them by other rules.
    """
    found = {unit: _organs_of(its.names) for unit, its in classes.items() if unit.task == "mask"}
    return {unit: organs for unit, organs in found.items() if organs is not None}


def measure_organs(
    organs: Mapping[Unit, Organs], outputs: Mapping[Unit, dict], spacing: float | None
) -> dict[Unit, CardiothoracicRatio]:
    """The cardiothoracic ratio by each head's masks, whatever their scores.

    Args:
        organs: of :func:`find_organs`. outputs: of these units, see :class:`Prediction`.
        spacing: mm between neighbouring columns, None where unknown.
    """
    ratios = {}
    for unit, its in organs.items():
        instances = outputs[unit]["instances"]
        heart, left, right = (_mask_of(instances, k) for k in (its.heart, its.left_lung, its.right_lung))
        if its.left_lung == its.right_lung:
            left, right = cut_lungs(left, heart)
        ratios[unit] = measure(heart, left, right, spacing)
    return ratios


def _organs_of(names: Sequence[str]) -> Organs | None:
    found: dict[str | None, int] = {}
    for position, name in enumerate(names):
        found.setdefault(_organ(name), position)
    lungs = [found[side] for side in ("left lung", "right lung") if side in found]
    if len(lungs) < 2 and "lungs" in found:
        lungs = [found["lungs"]] * 2
    return Organs(found["heart"], *lungs) if "heart" in found and len(lungs) == 2 else None


def _organ(name: str) -> str | None:
    """``heart``, ``left lung``, ``right lung`` or ``lungs``; None for all else."""
    words = set(split_words(name)) - _WHOLE
    if words in ({"heart"}, {"cardiac"}):
        return "heart"
    if words - _SIDES not in ({"lung"}, {"lungs"}):
        return None
    side = side_of(name)
    return f"{side} lung" if side else "lungs"


def _mask_of(instances: Instances, position: int) -> np.ndarray:
    """All instances of a class together, bool (H, W)."""
    return instances.pred_masks[instances.pred_classes == position].any(dim=0).numpy()
