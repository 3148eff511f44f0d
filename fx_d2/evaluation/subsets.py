"""Published means over some of a dataset's classes."""

from __future__ import annotations

# The five findings of the CheXpert competition (Irvin et al., AAAI 2019), on which MIMIC-CXR results are given too.
_COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
# Dataset -> name of the subset -> classes.
SUBSETS = {"chexpert": {"CheXpert-5": _COMPETITION}, "mimic_cxr": {"MIMIC-5": _COMPETITION}}


def subsets_of(unit: str, classes: tuple[str, ...]) -> dict[str, list[int]]:
    """The subsets that are published for a unit (``dataset/task``): name -> positions of its classes.

    A subset of which some class is missing in ``classes`` is left out: its mean would not be the published one.
    """
    published = SUBSETS.get(unit.rpartition("/")[0], {})
    return {
        name: [classes.index(label) for label in labels]
        for name, labels in published.items()
        if set(labels) <= set(classes)
    }
