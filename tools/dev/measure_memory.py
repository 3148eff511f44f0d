#!/usr/bin/env python
"""Trains a tiny network for thousands of steps, with evaluation and checkpoints, and measures its memory.

    python tools/dev/measure_memory.py --steps 2000

Prints the resident memory every tenth of the run; exit code 1 if it grew by more than ``--allowed`` MB after the first
fifth.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import torch
from detectron2.engine import HookBase

from fx_d2 import get_fx_cfg
from fx_d2.engine.build import build_trainer, prepare
from fx_d2.phantoms import write_cohort


def resident_memory() -> float:
    """Of this process, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Memory(HookBase):
    def __init__(self, period: int) -> None:
        self.period, self.rows = period, []

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self.period == 0:
            self.rows.append((self.trainer.iter + 1, resident_memory()))
            print(f"step {self.rows[-1][0]:6d}   {self.rows[-1][1]:8.1f} MB", flush=True)


def tiny_config(root: Path, cycles: int):
    """Three units of the synthetic cohort, ten steps a cycle, everything of a real run switched on."""
    cfg = get_fx_cfg()
    cfg.merge_from_file(Path(__file__).parents[2] / "configs" / "phantom.yaml")
    passes = [{"train": "head", "images": 4}, {"train": "path", "images": 8}]
    values = {
        "DATASETS.FILES": [str(root / "phantoms" / "phantoms.yaml")],
        "MODEL.DEVICE": "cpu",
        "INPUT.SIZE": 32,
        "FX.CYCLE.UNITS": ["phantom_screen/cls", "phantom_heart/box", "phantom_heart/mask"],
        "FX.CYCLE.CLS": [{"images": 16}],
        "FX.CYCLE.BOX": passes,
        "FX.CYCLE.MASK": passes,
        "FX.CYCLE.COUNT": cycles,
        "FX.EVAL.CYCLES": 10,
        "FX.CHECKPOINT_CYCLES": 10,
        "SOLVER.IMS_PER_BATCH": 4,
        "DATALOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": str(root / "run"),
    }
    cfg.merge_from_list([item for pair in values.items() for item in pair])
    return cfg


def measure(steps: int) -> list[tuple[int, float]]:
    """(step, MB) ten times over the run."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_cohort(root, images={"train": 12, "val": 4, "test": 4}, size=64)
        cfg = tiny_config(root, max(1, steps // 10))
        prepare(cfg)
        trainer = build_trainer(cfg, resume=False)
        memory = Memory(max(1, trainer.max_iter // 10))
        trainer.register_hooks([memory])
        trainer.train(0, trainer.max_iter)
    return memory.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--allowed", type=float, default=20.0, help="growth in MB that passes")
    args = parser.parse_args()
    rows = measure(args.steps)
    growth = rows[-1][1] - rows[1][1]
    print(f"growth from step {rows[1][0]} to {rows[-1][0]}: {growth:+.1f} MB")
    sys.exit(growth > args.allowed)


if __name__ == "__main__":
    main()
