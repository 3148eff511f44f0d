"""How the built-in datasets may be read: the options of ``DATASETS.OPTIONS``, their choices and defaults. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One option of one dataset.

    Attributes:
        default: its value if nobody sets it.
        choices: the values it may have; empty for any text or number, whichever the default is.
    """

    default: str | float
    choices: tuple[str, ...] = ()


# The dataset's folder, absolute or below $DETECTRON2_DATASETS; empty: looked for there by its usual names.
_ROOT = Option("")
# What a blank becomes: unknown (but for what "No Finding" settles, datasets/README.md), or zero as in the paper.
_BLANK = Option("unknown", ("unknown", "zero"))
_VIEWS = Option("all", ("all", "frontal"))
# published: the splits as they are handed out; three: the published validation split becomes the test split and a
# validation split is drawn from the training patients.
_SPLITS = Option("published", ("published", "three"))


def _uncertain(default: str) -> Option:
    """What -1 becomes in training; in other splits it is unknown. uniform: drawn from 0.55..0.85, fixed for a row."""
    return Option(default, ("ignore", "zero", "one", "uniform"))


DATASET_OPTIONS: dict[str, dict[str, Option]] = {
    "chexpert": {
        "root": _ROOT,
        "uncertain": _uncertain("uniform"),
        "blank": _BLANK,
        "views": _VIEWS,
        "splits": _SPLITS,
    },
    # boxes: published puts all boxed images into the test split, where the official list has them; drawn splits them
    # by patient (and so trains on test images of the findings).
    "nih_cxr14": {"root": _ROOT, "boxes": Option("published", ("published", "drawn"))},
    # votes: what makes a finding or a box of the three readers true. classes: the 6 findings and 14 box classes of the
    # method (the box classes of the Kaggle edition), or all 28 and 22 of the PhysioNet edition.
    "vindr_cxr": {
        "root": _ROOT,
        "votes": Option("any", ("any", "majority", "all")),
        "classes": Option("method", ("method", "all")),
    },
    "shenzhen": {"root": _ROOT},
    "mimic_cxr": {
        "root": _ROOT,
        "uncertain": _uncertain("one"),
        "blank": _BLANK,
        "views": _VIEWS,
        "labeller": Option("chexpert", ("chexpert", "negbio")),
    },
    # classes: one class, or active and latent tuberculosis apart (boxes only).
    "tbx11k": {"root": _ROOT, "splits": _SPLITS, "classes": Option("one", ("one", "types"))},
    "node21": {"root": _ROOT},
    "candid_ptx": {"root": _ROOT},
    "rsna_pneumonia": {"root": _ROOT},
    "chestx_det": {"root": _ROOT},
    "siim_acr": {"root": _ROOT},
    # images: the folder of VinDr-CXR. quality: lowest estimated Dice of a mask that is used; the authors advise 0.7.
    "chexmask_vindr": {"root": _ROOT, "images": _ROOT, "quality": Option(0.7)},
    "vindr_ribcxr": {"root": _ROOT, "splits": _SPLITS},
    "montgomery": {"root": _ROOT},
    "jsrt": {"root": _ROOT},
}
