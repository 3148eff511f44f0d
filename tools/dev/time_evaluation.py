#!/usr/bin/env python
r"""Times the evaluators on random predictions of the size of published test sets. Numbers: docs/metrics.md.

    OMP_NUM_THREADS=1 python tools/dev/time_evaluation.py findings --images 25596 --classes 14
    OMP_NUM_THREADS=1 python tools/dev/time_evaluation.py boxes --images 3000 --classes 14 --detections 300000
    OMP_NUM_THREADS=1 python tools/dev/time_evaluation.py masks --images 20 --classes 3 --side 1024

Processor seconds, which other work on the machine disturbs less than the clock.
"""

from __future__ import annotations

import argparse
import logging
import resource
import time
from collections.abc import Callable

import numpy as np
from tabulate import tabulate

from benchmarking.scoring import box_table, finding_table, mask_table
from fx_d2.evaluation import coco
from fx_d2.evaluation.detections import region_sets, score_boxes
from fx_d2.evaluation.findings import score_findings
from fx_d2.evaluation.segmentations import measure_table, score_masks
from fx_d2.evaluation.tables import Options

Row = tuple[str, float]


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def time_findings(args: argparse.Namespace, rng: np.random.Generator) -> list[Row]:
    table = finding_table(args.images, args.classes, rng)
    return [
        ("AUROC and AP, no interval", seconds(lambda: score_findings(table))),
        ("all, DeLong only", seconds(lambda: score_findings(table, Options(bootstraps=0)))),
        ("all, 1,000 bootstraps", seconds(lambda: score_findings(table, Options()))),
    ]


def time_boxes(args: argparse.Namespace, rng: np.random.Generator) -> list[Row]:
    table = box_table(args.images, args.classes, args.detections, rng)
    sets, rows, results = region_sets(table), [], []
    for name in coco.BACK_ENDS:
        rows.append((f"COCO AP, four sizes, {name}", seconds(lambda n=name: results.append(_precision(args, sets, n)))))
    assert np.array_equal(*results), "the back ends differ"
    rows.append(("all, no bootstrap", seconds(lambda: score_boxes(table, Options(bootstraps=0)))))
    return [*rows, ("all, 1,000 bootstraps", seconds(lambda: score_boxes(table, Options())))]


def _precision(args: argparse.Namespace, sets, name: str) -> np.ndarray:
    return coco.precision(*sets, args.images, args.classes, list(coco.AREAS), name)


def time_masks(args: argparse.Namespace, rng: np.random.Generator) -> list[Row]:
    table = mask_table(args.images, args.classes, args.side, rng)
    times, measures = [], []
    for name, distances in (("overlap of stored masks", False), ("the same and surface distances, px and mm", True)):
        options = Options(distances=distances)
        times.append((name, seconds(lambda o=options: measures.append(measure_table(table, o)))))
    scored = seconds(lambda: score_masks(measures[1], table.classes, Options()))
    return [*times, ("scores and 1,000 bootstraps", scored)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("findings", "boxes", "masks"))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--detections", type=int, default=100_000, help="boxes only")
    parser.add_argument("--side", type=int, default=512, help="masks only, pixels")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    timers = {"findings": time_findings, "boxes": time_boxes, "masks": time_masks}
    rows = timers[args.what](args, np.random.default_rng(0))
    print(tabulate(rows, ["", "seconds"], floatfmt=".2f"))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
