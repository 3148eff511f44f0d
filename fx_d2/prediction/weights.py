"""Student and teacher from a configuration and a checkpoint; the files of the datasets need not be there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY

from ..checkpoint import read_weights
from ..checkpoint.load import check_classes, fill, shorten
from ..checkpoint.report import MISSING
from ..config import cycle_units, split_name, unit_metadata
from ..data.catalog import register_datasets
from ..data.errors import DataError
from ..modeling import FoundationX
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit

logger = logging.getLogger(__name__)

MODELS = ("teacher", "student")


def load_networks(cfg) -> dict[str, FoundationX]:
    """The networks of a checkpoint by name, in evaluation mode on ``MODEL.DEVICE``.

    Checkpoints of a run, exports (safetensors) and published weights are read alike; ``teacher`` or ``student`` is
    missing where the file holds none. Class names come from the file; a dataset's own files are read only where it does
    not say what a head's outputs mean.

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
    try:
        file = read_weights(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}: check MODEL.WEIGHTS") from None
    classes = head_classes(cfg, file.classes, file.exclusive)
    networks = {}
    for part, name in zip(file.states, file.networks, strict=True):
        network = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg, classes=classes)
        check_classes(file, network)
        gaps = fill(file, network, part).names(MISSING)
        if gaps:
            # A prediction from random weights would look like any other.
            raise ValueError(
                f"checkpoint {path!r} lacks {shorten(gaps, 3)}: name only units it was trained on in FX.CYCLE.UNITS, "
                "and use the configuration of its run (config.yaml beside it)"
            )
        networks[name] = network.to(cfg.MODEL.DEVICE).eval().requires_grad_(False)
        network.notice = file.notice
    return networks


def head_classes(cfg, names: Mapping[str, Sequence[str]], exclusive: Sequence[str] | None) -> dict[Unit, UnitClasses]:
    """Classes of the cycle's units: as stored with the weights, else as the datasets declare them.

    Args:
        names: stored class names by unit. exclusive: stored units with exclusive classes, None if not stored.

    Raises:
        ValueError: neither says; the message tells which file is needed.
    """
    units = cycle_units(cfg)
    if not units:
        raise ValueError("FX.CYCLE.UNITS is empty: name the units that the weights were trained on")
    missing = _register(cfg)
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
