"""What the command-line tools share: ``--config-file`` and trailing KEY VALUE pairs."""

from __future__ import annotations

import argparse

import torch
from detectron2.config import CfgNode

from .config import get_fx_cfg


def config_argument_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="", metavar="FILE", help="path to a configuration file")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that override the configuration")
    return parser


def config_from_args(args: argparse.Namespace) -> CfgNode:
    """Defaults, then the file, then the pairs. ``MODEL.DEVICE cuda`` falls back to the CPU where there is no GPU."""
    cfg = get_fx_cfg()
    if args.config_file:
        cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return cfg
