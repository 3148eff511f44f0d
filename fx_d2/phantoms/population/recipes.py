"""The datasets of the population: what each annotates, and which of its pictures are taken at the bedside."""

from __future__ import annotations

from dataclasses import dataclass

from ..radiograph import Radiograph
from ..recipes import Recipe, generator
from . import ranges
from .disease import CARDIOMEGALY, FINDINGS, sample_names
from .patient import sample_patient, sample_pose
from .picture import draw_picture

_PATIENT, _FINDINGS, _TISSUE, _POSE, _ACQUISITION = range(200, 205)
_OPACITIES = ("Nodule", "Mass", "Consolidation", "Infiltration", "Atelectasis", "Effusion", "Pneumothorax")


@dataclass(frozen=True, kw_only=True)
class PopulationRecipe(Recipe):
    """A dataset of the population. `supine`: share of bedside pictures."""

    supine: float = ranges.SUPINE


DATASETS: dict[str, PopulationRecipe] = {
    "synthetic_clinic": PopulationRecipe(
        supine=0.1,
        tasks={"cls": (*FINDINGS, CARDIOMEGALY, "No Finding"), "box": (*_OPACITIES, CARDIOMEGALY)},
        blank=(0.05, 0.02),
    ),
    "synthetic_ward": PopulationRecipe(
        supine=0.9,
        tasks={"cls": ("Edema", "Effusion", "Pneumothorax", "Consolidation", "Atelectasis", CARDIOMEGALY)},
        studies=True,
    ),
    "synthetic_chest": PopulationRecipe(
        tasks={"box": ("Left Lung", "Right Lung", "Heart"), "mask": ("Left Lung", "Right Lung", "Heart")},
    ),
    "synthetic_fields": PopulationRecipe(
        tasks={
            "mask": ("Left Lung Field", "Right Lung Field", "Ribs", "Left Clavicle", "Right Clavicle", "Diaphragm"),
        },
    ),
    "synthetic_findings": PopulationRecipe(
        tasks={"box": _OPACITIES, "mask": ("Consolidation", "Infiltration", "Effusion", "Pneumothorax", "Mass")},
    ),
}


def draw(dataset: str, patient: int, number: int = 0, seed: int = 0, size: int = 256) -> Radiograph:
    """One image of one patient, with its truth: a pure function of its arguments.

    Args:
        dataset: key of `DATASETS`.
        patient: index, any non-negative integer.
        number: which image of this patient; patient and findings stay, placement and exposure change.
        seed: of the cohort.
        size: height in pixels, a multiple of 8; the width follows from the pose.
    """
    findings = generator(seed, dataset, patient, _FINDINGS)
    names, enlarged = sample_names(findings)
    who = sample_patient(generator(seed, dataset, patient, _PATIENT), enlarged)
    rng = generator(seed, dataset, patient, _POSE, number)
    pose = sample_pose(rng, who, bool(rng.random() < DATASETS[dataset].supine))
    tissue = generator(seed, dataset, patient, _TISSUE)
    return draw_picture(
        who, pose, names, size, findings, tissue, generator(seed, dataset, patient, _ACQUISITION, number)
    )
