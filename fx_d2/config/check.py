"""Checks of a configuration that run before any work: relations, choices, ranges, names."""

from __future__ import annotations

import importlib.util
import logging

from detectron2.config import CfgNode

from ..data.errors import nearest
from ..schedule import Unit
from .cycle import FINETUNE, GATES, check_gate, cycle_passes, cycle_units, unit_metadata
from .inherited import check_inherited

logger = logging.getLogger(__name__)


def _lookup(cfg: CfgNode, key: str):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _check_choice(cfg: CfgNode, key: str, choices: tuple[str, ...]) -> None:
    value = _lookup(cfg, key)
    if value not in choices:
        known = ", ".join(choice or "'' (none)" for choice in choices)
        raise ValueError(f"{key} must be one of {known}, not {value!r}")


def _check_range(cfg: CfgNode, key: str, low: float, high: float) -> None:
    value = _lookup(cfg, key)
    if not low <= value <= high:
        raise ValueError(f"{key} must lie in {low}..{high}, not {value!r}")


_CHOICES = {
    "MODEL.BOX.LAYOUT": ("per_dataset", "shared"),
    "MODEL.BOX.SAMPLING": ("auto", "plain", "triton"),
    "MODEL.MASK.GATE.WHEN": GATES,
    "FX.TEACHER.MOMENTUM_SCHEDULE": ("constant", "cosine"),
    "FX.TEACHER.UPDATE": ("pass", "iteration"),
    "INPUT.GREY": ("declared", "range"),
    "INPUT.CACHE.MODE": ("auto", "all", "off"),
    "FX.NONFINITE.POLICY": ("stop", "skip"),
    "FX.EVAL.OPERATING_POINT": ("youden", "f1"),
    "FX.FINETUNE": ("", *FINETUNE),
    "FX.CYCLE.ORDER": ("cycle", "mixed"),
    "FX.CAPTURE": ("auto", "off"),
    "FX.COMPILE": ("", "default"),
    "MODEL.WEIGHTS_PART": ("auto", "student", "teacher", "backbone"),
    "FX.WANDB.MODE": ("online", "offline", "disabled"),
    "SOLVER.AMP.DTYPE": ("bfloat16", "float16"),
}
_RANGES = {
    "FX.TEACHER.MOMENTUM": (0.0, 1.0),
    "FX.CONSISTENCY_WEIGHT": (0.0, 1.0),
    "SOLVER.WARMUP_FRACTION": (0.0, 1.0),
    "MODEL.SWIN.DROP_PATH_RATE": (0.0, 0.99),
    "MODEL.MASK.GATE.STRENGTH": (0.0, 1.0),
    "MODEL.MASK.GATE.SCORE": (0.0, 1.0),
    "MODEL.MASK.GATE.GROWTH": (1.0, 100.0),
    "FX.EVAL.BOOTSTRAPS": (0, 1_000_000),
    "FX.EVAL.CONFIDENCE": (0.5, 0.999),
    "FX.EVAL.FROC_IOU": (0.01, 0.99),
    "MODEL.MIN_BACKBONE": (0.0, 1.0),
}
_AT_LEAST = {
    "FX.CYCLE.COUNT": 1,
    "FX.CHECKPOINT_CYCLES": 1,
    "FX.CHECKPOINT_KEEP": 0,
    "FX.LOG_PERIOD": 1,
    "FX.HEARTBEAT_SECONDS": 0,
    "FX.NONFINITE.LIMIT": 0,
    "FX.EVAL.CYCLES": 0,
    "FX.EVAL.BATCH": 1,
    "FX.EVAL.OVERLAYS": 0,
    "FX.EVAL.AFTER_UNITS": 0,
    "FX.EVAL.AFTER_UNITS_IMAGES": 0,
    "FX.EVAL.REPORT_CASES": 0,
    "SOLVER.IMS_PER_BATCH": 1,
    "SOLVER.ACCUMULATE": 1,
    "SOLVER.BASE_LR": 0,
    "INPUT.SIZE": 1,
    "DATALOADER.NUM_WORKERS": 0,
    "DATALOADER.PREFETCH": 1,
}


