"""All measurements of a run, as numbers and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import torch
from tabulate import tabulate

from .clock import check_clock
from .cycle import cycle_rows
from .evaluating import evaluator_rows, share_rows
from .kernels import kernel_rows
from .launches import launch_rows
from .loading import data_rows, stage_rows, unit_rows, worker_rows
from .machine import describe
from .options import Options
from .others import backbone_rows, ema_rows, inference_rows
from .processes import process_rows
from .recordings import recording_rows
from .sampling import sampling_rows
from .scoring import coco_rows, finding_rows
from .steps import kinds
from .training import step_rows

Tables = dict[str, Callable[..., list[dict]]]
_TRAINING: Tables = {"Training step beside the published one, of plain parts and of our fast ones": step_rows}
_BACKBONE: Tables = {"Backbone, forward and backward": backbone_rows}
_SAMPLING: Tables = {"Deformable sampling of one layer, forward and backward": sampling_rows}
# --what, the tables that it stands for, and what each is about
TABLES: dict[str, Tables] = {
    "step": _TRAINING | _BACKBONE | _SAMPLING,
    "data": {
        "Mapping a training image on one core, ms": unit_rows,
        "Stages of mapping, ms": stage_rows,
        "One worker process": worker_rows,
        "A cycle for an acted accelerator": cycle_rows,
        "Reading JPEG 2000 DICOM files of 2500 x 2500": data_rows,
    },
    "ema": {"Average of the whole network": ema_rows},
    "eval": {
        "Evaluators, both models": evaluator_rows,
        "Evaluation of all units beside a cycle of training": share_rows,
        "COCO precision": coco_rows,
        "Findings of 25,596 images, 14 classes": finding_rows,
    },
    "infer": {"Prediction": inference_rows},
    "processes": {"Training step of two processes, beside gradients of all parameters": process_rows},
}
# Everything; the tables of a step can be had one by one, too.
DEFAULT = ",".join(TABLES)
TABLES |= {"training": _TRAINING, "backbone": _BACKBONE, "sampling": _SAMPLING}
TABLES |= {"launches": {"Launches and bytes of a training step in bfloat16 on a GPU, counted": launch_rows}}
TABLES |= {"kernels": {"Kernels of a training step, shares of their time": kernel_rows}}
TABLES |= {"recordings": {"Recordings of all passes of a cycle": recording_rows}}
_COLUMNS = ("kind", "case", "task", "plain: times as fast", "fast: times as fast", "times as fast")
_COLUMNS += ("plain: share of its memory", "fast: share of its memory", "share")


def measure(cfg, options: Options, what: list[str]) -> Iterator[tuple[str, list[dict]]]:
    """Title and rows of each table, as soon as it is done.

    Raises:
        ValueError: an entry of ``what`` or of the kinds, or the clock is unknown.
    """
    for name in what:
        if name not in TABLES:
            raise ValueError(f"--what: {name!r} is none of {', '.join(TABLES)}")
    known = [str(kind) for kind in kinds(cfg)]
    for beginning in options.kinds:
        if not any(name.startswith(beginning) for name in known):
            raise ValueError(f"--kinds: none of {', '.join(known)} begins with {beginning!r}")
    check_clock(options.clock, torch.device(cfg.MODEL.DEVICE))
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in what:
        for title, rows in TABLES[name].items():
            if found := rows(cfg, options):
                yield title, found


def heading(cfg, options: Options) -> dict[str, str]:
    """Machine, date and settings."""
    precision = cfg.SOLVER.AMP.DTYPE if cfg.SOLVER.AMP.ENABLED else "float32"
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        **describe(torch.device(cfg.MODEL.DEVICE)),
        "precision": precision,
        "batch": str(options.batch),
        "repeats": str(options.repeats),
        "clock": options.clock,
    }


def markdown(title: str, rows: list[dict]) -> str:
    """A table with the ratios first."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in _COLUMNS if name in names] + [name for name in names if name not in _COLUMNS]
    cells = [[_cell(row.get(name, "")) for name in names] for row in rows]
    return f"### {title}\n\n" + tabulate(cells, names, tablefmt="github", disable_numparse=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "" if value is None else str(value)
