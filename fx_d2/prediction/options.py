"""What people name (a configuration, a network, units) -> what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode

from ..config import get_fx_cfg
from ..data.errors import nearest
from ..device import resolve_device
from ..modeling import FoundationX
from ..schedule import Unit
from .weights import MODELS


def read_config(config: str | Path | CfgNode, weights: str | Path = "") -> CfgNode:
    """A configuration, from a file where it is none yet, with other weights and fitted to this machine."""
    if isinstance(config, CfgNode):
        cfg = config.clone()
        cfg.defrost()
    else:
        cfg = get_fx_cfg()
        cfg.merge_from_file(str(config))
    if weights:
        cfg.MODEL.WEIGHTS = str(weights)
    resolve_device(cfg)
    cfg.freeze()
    return cfg


def choose_network(networks: Mapping[str, FoundationX], model: str = "auto") -> tuple[str, FoundationX]:
    """A network of a checkpoint and its name.

    Args:
        model: ``teacher``, ``student``, or ``auto``: the teacher, or what there is where a file holds one network only.

    Raises:
        ValueError: another name, or the file does not hold it.
    """
    if model not in ("auto", *MODELS):
        raise ValueError(f"model must be one of auto, {', '.join(MODELS)}, not {model!r}")
    if model == "auto":
        model = next(name for name in MODELS if name in networks)
    if model not in networks:
        raise ValueError(f"the checkpoint holds no {model}; it has: {', '.join(networks)}")
    return model, networks[model]


def parse_units(units: str | Sequence[str], known: Sequence[Unit]) -> list[Unit]:
    """``all``, ``a/cls,b/box`` or a list of such names -> units of a network, each once.

    Raises:
        ValueError: a unit is not of the network; the message names the nearest.
    """
    names = [name.strip() for name in units.split(",")] if isinstance(units, str) else [str(unit) for unit in units]
    if names == ["all"]:
        return list(known)
    for name in names:
        if Unit.parse(name) not in known:
            raise ValueError(f"the network has no unit {name!r}; {nearest(name, map(str, known), 'units')}")
    if not names:
        raise ValueError("no unit is named")
    return [Unit.parse(name) for name in dict.fromkeys(names)]
