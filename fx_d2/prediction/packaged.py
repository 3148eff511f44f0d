"""The weights that come with the package: trained on synthetic radiographs alone (docs/weights.md)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode

from ..checkpoint.files import find_weights, read_weights
from ..config import get_fx_cfg
from ..device import resolve_device
from ..tooling import config_from_args


def packaged_config(pairs: Sequence[Any] = ()) -> CfgNode:
    """The configuration of these weights, with them as ``MODEL.WEIGHTS``, for any machine; ``pairs``: KEY VALUE ...

    Raises:
        FileNotFoundError: this installation has no weights.
        ValueError: a key or value is wrong.
    """
    try:
        file = find_weights("packaged")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}: name a configuration with --config-file, and MODEL.WEIGHTS") from None
    cfg, defaults = get_fx_cfg(), get_fx_cfg()
    cfg.merge_from_text(read_weights(file).config, str(file))
    cfg.MODEL.DEVICE, cfg.SOLVER.AMP = defaults.MODEL.DEVICE, defaults.SOLVER.AMP  # not those of the training
    cfg.MODEL.WEIGHTS = str(file)
    cfg.merge_from_list(list(pairs))
    return cfg


def config_or_packaged(args: argparse.Namespace) -> CfgNode:
    """As :func:`config_from_args`; that of the package's weights where neither configuration nor weights are named."""
    if args.config_file or "MODEL.WEIGHTS" in args.opts:
        return config_from_args(args)
    cfg = packaged_config(args.opts)
    resolve_device(cfg)
    cfg.freeze()
    return cfg
