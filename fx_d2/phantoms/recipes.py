"""What a dataset of a cohort annotates; the four of the quick start, and how their hospitals take pictures.

Every image is a pure function of (seed, dataset name, patient, number of the image of that patient).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from .acquisition import Style
from .anatomy import Anatomy, sample_anatomy
from .findings import CARDIOMEGALY, ENLARGED_CTR, NORMAL_CTR, Finding, sample_findings
from .radiograph import Radiograph, radiograph

N, C, E, P, M = "Nodule", "Consolidation", "Effusion", "Pneumothorax", CARDIOMEGALY


def _deck(cards: str) -> tuple[tuple[str, ...], ...]:
    """The findings of each patient from a word of the letters above; ``-`` is a patient without any."""
    letters = {"N": N, "C": C, "E": E, "P": P, "M": M}
    return tuple(tuple(letters[letter] for letter in card if letter != "-") for card in cards.split())


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one dataset annotates, and in which files.

    Attributes:
        tasks: {task: class names}; a class is annotated only here.
        exclusive: exactly one cls class per image.
        unlisted: {task: share of the images unknown for this task}: the COCO file does not mention them; in an
            exclusive label table their row is blank.
        blank: shares of the cells of a label table that are left blank (unknown) and marked -1 (uncertain).
        fixed_lists: splits are text files; else they are fractions in the YAML file.
        studies: image files lie in a folder per patient and are named by study.
        mask_pictures: masks are PNG folders instead of COCO run lengths.
        patient_columns: names of the columns of image and patient in patients.csv; they differ, as in the real world.
    """

    tasks: dict[str, tuple[str, ...]]
    exclusive: bool = False
    unlisted: dict[str, float] = field(default_factory=dict)
    blank: tuple[float, float] = (0.0, 0.0)
    fixed_lists: bool = True
    studies: bool = False
    mask_pictures: bool = False
    patient_columns: tuple[str, str] = ("image", "patient")


@dataclass(frozen=True, kw_only=True)
class DeckRecipe(Recipe):
    """A dataset of the quick start.

    Attributes:
        deck: findings of one patient per entry; every run of len(deck) patients has each entry once, shuffled.
        style: acquisition.
    """

    deck: tuple[tuple[str, ...], ...]
    style: Style


DATASETS: dict[str, DeckRecipe] = {
    "phantom_screen": DeckRecipe(
        deck=_deck("- - - - N N NM NE NP C C CE CM E E EM P P P M M"),
        style=Style(),
        tasks={"cls": (N, C, E, P, M, "No Finding")},
        blank=(0.08, 0.03),
    ),
    "phantom_ward": DeckRecipe(
        deck=_deck("- - - M N N N N NN NC NC C C C C CC"),
        style=Style(
            tilt=4.0,
            zoom=(0.95, 1.08),
            window=(0.52, 0.66),
            contrast=(3.4, 4.2),
            noise=(0.014, 0.022),
            blur=(0.5, 0.9),
            portable=True,
            marker=0.3,
        ),
        tasks={"cls": (N, C), "box": (N, C)},
        unlisted={"box": 0.15},
        fixed_lists=False,
        studies=True,
        patient_columns=("filename", "patientid"),
    ),
    "phantom_heart": DeckRecipe(
        deck=_deck("- - - M M M E E E ME ME EE"),
        style=Style(
            bits=16,
            zoom=(0.92, 1.0),
            window=(0.62, 0.74),
            contrast=(5.2, 6.2),
            noise=(0.005, 0.010),
            blur=(0.25, 0.45),
            marker=0.9,
        ),
        tasks={"cls": (M, E), "box": ("Heart", E), "mask": ("Left Lung", "Right Lung", "Heart")},
        unlisted={"mask": 0.10},
    ),
    "phantom_emergency": DeckRecipe(
        deck=_deck("- - - P P PE PE C C CE CE CE"),
        style=Style(
            aspect=1.125,
            tilt=2.5,
            zoom=(0.94, 1.06),
            window=(0.55, 0.70),
            contrast=(4.2, 5.2),
            noise=(0.010, 0.020),
            blur=(0.35, 0.7),
            marker=0.6,
        ),
        tasks={"cls": ("Normal", P, C), "box": (P, C), "mask": (E, C)},
        exclusive=True,
        unlisted={"cls": 0.05, "box": 0.10},
        fixed_lists=False,
        mask_pictures=True,
    ),
}


def generator(seed: int, dataset: str, *what: int) -> np.random.Generator:
    """The random numbers of one thing (a patient, an image, ...) of one dataset; no global state."""
    return np.random.default_rng([seed, zlib.crc32(dataset.encode()), *what])


# What the numbers after the patient's stand for.
_ANATOMY, _FINDINGS, _TISSUE, _IMAGE, _COUNT, _DECK = range(6)


def images_of(seed: int, dataset: str, patient: int) -> int:
    """1, or 2 for about one patient in six."""
    return 1 + int(generator(seed, dataset, patient, _COUNT).random() < 1 / 6)


def sample_patient(seed: int, dataset: str, patient: int) -> tuple[Anatomy, list[Finding]]:
    """Anatomy and findings of one patient."""
    recipe = DATASETS[dataset]
    rounds, card = divmod(patient, len(recipe.deck))
    order = generator(seed, dataset, rounds, _DECK).permutation(len(recipe.deck))
    names = recipe.deck[order[card]]
    rng = generator(seed, dataset, patient, _ANATOMY)
    ctr = rng.uniform(*(ENLARGED_CTR if CARDIOMEGALY in names else NORMAL_CTR))
    anatomy = sample_anatomy(rng, ctr, recipe.style.portable)
    return anatomy, sample_findings(generator(seed, dataset, patient, _FINDINGS), anatomy, names)


def draw(dataset: str, patient: int, number: int = 0, seed: int = 0, size: int = 256) -> Radiograph:
    """One image of one patient, with its truth.

    Args:
        dataset: key of `DATASETS`.
        patient: index, any non-negative integer.
        number: which image of this patient; the anatomy and the findings stay, the acquisition changes.
        seed: of the cohort.
        size: height in pixels; the width follows from the dataset's style.
    """
    recipe = DATASETS[dataset]
    anatomy, findings = sample_patient(seed, dataset, patient)
    shape = (size, 8 * round(size * recipe.style.aspect / 8))
    tissue = generator(seed, dataset, patient, _TISSUE)
    acquisition = generator(seed, dataset, patient, _IMAGE, number)
    return radiograph(anatomy, findings, recipe.style, shape, tissue, acquisition)
