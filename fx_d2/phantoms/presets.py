"""The cohorts that `fx-d2 phantoms --preset` writes: which datasets, in which folder, drawn by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import population, recipes
from .radiograph import Radiograph
from .recipes import Recipe


@dataclass(frozen=True)
class Preset:
    """One cohort.

    Attributes:
        folder: below the data root.
        datasets: what each dataset annotates.
        draw: gives one image: (dataset, patient, number, seed, size) to a `Radiograph`.
    """

    folder: str
    datasets: Mapping[str, Recipe]
    draw: Callable[..., Radiograph]


PRESETS = {
    "quickstart": Preset("phantoms", recipes.DATASETS, recipes.draw),
    "pretraining": Preset("phantoms_pretraining", population.DATASETS, population.draw),
}
