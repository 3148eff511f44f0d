#!/usr/bin/env python
"""Measures training steps, data, teacher, evaluation and prediction beside what one would do instead.

python tools/dev/benchmark.py --config-file configs/foundation_x_swin_b.yaml --precision bf16 --what step,ema

Steps run on random images: no dataset is needed. All cases of a table take turns within a round; ratios are medians
over the rounds. `--clock cpu` counts processor time, which other work on the machine disturbs less. The share is
the counted floating-point operations over seconds, divided by the rate of a large matrix product of the same rounds.
Tables that were measured, and on what: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import fx_d2  # isort: skip  # noqa: F401  (first: it sets how PyTorch's threads wait)
import torch

from benchmarking.options import Options
from benchmarking.report import DEFAULT, TABLES, heading, markdown, measure
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool


def parse_args() -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, default=4, help="images a step (default: %(default)s)")
    parser.add_argument("--what", default=DEFAULT, help="of " + ", ".join(TABLES) + " (default: %(default)s)")
    parser.add_argument("--kinds", default="", help="comma-separated, such as cls,box released (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch on the CPU; 0: its own choice")
    parser.add_argument(
        "--device-images-per-second", type=float, default=100, help="of the acted accelerator (default: %(default)s)"
    )
    parser.add_argument("--detections", type=int, default=300_000, help="of the COCO comparison")
    parser.add_argument(
        "--reference",
        default="plain,fast",
        help="parts of the published step, or none (default: %(default)s)",
    )
    parser.add_argument("--no-memory", action="store_true", help="measure no peaks")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.batch < 1 or args.repeats < 1:
        raise ValueError("--batch and --repeats are 1 at least")
    if args.json:
        open(args.json, "a", encoding="utf-8").close()  # one that cannot be written is found before any work
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.opts += ["MODEL.DEVICE", args.device, "SOLVER.AMP.ENABLED", str(args.precision == "bf16")]
    cfg = config_from_args(args)
    if cfg.MODEL.DEVICE != args.device:
        raise ValueError("--device cuda: PyTorch finds no GPU here")
    if cfg.SOLVER.AMP.ENABLED != (args.precision == "bf16"):
        raise ValueError("--precision bf16: this processor has no bfloat16 instructions")
    # In float32 all products and convolutions alike, and the product that they are compared with: PyTorch would round
    # the inputs of the convolutions alone.
    torch.backends.cudnn.allow_tf32 = False
    options = Options(
        batch=args.batch,
        repeats=args.repeats,
        clock=args.clock,
        kinds=tuple(filter(None, args.kinds.split(","))),
        reference=() if args.reference == "none" else tuple(args.reference.split(",")),
        memory=not args.no_memory,
        threads=args.threads,
        detections=args.detections,
        device_rate=args.device_images_per_second,
    )
    found = {"machine": heading(cfg, options), "tables": {}}
    print(", ".join(f"{key} {value}" for key, value in found["machine"].items()), end="\n\n")
    for title, rows in measure(cfg, options, args.what.split(",")):
        found["tables"][title] = rows
        print(markdown(title, rows), end="\n\n", flush=True)
        if args.json:  # after every table: an interrupted run keeps what it has
            Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_tool(main)
