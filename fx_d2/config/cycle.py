"""What a configuration says of the cycle: its units, their passes, and the metadata of a unit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..schedule import TASKS, Pass, Unit

# What FX.FINETUNE trains, as a pass says it.
FINETUNE = {"full": "path", "head": "head", "backbone": "backbone"}
# When boxes gate masks (MODEL.MASK.GATE.WHEN).
GATES = ("off", "train", "always")


def cycle_units(cfg: CfgNode) -> tuple[Unit, ...]:
    """The units of ``FX.CYCLE.UNITS`` in order."""
    return tuple(Unit.parse(text) for text in cfg.FX.CYCLE.UNITS)


def cycle_passes(cfg: CfgNode) -> dict[str, tuple[Pass, ...]]:
    """The passes of each task, parsed and checked."""
    if cfg.FX.FINETUNE:
        if cfg.FX.FINETUNE not in FINETUNE:
            raise ValueError(f"FX.FINETUNE must be one of {', '.join(FINETUNE)}, or empty, not {cfg.FX.FINETUNE!r}")
        return {task: (Pass(train=FINETUNE[cfg.FX.FINETUNE]),) for task in TASKS}
    passes = {}
    for task in TASKS:
        key = f"FX.CYCLE.{task.upper()}"
        try:
            passes[task] = tuple(Pass.from_dict(record) for record in cfg.FX.CYCLE[task.upper()])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{key}: {error}") from None
    return passes


def check_gate(cfg: CfgNode, units: Iterable[Unit]) -> None:
    """Raises ValueError where boxes are to gate the masks of a dataset that has no box unit among ``units``."""
    units, when = set(units), cfg.MODEL.MASK.GATE.WHEN
    if when not in GATES:
        raise ValueError(f"MODEL.MASK.GATE.WHEN must be one of {', '.join(GATES)}, not {when!r}")
    alone = sorted(unit for unit in units if unit.task == "mask" and Unit(unit.dataset, "box") not in units)
    if alone and when != "off":
        boxes = ", ".join(f"{unit.dataset}/box" for unit in alone)
        raise ValueError(
            f"MODEL.MASK.GATE.WHEN {when} needs boxes of the same dataset; {', '.join(map(str, alone))} has none in "
            f"the cycle: add {boxes} to FX.CYCLE.UNITS, or set MODEL.MASK.GATE.WHEN off"
        )


def split_name(unit: Unit, split: str) -> str:
    """Name of a unit's split in Detectron2's catalogs, ``{dataset}_{task}_{split}``."""
    return f"{unit.dataset}_{unit.task}_{split}"


def unit_of_split(name: str, units: Sequence[Unit]) -> Unit | None:
    """The unit among ``units`` that a name of :func:`split_name` belongs to."""
    unit_name = name.rpartition("_")[0]
    return next((unit for unit in units if f"{unit.dataset}_{unit.task}" == unit_name), None)


def unit_metadata(unit: Unit):
    """Detectron2 metadata of a unit: ``thing_classes``, ``exclusive``, ``lateral_pairs``, ``splits``, ``unit``.

    Raises:
        ValueError: the unit is not registered; the message lists the units that are.
    """
    name = split_name(unit, "train")
    if name not in DatasetCatalog.list():
        known = sorted(
            {MetadataCatalog.get(n).unit for n in DatasetCatalog.list() if MetadataCatalog.get(n).get("unit")}
        )
        close = difflib.get_close_matches(str(unit), known, n=1)
        raise ValueError(
            f"unknown unit {str(unit)!r}"
            + (f", did you mean {close[0]!r}?" if close else "")
            + f" Registered units: {', '.join(known) or 'none (list your dataset files in DATASETS.FILES)'}"
        )
    return MetadataCatalog.get(name)
