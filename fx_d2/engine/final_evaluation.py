"""The evaluation that ends a run: results, overlays, the report and the model card in the output folder."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from detectron2.utils import comm
from detectron2.utils.events import EventStorage, JSONWriter

from ..config import cycle_units, unit_metadata
from ..evaluation.results import flatten, results_table
from ..modeling import FoundationX, ModelEMA
from ..report.report import write_report
from ..visualization.overlays import write_overlays
from .evaluate import Cases, Results, evaluate_fully
from .hooks.run_record import begin_session, count_images, end_session
from .precision import Precision

logger = logging.getLogger(__name__)


def evaluate_and_report(
    cfg, student: FoundationX, teacher: ModelEMA, precision: Precision, iteration: int | None = None
) -> Results:
    """Scores ``FX.EVAL.SPLIT`` and fills the output folder. A teacher that was never initialised is left out.

    Without a split nothing is scored; the report then shows the training alone.

    Args:
        iteration: where the run stands; its metrics are appended to metrics.json under it. None: not appended.
    """
    main = comm.is_main_process()
    if main and iteration is None:
        begin_session(cfg.OUTPUT_DIR, "evaluation", cfg.MODEL.DEVICE, None, None)
    if not cfg.FX.EVAL.SPLIT:
        if main:
            logger.info("report: %s", write_report(cfg.OUTPUT_DIR, cfg).resolve())
        comm.synchronize()
        return {}
    models = {"student": student}
    if teacher.initialised:
        models["teacher"] = teacher.model
    else:
        logger.warning("the weights hold no teacher: only the student is evaluated")
    results, cases = evaluate_fully(cfg, models, cycle_units(cfg), precision, cfg.FX.EVAL.OVERLAYS)
    if main:
        _write(cfg, results, cases, iteration)
    comm.synchronize()
    return results


def _write(cfg, results: Results, cases: Cases, iteration: int | None) -> None:
    folder, units = Path(cfg.OUTPUT_DIR), cycle_units(cfg)
    if iteration is not None:
        with EventStorage(iteration) as storage:
            scalars = {key: value for key, value in flatten(results).items() if value is not None}
            storage.put_scalars(**scalars, smoothing_hint=False)
            JSONWriter(str(folder / "metrics.json")).write()
    shutil.rmtree(folder / "overlays", ignore_errors=True)  # those of an earlier evaluation
    for unit, pairs in cases.items():
        name = f"{unit.dataset}_{unit.task}"
        write_overlays(pairs, unit_metadata(unit), folder / "overlays", prefix=name)
    count_images(folder, units, [cfg.FX.EVAL.VAL_SPLIT, cfg.FX.EVAL.SPLIT])
    end_session(folder)
    # Before the report: its failure must not hide what took the time.
    logger.info("results on the %s split\n%s", cfg.FX.EVAL.SPLIT, results_table(results))
    logger.info("report: %s", write_report(folder, cfg).resolve())
