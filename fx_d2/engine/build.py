"""Assembles a run, top to bottom. Read this first.

datasets -> schedule -> network -> optimizer -> teacher -> trainer -> checkpointer -> hooks
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from detectron2.engine import HookBase, hooks
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventWriter

from ..checkpoint import load_configured
from ..config import cycle_passes, cycle_units
from ..config.check import check_config
from ..data.catalog import register_datasets
from ..data.loader import build_train_loader, check_shares, training_records
from ..modeling import FoundationX, ModelEMA
from ..schedule import CycleSchedule, Unit
from .capture import build_graphs
from .checkpoint import FXCheckpointer
from .compilation import compile_configured
from .evaluate import Results, evaluate
from .hooks import (
    BestCheckpoint,
    Evaluation,
    Heartbeat,
    LearningRate,
    LockRelease,
    ProgressPrinter,
    RunRecord,
    SaveCheckpoint,
    TeacherEMA,
    UnitScores,
)
from .metrics_file import BoardWriter, MetricsFile, RunLog
from .nonfinite import NonfinitePolicy
from .optimizer import build_optimizer
from .output_folder import archive_run, check_writable
from .precision import Precision
from .preemption import Preempted
from .preflight import check_evaluation, check_locks
from .processes import broadcast_weights
from .provenance import describe_run
from .step_graphs import Parts
from .trainer import CyclicTrainer
from .wandb_writer import WandbWriter

logger = logging.getLogger(__name__)


def prepare(cfg) -> None:
    """Registers the datasets of a configuration and checks it, before any work.

    Raises:
        ValueError: see :func:`fx_d2.config.check.check_config`.
    """
    register_datasets(cfg.DATASETS.FILES, cfg.DATASETS.OPTIONS)
    check_config(cfg)


def build_schedule(cfg) -> CycleSchedule:
    """The schedule over the training images on disk; reads the annotation files of the selected units only."""
    units = cycle_units(cfg)
    order = cfg.FX.CYCLE.ORDER, max(cfg.SEED, 0)
    sizes, batch = training_sizes(cfg), cfg.SOLVER.IMS_PER_BATCH
    return CycleSchedule(units, cycle_passes(cfg), sizes, batch, cfg.FX.CYCLE.COUNT, *order)


def training_sizes(cfg) -> dict[Unit, int]:
    """Training images of each unit; the annotation files are read once."""
    return {unit: len(training_records(cfg, unit)) for unit in cycle_units(cfg)}


def build_precision(cfg) -> Precision:
    return Precision(cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE)


def build_networks(cfg) -> tuple[FoundationX, ModelEMA]:
    """Student and teacher on the configured device, all parameters trainable, the teacher not initialised."""
    model = build_model(cfg)
    teacher = ModelEMA(model).to(cfg.MODEL.DEVICE)
    compile_configured(cfg, (model, teacher.model), comm.get_world_size())
    return model, teacher


def build_trainer(cfg, resume: bool) -> CyclicTrainer:
    """A trainer ready for ``train()``.

    With ``resume`` it goes on from the newest whole checkpoint in ``OUTPUT_DIR``. Without (or without a checkpoint) it
    starts from ``MODEL.WEIGHTS`` (the student's weights only) and moves an earlier run of the folder to ``previous/N``.

    Raises:
        ValueError: a key, dataset or checkpoint is wrong, or the checkpoint's run was another one.
        OSError: ``OUTPUT_DIR`` cannot be written to.
    """
    folder = Path(cfg.OUTPUT_DIR)
    check_writable(folder)
    schedule = build_schedule(cfg)
    check_shares(schedule, comm.get_world_size())
    check_evaluation(cfg)
    model, teacher = build_networks(cfg)
    check_locks(model, schedule)
    broadcast_weights(model)
    # All parameters enter the optimizer while everything is trainable; the trainer locks.
    optimizer = build_optimizer(cfg, model)
    precision = build_precision(cfg)
    clip_norms = {task.lower(): norm for task, norm in cfg.SOLVER.CLIP_NORM.items()}
    trainer = CyclicTrainer(
        student=model,
        teacher=teacher,
        optimizer=optimizer,
        schedule=schedule,
        precision=precision,
        clip_norms=clip_norms,
        seed=cfg.SEED,
        nonfinite=NonfinitePolicy(cfg.FX.NONFINITE.POLICY, cfg.FX.NONFINITE.LIMIT, folder / "nonfinite"),
        accumulate=cfg.SOLVER.ACCUMULATE,
        graphs=build_graphs(cfg, Parts(model, teacher.model, optimizer, precision, clip_norms)),
    )
    checkpointer = FXCheckpointer(model, teacher, str(folder), describe_run(cfg, schedule), trainer=trainer)
    found = checkpointer.find() if resume else None
    if found is None:
        load_configured(cfg, model)  # before an earlier run is moved: the weights may be its
        start_new_run(folder, resume)
    trainer.register_hooks(build_hooks(cfg, trainer, checkpointer, resumed=found is not None))
    if found is not None:
        checkpointer.restore(*found)
        trainer.start_iter, end = trainer.iter + 1, len(schedule)
        logger.info("resuming from %s: iteration %d of %d", found[0], trainer.start_iter, end)
        if trainer.start_iter > end:
            raise ValueError(f"{found[0]} is at iteration {trainer.start_iter}, beyond the plan's end at {end}")
    trainer.batches = iter(build_train_loader(cfg, schedule, trainer.start_iter))
    return trainer


def start_new_run(folder: Path, resume: bool) -> None:
    """Says so, and moves the files of an earlier run out of the way."""
    if comm.is_main_process():
        if resume:
            logger.info("--resume: there is no checkpoint in %s, starting from the beginning", folder)
        moved = archive_run(folder)
        if moved:
            logger.warning("%s held an earlier run; its files are now in %s", folder, moved)
    comm.synchronize()


def build_hooks(cfg, trainer: CyclicTrainer, checkpointer: FXCheckpointer, resumed: bool) -> list[HookBase | None]:
    """The hooks in order; the order is part of the method."""
    main, folder = comm.is_main_process(), Path(cfg.OUTPUT_DIR)
    sizes = training_sizes(cfg)
    period = trainer.schedule.cycle_length * cfg.FX.CHECKPOINT_CYCLES
    save = SaveCheckpoint(checkpointer, period, cfg.FX.CHECKPOINT_KEEP)
    heartbeat = Heartbeat(folder / "heartbeat.json", cfg.FX.HEARTBEAT_SECONDS) if main else None
    metrics = MetricsFile(folder / "metrics.json") if main else None

    def validate(limit: int = 0) -> Results:
        if heartbeat:
            heartbeat.beat("evaluating")
        models = {"student": trainer.student, "teacher": trainer.teacher.model}
        try:
            with trainer.stop.immediate():  # a signal ends an evaluation at once: it is repeated on resume
                split, units = cfg.FX.EVAL.VAL_SPLIT, trainer.schedule.units
                return evaluate(cfg, models, units, split, trainer.precision, limit=limit)[0]
        except Preempted:
            save.save_now()
            raise

    writers = build_writers(cfg, trainer.schedule, metrics, resumed) if main else []
    return [
        # First: measures the others.
        hooks.IterationTimer(warmup_iter=1),
        RunRecord(cfg.OUTPUT_DIR, cfg.MODEL.DEVICE, sizes) if main else None,
        # Before the forward: the flags must be right for this iteration.
        LockRelease(training=cfg.FX.REFERENCE_LOCK),
        LearningRate(cfg.SOLVER.WARMUP_FRACTION, cfg.SOLVER.WARMUP_FACTOR),
        # Directly after the optimizer: everything below sees the teacher of the finished step.
        TeacherEMA(
            cfg.FX.TEACHER.MOMENTUM, cfg.FX.TEACHER.MOMENTUM_SCHEDULE, cfg.FX.TEACHER.UPDATE, cfg.FX.TEACHER.BUFFERS
        ),
        # Keeps with the checkpoint where metrics.json stood.
        RunLog(metrics),
        # Saves a finished step; before the evaluation, so that a failing evaluation costs no training. A resumed run
        # begins with the hooks below it.
        save,
        heartbeat,
        UnitScores(cfg.FX.EVAL.AFTER_UNITS, partial(validate, cfg.FX.EVAL.AFTER_UNITS_IMAGES), cfg.OUTPUT_DIR),
        Evaluation(cfg.FX.EVAL.CYCLES, validate),
        # After the metric exists.
        BestCheckpoint(cfg.FX.EVAL.BEST, checkpointer) if main else None,
        # Last: writes what all others stored.
        hooks.PeriodicWriter(writers, cfg.FX.LOG_PERIOD),
    ]


def build_writers(
    cfg, schedule: CycleSchedule, metrics: MetricsFile | None = None, resumed: bool = False
) -> list[EventWriter]:
    """The log line, metrics.json, TensorBoard, and Weights & Biases where it is asked for."""
    metrics = metrics or MetricsFile(Path(cfg.OUTPUT_DIR) / "metrics.json")
    return [
        ProgressPrinter(schedule),
        metrics,
        BoardWriter(cfg.OUTPUT_DIR, metrics, resumed),
        *([WandbWriter(cfg)] if cfg.FX.WANDB.ENABLED else []),
    ]
