"""Student and teacher from a configuration and a checkpoint; the files of the datasets need not be there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY

from ..checkpoint import safe_load
from ..config import cycle_units, split_name, unit_metadata
from ..data.catalog import register_datasets
from ..data.errors import DataError
from ..engine.checkpoint import FXCheckpointer
from ..modeling import FoundationX, ModelEMA
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit

logger = logging.getLogger(__name__)

MODELS = ("teacher", "student")


def load_networks(cfg) -> dict[str, FoundationX]:
    """The networks of a checkpoint by name, in evaluation mode on ``MODEL.DEVICE``.

    ``teacher`` is missing where the file holds none. Class names come from the checkpoint; a dataset's own files are
    read only where the checkpoint does not say what a head's outputs mean.

    Args:
        cfg: configuration with ``MODEL.WEIGHTS``; its ``FX.CYCLE.UNITS`` are built.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: ``MODEL.WEIGHTS`` is empty, the file cannot be used, or it lacks a part of the network: what would
            be left at random is named.
    """
    path = cfg.MODEL.WEIGHTS
    if not path:
        raise ValueError("MODEL.WEIGHTS is empty: name the checkpoint (MODEL.WEIGHTS output/model_best.pth)")
    if "://" not in path and not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint {path!r} not found: check MODEL.WEIGHTS")
    stored = _peek(path)
    classes = head_classes(cfg, stored)
    student = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg, classes=classes).to(cfg.MODEL.DEVICE)
    _refuse_gaps(student, stored.get("model"), path)
    teacher = ModelEMA(student).to(cfg.MODEL.DEVICE)
    FXCheckpointer(student, teacher).load(path, checkpointables=["teacher"])
    networks = {"student": student}
    if teacher.initialised:
        networks["teacher"] = teacher.model
    return {name: network.eval().requires_grad_(False) for name, network in networks.items()}


def _peek(path: str) -> Mapping:
    """What a file of ours says about itself; empty for formats that only the checkpointer reads."""
    if "://" in path or Path(path).suffix not in (".pth", ".pt"):
        return {}
    stored = safe_load(path)
    return stored if isinstance(stored, Mapping) and "model" in stored else {}


def head_classes(cfg, stored: Mapping) -> dict[Unit, UnitClasses]:
    """Classes of the cycle's units: as stored in the checkpoint, else as the datasets declare them.

    Raises:
        ValueError: neither says; the message tells which file is needed.
    """
    units = cycle_units(cfg)
    if not units:
        raise ValueError("FX.CYCLE.UNITS is empty: name the units that the weights were trained on")
    missing = _register(cfg)
    names, exclusive = stored.get("classes", {}), stored.get("exclusive")
    result = {}
    for unit in units:
        registered = split_name(unit, "train") in DatasetCatalog.list()
        if str(unit) not in names:
            if not registered and missing:
                raise DataError(f"the checkpoint does not name the classes of {unit}, and {missing}")
            metadata = unit_metadata(unit)
            result[unit] = UnitClasses(tuple(metadata.thing_classes), metadata.exclusive)
            continue
        classes = tuple(names[str(unit)])
        if exclusive is not None:
            one_holds = str(unit) in exclusive
        elif registered:
            one_holds = bool(unit_metadata(unit).exclusive)
        elif unit.task == "cls" and len(classes) > 1:
            raise DataError(
                f"this older checkpoint does not say whether the classes of {unit} exclude each other; make its "
                f"dataset file available ({missing})"
            )
        else:
            one_holds = False
        result[unit] = UnitClasses(classes, one_holds)
    return result


def _register(cfg) -> str:
    """Registers what can be registered; says what could not."""
    problems = []
    for file in cfg.DATASETS.FILES:
        try:
            register_datasets([file])
        except DataError as error:  # prediction needs names only, and the checkpoint has them
            logger.info("dataset file not used: %s", error)
            problems.append(str(error))
    register_datasets((), cfg.DATASETS.OPTIONS)
    return "; ".join(problems)


def _refuse_gaps(network: FoundationX, stored: Mapping | None, path: str) -> None:
    """A prediction from random weights would look like any other: refuses what the checkpointer only warns about."""
    if stored is None:
        return
    gaps = sorted(set(network.state_dict()) - {name.removeprefix("module.") for name in stored})
    if gaps:
        shown = ", ".join(gaps[:3]) + (f" and {len(gaps) - 3} more" if len(gaps) > 3 else "")
        raise ValueError(
            f"checkpoint {path!r} lacks {shown}: name only units it was trained on in FX.CYCLE.UNITS, and use the "
            "configuration of its run (config.yaml beside it)"
        )