def check_config(cfg: CfgNode) -> None:
    """Checks what single keys cannot: relations, choices, ranges, names. Needs the datasets registered.

    Raises:
        ValueError: one message that names the key and the fix.
    """
    check_inherited(cfg)
    for key, choices in _CHOICES.items():
        _check_choice(cfg, key, choices)
    for key, (low, high) in _RANGES.items():
        _check_range(cfg, key, low, high)
    for key, least in _AT_LEAST.items():
        if not _lookup(cfg, key) >= least:
            raise ValueError(f"{key} must be at least {least}, not {_lookup(cfg, key)!r}")
    if 0 < cfg.INPUT.READ_SIDE < cfg.INPUT.SIZE:
        raise ValueError(
            f"INPUT.READ_SIDE {cfg.INPUT.READ_SIDE} is below INPUT.SIZE {cfg.INPUT.SIZE}; raise it or set it to 0"
        )
    if cfg.FX.CYCLE.ORDER == "mixed" and cfg.FX.EVAL.AFTER_UNITS:
        raise ValueError("FX.CYCLE.ORDER mixed has no moment between units to score them; set FX.EVAL.AFTER_UNITS 0")
    _check_sampling(cfg)
    _check_deterministic(cfg)
    cycle_passes(cfg)
    units = cycle_units(cfg)
    if not units:
        raise ValueError("FX.CYCLE.UNITS is empty: name at least one unit, for instance ['node21/cls', 'node21/box']")
    for unit in units:
        metadata = unit_metadata(unit)
        if cfg.INPUT.FLIP[unit.task.upper()] > 0 and not metadata.flip:
            logger.warning("%s has left or right classes without a partner: its images are not flipped", unit)
    check_gate(cfg, units)
    _check_splits(cfg, units)
    _check_best(cfg, units)


def _check_sampling(cfg: CfgNode) -> None:
    """Now, and not at the first batch of boxes, perhaps hours later."""
    if cfg.MODEL.BOX.SAMPLING != "triton":
        return
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        raise ValueError(
            f"MODEL.BOX.SAMPLING triton needs MODEL.DEVICE cuda and a GPU, not {cfg.MODEL.DEVICE}; set it to plain"
        )
    if importlib.util.find_spec("triton") is None:
        raise ValueError("MODEL.BOX.SAMPLING triton needs the package triton (pip install triton); set it to plain")


def _check_deterministic(cfg: CfgNode) -> None:
    """What no run on a GPU can repeat to the last bit; on the CPU the key asks for nothing."""
    if not (cfg.FX.DETERMINISTIC and cfg.MODEL.DEVICE.startswith("cuda")):
        return
    if cfg.FX.COMPILE:
        raise ValueError("FX.DETERMINISTIC: compiled kernels are chosen by their speed in each run; set FX.COMPILE ''")
    if cfg.MODEL.BOX.SAMPLING == "plain" or importlib.util.find_spec("triton") is None:
        raise ValueError(
            "FX.DETERMINISTIC: the plain sampling of boxes adds in any order on a GPU; "
            "set MODEL.BOX.SAMPLING auto, and install the package triton (pip install triton)"
        )


def _check_splits(cfg: CfgNode, units: tuple[Unit, ...]) -> None:
    """At least one unit must have a split that is to be scored; a unit without it is named in the log later."""
    known = list(dict.fromkeys(split for unit in units for split in unit_metadata(unit).splits))
    wanted = {
        "FX.EVAL.SPLIT": cfg.FX.EVAL.SPLIT,
        "FX.EVAL.VAL_SPLIT": cfg.FX.EVAL.VAL_SPLIT if cfg.FX.EVAL.CYCLES or cfg.FX.EVAL.AFTER_UNITS else "",
    }
    for key, split in wanted.items():
        if split and split not in known:
            off = "FX.EVAL.CYCLES 0 with FX.EVAL.AFTER_UNITS 0" if key == "FX.EVAL.VAL_SPLIT" else "FX.EVAL.SPLIT ''"
            hint = nearest(split, known, "splits")
            raise ValueError(f"{key}: no unit of the cycle has a split {split!r} ({off} scores none); {hint}")


def _check_best(cfg: CfgNode, units: tuple[Unit, ...]) -> None:
    """``model/mean``, ``model/{dataset}/{task}/{metric}``: the model and the unit must exist.

    Whether the unit has the metric is seen when its images are read; see ``engine/build.py``.
    """
    model, _, rest = cfg.FX.EVAL.BEST.partition("/")
    unit = "/".join(rest.split("/")[:2])
    known = [*map(str, units)]
    fits = rest == "mean" or (unit in known and len(rest) > len(unit) + 1)
    if model not in ("student", "teacher") or not fits:
        valid = [f"{m}/{rest}" for m in ("student", "teacher") for rest in ("mean", *(f"{u}/METRIC" for u in known))]
        raise ValueError(
            f"FX.EVAL.BEST: {cfg.FX.EVAL.BEST!r} is not student|teacher followed by /mean or /dataset/task/metric of a "
            f"unit of the cycle; {nearest(cfg.FX.EVAL.BEST, valid, 'scores')}"
        )
