"""The published networks in our configuration: their datasets and every reference switch.

``configs/reference/*.yaml`` say the same with a line on what each switch changes; a test compares them.
"""

from __future__ import annotations

from typing import Any

from ..config import get_fx_cfg
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit
from .published import CLASSES

_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
# The switches of the forward, then those of the training alone.
_BOTH: dict[str, Any] = {
    "MODEL.SWIN.SHIFT_SINGLE_WINDOW": True,
    "MODEL.PIXEL.BOX.MEAN": _IMAGENET[0],
    "MODEL.PIXEL.BOX.STD": _IMAGENET[1],
    # The mean is subtracted from bytes and the result divided by 255 once more: practically no centring.
    "MODEL.PIXEL.MASK.MEAN": [value / 255 for value in _IMAGENET[0]],
    "MODEL.PIXEL.MASK.STD": _IMAGENET[1],
    "MODEL.BOX.CLASS_LOGITS": 14,
    "MODEL.CLS.EXCLUSIVE_AS_BINARY": True,
    "MODEL.MASK.LOSS.BCE": 0.0,
    "MODEL.MASK.FLAT_DICE": True,
    "MODEL.MASK.COMPARE_LATERAL": True,
    "MODEL.BOX.PROPOSAL_LOSS": 0.0,
    "MODEL.BOX.COMPARE_DECODER": True,
    "MODEL.BOX.ENCODER_L2": 1e-4,
    "FX.REFERENCE_LOCK": True,
    "FX.TEACHER.BUFFERS": False,
    "SOLVER.REFERENCE_GROUPS": True,
    "INPUT.TEACHER_VIEW": False,
}
SWITCHES: dict[str, dict[str, Any]] = {
    "foundation_x": _BOTH | {"MODEL.BOX.MEMORY_PROJECTION": True, "MODEL.BOX.REFINE_HEADS": True},
    "foundation_x_plus": _BOTH
    | {
        "MODEL.BOX.LAYOUT": "shared",
        "MODEL.BOX.SELECTOR_LAYER": False,
        "MODEL.MASK.GATE.WHEN": "train",
        "MODEL.MASK.GATE.REFERENCE": True,
    },
}
# The three datasets whose mask heads were trained.
MASKS = ("candid_ptx", "chestx_det", "siim_acr")


def published_classes() -> dict[Unit, UnitClasses]:
    """The twenty published units with their classes."""
    return {
        Unit(dataset, task): UnitClasses(names, exclusive=(dataset, task) == ("rsna_pneumonia", "cls"))
        for task, datasets in CLASSES.items()
        for dataset, names in datasets.items()
        if task != "mask" or dataset in MASKS
    }


def reference_config(layout: str, sizes: dict[str, Any]):
    """Our configuration of a published network: ``foundation_x`` or ``foundation_x_plus``, in given sizes."""
    cfg = get_fx_cfg()
    values = SWITCHES[layout] | {"FX.CYCLE.UNITS": [str(unit) for unit in published_classes()]} | sizes
    cfg.merge_from_list([item for pair in values.items() for item in pair])
    return cfg
