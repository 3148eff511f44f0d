#!/usr/bin/env python
"""Computes a step again whose loss or gradient was not finite, from the file that the run kept of it.

    python tools/dev/replay_batch.py --config-file output/config.yaml output/nonfinite/iteration_0000123_process_0.pth

Prints the losses, the first module whose output is not finite, and the gradients that are not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fx_d2.checkpoint import safe_load
from fx_d2.config import cycle_units
from fx_d2.engine.build import build_networks, prepare
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.nonfinite import unpack_entry
from fx_d2.engine.trainer import seed_step
from fx_d2.schedule import Unit
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool


def replay(cfg, stored: dict) -> dict:
    """-> ``losses``, ``module`` (name of the first with an output that is not finite, or None), ``gradients``."""
    unit = Unit.parse(stored["unit"])
    if unit not in cycle_units(cfg):
        raise ValueError(f"the batch is of {unit}, which is not in FX.CYCLE.UNITS of the configuration")
    student, teacher = build_networks(cfg)
    student.load_state_dict(stored["model"])
    teacher.load_state_dict(stored["teacher"])
    apply_lock(student, student.trainable_parts(unit, stored["train"]), cfg.FX.REFERENCE_LOCK)
    batch = [unpack_entry(entry) for entry in stored["batch"]]
    faults: list[str] = []
    for name, module in student.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: _note(name, output, faults))
    # The noise of the step, where it was computed by one process.
    seed_step(cfg.SEED, stored["iteration"])
    targets = teacher.model.consistency_features(batch) if stored["train"] == "path" else None
    losses = student(batch, teacher=targets)
    sum(losses.values()).backward()
    bad = [name for name, p in student.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    return {"losses": {n: v.item() for n, v in losses.items()}, "module": (faults or [None])[0], "gradients": bad}


def _note(name: str, output, faults: list[str]) -> None:
    tensors: list[Tensor] = [output] if isinstance(output, Tensor) else []
    if isinstance(output, tuple | list):
        tensors = [value for value in output if isinstance(value, Tensor)]
    if any(t.is_floating_point() and t.isnan().any() for t in tensors):
        faults.append(name)


def main() -> None:
    parser = config_argument_parser(__doc__)
    parser.add_argument("batch", help="file in OUTPUT_DIR/nonfinite")
    args = parser.parse_args()
    cfg = config_from_args(args)
    stored = safe_load(args.batch)
    prepare(cfg)
    found = replay(cfg, stored)
    print(f"iteration {stored['iteration']}, {stored['unit']}, images:", *stored["files"], sep="\n  ")
    print("losses then:", stored["losses"], "\nlosses now: ", found["losses"])
    print("first module with a NaN:", found["module"])
    print("gradients that are not finite:", *(found["gradients"] or ["none"]), sep="\n  ")


if __name__ == "__main__":
    run_tool(main)
