"""Synthetic cohorts: procedural chest radiographs with findings, handed out as unlike datasets.

Two presets (`presets`). The quick start has four datasets that are easy to read: `anatomy` draws a patient, `findings`
what ails the patient, `radiograph` the picture and its truth, `recipes` the datasets. The other is the `population`,
as varied as radiographs are, for networks that are to work on real ones. `cohort` writes either to disk in ordinary
files. Left and right are the patient's: the left lung is on the right of the image.
"""

from __future__ import annotations

from .cohort import DEFAULT_IMAGES, write_cohort
from .presets import PRESETS, Preset
from .radiograph import Radiograph
from .recipes import DATASETS, Recipe, draw

__all__ = ["DATASETS", "DEFAULT_IMAGES", "PRESETS", "Preset", "Radiograph", "Recipe", "draw", "write_cohort"]
