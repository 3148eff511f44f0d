#!/usr/bin/env python
"""Counts what a training step needs, and prints which batch fits into 8, 16, 24 and 80 GB with which settings.

python tools/dev/plan_memory.py --config-file configs/foundation_x_swin_b.yaml --json counts.json

Runs each kind of step on the CPU, some minutes for Swin-B, in float32 and with bfloat16 autocast (products in float32,
tensors in the types of a GPU), with and without CHECKPOINT, and counts the bytes that live at once. --from FILE prints
the tables of an earlier count. What is assumed stands in the first line. --measure B measures the peaks of steps of B
images instead, on MODEL.DEVICE and in the configuration's precision.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path

from benchmarking.fitting import CONTEXT_BYTES, FRAGMENTATION, GIB, Network, cheapest_setting, largest_batch
from benchmarking.footprint import Transient, count_transient, count_work
from benchmarking.peaks import measured_peaks
from benchmarking.report import markdown
from benchmarking.steps import Bench, kinds
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool

CARDS = (8, 16, 24, 80)
PRECISIONS = {"float32": False, "bfloat16": True}
CHECKPOINTS = {"": False, "SWIN and BOX": True}
logger = logging.getLogger("fx_d2.plan_memory")


def parse_args() -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--from", dest="earlier", metavar="FILE", help="an earlier --json instead of counting")
    parser.add_argument("--json", metavar="FILE", help="write the counts there")
    parser.add_argument("--measure", type=int, default=0, metavar="B", help="measure steps of B images, count nothing")
    parser.add_argument("--batch", type=int, default=24, help="the batch to fit (default: %(default)s)")
    parser.add_argument("--gib", default=",".join(map(str, CARDS)), help="sizes of cards (default: %(default)s)")
    return parser.parse_args()


def count(cfg) -> dict:
    """``parameters``, ``work`` by kind and ``bytes`` by precision, recomputation and kind."""
    found: dict = {"parameters": 0, "work": {}, "bytes": {}}
    for precision, enabled in PRECISIONS.items():
        for checkpoint, again in CHECKPOINTS.items():
            local = cfg.clone()
            local.defrost()
            local.merge_from_list(["MODEL.DEVICE", "cpu", "SOLVER.AMP.ENABLED", enabled])
            local.merge_from_list(["MODEL.SWIN.CHECKPOINT", again, "MODEL.BOX.CHECKPOINT", again])
            bench = Bench(local, 1)
            found["parameters"] = sum(p.numel() for p in bench.student.parameters())
            rows = found["bytes"].setdefault(precision, {}).setdefault(checkpoint, {})
            for kind in kinds(local):
                if not enabled and not again:
                    found["work"][str(kind)] = asdict(count_work(bench, kind))
                rows[str(kind)] = asdict(count_transient(bench, kind))
                logger.info("%s %s %s: %s", precision, checkpoint or "nothing recomputed", kind, rows[str(kind)])
    return found


def read_counts(path: Path) -> dict:
    """
    Raises:
        ValueError: the file is none that ``--json`` has written. OSError: it cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"parameters", "work", "bytes"} <= found.keys():
        raise ValueError(f"--from: {path} is no file of plan_memory.py --json")
    return found


def tables(found: dict, cards: list[float], batch: int) -> str:
    """Bytes by kind, the largest batches, and the settings for one batch."""
    network = Network(found["parameters"], {kind: work["trained"] for kind, work in found["work"].items()})
    parts, batches, settings = [], [], []
    for precision, by_checkpoint in found["bytes"].items():
        transients = {c: {k: Transient(**t) for k, t in rows.items()} for c, rows in by_checkpoint.items()}
        for checkpoint, rows in transients.items():
            where = {"precision": precision, "CHECKPOINT": checkpoint or "off"}
            for kind, transient in rows.items():
                resident, grown = network.resident(kind), transient.bytes(batch)
                parts.append(
                    {"kind": kind}
                    | where
                    | {
                        "weights, moments, gradients (GiB)": resident / GIB,
                        "MiB an image": transient.per_image / 2**20,
                        f"GiB at {batch}": (resident + grown) / GIB,
                    }
                )
                fits = {f"{gib:g} GiB": largest_batch(gib, resident, transient) for gib in cards}
                batches.append({"kind": kind} | where | fits)
        row = {f"{gib:g} GiB": str(cheapest_setting(batch, gib, network, transients)) for gib in cards}
        settings.append({"precision": precision} | row)
    return "\n\n".join(
        [
            markdown("Bytes of a step", parts),
            markdown("Largest batch that fits at once", batches),
            markdown(f"Settings with which a batch of {batch} of every kind fits", settings),
        ]
    )


def measure(cfg, batch: int) -> str:
    """A table of measured peaks; each row is logged as soon as it is there."""
    rows = []
    for row in measured_peaks(cfg, batch):
        logger.info("%s", row)
        rows.append(row)
    return markdown("Measured peak of a step", rows)


def main() -> None:
    args = parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.measure:
        print(measure(config_from_args(args), args.measure))
        return
    found = read_counts(Path(args.earlier)) if args.earlier else count(config_from_args(args))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"counted on the CPU; ASSUMED: {CONTEXT_BYTES / GIB:g} GiB for CUDA's context and libraries, "
        f"{FRAGMENTATION:.0%} of the rest lost to fragmentation; one process, AdamW's moments of all units\n"
    )
    print(tables(found, [float(gib) for gib in args.gib.split(",")], args.batch))


if __name__ == "__main__":
    run_tool(main)
