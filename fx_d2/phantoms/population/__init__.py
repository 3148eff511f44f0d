"""A population of synthetic patients, for networks that are to work on real radiographs.

Read `ranges` first: every knob and its range. `patient` draws who and how, `contours` and `skeleton` the outlines,
`vessels`, `disease`, `devices` and `layers` the attenuation, `exposure` the picture, `picture` puts them together and
states the truth, `recipes` says which datasets are made of it.
"""

from __future__ import annotations

from .recipes import DATASETS, PopulationRecipe, draw

__all__ = ["DATASETS", "PopulationRecipe", "draw"]
