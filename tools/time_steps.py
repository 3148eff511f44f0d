#!/usr/bin/env python
"""Times one training step of each kind on random images: seconds and peak memory of a process that does only this.

python tools/time_steps.py --config-file configs/foundation_x_swin_b.yaml --batch 4
"""

from __future__ import annotations

import fx_d2  # isort: skip  # noqa: F401  (first: it sets how PyTorch's threads wait)
import multiprocessing
import resource
import time

import torch
from detectron2.structures import Boxes, Instances
from tabulate import tabulate

from fx_d2.config import cycle_units
from fx_d2.engine.build import build_networks, build_precision, prepare
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import build_optimizer
from fx_d2.schedule import Unit
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool

REPEATS = 3


def random_batch(cfg, unit: Unit, classes: int, count: int) -> list[dict]:
    """Noise with truth of the unit's kind: random labels, three boxes an image, random masks."""
    size, batch = cfg.INPUT.SIZE, []
    for _ in range(count):
        low = torch.rand(3, 2) * size / 2
        instances = Instances((size, size), gt_boxes=Boxes(torch.cat([low, low + size / 4], 1)))
        instances.gt_classes = torch.randint(0, classes, (3,))
        truth = {
            "cls": {"labels": torch.nn.functional.one_hot(torch.randint(0, classes, ()), classes).float()},
            "box": {"instances": instances},
            "mask": {"masks": torch.randint(0, 2, (classes, size, size), dtype=torch.uint8)},
        }[unit.task]
        image = torch.randint(0, 256, (1, size, size), dtype=torch.uint8)
        batch.append({"image": image, "unit": str(unit), "height": size, "width": size, **truth})
    return batch


def measure(args, unit: Unit, train: str) -> tuple[float, float]:
    """Median seconds of a step and peak memory in GiB (of the GPU, or resident on the CPU)."""
    cfg = config_from_args(args)
    prepare(cfg)
    student, teacher = build_networks(cfg)
    teacher.copy_from(student)
    optimizer, precision = build_optimizer(cfg, student), build_precision(cfg)
    apply_lock(student, student.parts(unit, train))
    batch = random_batch(cfg, unit, len(student.classes[unit].names), args.batch)
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        with precision.autocast():
            targets = teacher.model.consistency_features(batch) if train == "path" else None
            loss = sum(student(batch, teacher=targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if student.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    if student.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return sorted(seconds[1:])[REPEATS // 2], peak  # the first step also allocates


def main() -> None:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--batch", type=int, default=4, help="images per step")
    args = parser.parse_args()
    units = {unit.task: unit for unit in cycle_units(config_from_args(args))}
    rows = []
    for task, unit in units.items():
        for train in ("head", "path"):
            # A fresh process for each: peak memory is counted from the start of a process.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, peak = pool.apply(measure, (args, unit, train))
            rows.append((task, "locked" if train == "head" else "released", f"{seconds:.2f}", f"{peak:.2f}"))
    print(tabulate(rows, ("task", "pass", "seconds a step", "peak memory, GiB"), disable_numparse=True))


if __name__ == "__main__":
    run_tool(main)
