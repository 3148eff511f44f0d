"""The synthetic cohort: procedural chest radiographs with findings, handed out as four unlike datasets.

`anatomy` draws a patient, `findings` what ails the patient, `radiograph` the picture and its truth, `recipes` the four
datasets, `cohort` writes them to disk in ordinary files. Left and right are the patient's: the left lung is on the
right of the image.
"""

from __future__ import annotations

from .cohort import DEFAULT_IMAGES, write_cohort
from .radiograph import Radiograph
from .recipes import DATASETS, Recipe, draw

__all__ = ["DATASETS", "DEFAULT_IMAGES", "Radiograph", "Recipe", "draw", "write_cohort"]
