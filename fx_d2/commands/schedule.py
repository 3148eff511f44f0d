"""Prints the plan of a run before a second of training: units, passes, what trains, iterations, learning rates.

fx-d2 schedule --config-file configs/phantom.yaml
"""

from __future__ import annotations

from tabulate import tabulate

from fx_d2.engine.build import build_networks, build_schedule, prepare
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import lr_factor
from fx_d2.tooling import config_argument_parser, config_from_args

HEADERS = ("unit", "pass", "images", "steps", "iterations", "trains", "(M)", "locked", "(M)", "lr start", "lr end")


def plan(cfg) -> str:
    """The first cycle pass by pass, then the whole run in one line."""
    schedule = build_schedule(cfg)
    model, _ = build_networks(cfg)
    solver, total = cfg.SOLVER, len(schedule)

    def lr(iteration: int) -> float:
        return solver.BASE_LR * lr_factor(iteration, total, solver.WARMUP_FRACTION, solver.WARMUP_FACTOR)

    rows, begin = [], 0
    for scheduled in schedule.passes:
        report = apply_lock(model, model.trainable_parts(scheduled.unit, scheduled.plan.train))
        end = begin + scheduled.steps - 1
        rows.append(
            (
                str(scheduled.unit),
                "locked" if scheduled.locked else "released",
                scheduled.images,
                scheduled.steps,
                f"{begin}-{end}",
                report.trained_tensors,
                f"{report.trained_parameters / 1e6:.2f}",
                report.locked_tensors,
                f"{report.locked_parameters / 1e6:.2f}",
                f"{lr(begin):.1e}",
                f"{lr(end):.1e}",
            )
        )
        begin = end + 1
    summary = (
        f"{schedule.cycles} cycles of {schedule.cycle_length} iterations = {total} iterations, "
        f"batch {schedule.batch_size}; "
        f"learning rate {lr(0):.1e} at the start, {solver.BASE_LR:.1e} after {round(solver.WARMUP_FRACTION * total)} "
        f"iterations, {lr(total - 1):.1e} at the end; the backbone's is {solver.BACKBONE_MULTIPLIER:g} times that"
    )
    return f"cycle 1 of {schedule.cycles}\n{tabulate(rows, HEADERS)}\n{summary}"


def main() -> None:
    cfg = config_from_args(config_argument_parser(__doc__).parse_args())
    prepare(cfg)
    print(plan(cfg))
