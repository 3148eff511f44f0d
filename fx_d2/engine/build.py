"""Assembles a run, top to bottom. Read this first.

datasets -> schedule -> network -> optimizer -> (DDP) -> teacher -> trainer -> checkpointer -> hooks
"""

from __future__ import annotations

import os
from functools import partial

from detectron2.engine import HookBase, create_ddp_model, hooks
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, JSONWriter, TensorboardXWriter

from ..config import check_config, cycle_passes, cycle_units, unit_metadata
from ..data.catalog import register_datasets
from ..data.loader import build_train_loader, unit_sizes
from ..modeling import FoundationX, ModelEMA
from ..schedule import CycleSchedule
from .checkpoint import FXCheckpointer
from .evaluate import Results, evaluate
from .hooks import (
    BestCheckpoint,
    Evaluation,
    LearningRate,
    LockRelease,
    ProgressPrinter,
    RunRecord,
    TeacherEMA,
    UnitScores,
)
from .optimizer import build_optimizer
from .precision import Precision
from .trainer import CyclicTrainer
from .wandb_writer import WandbWriter


def prepare(cfg) -> None:
    """Registers the datasets of a configuration and checks it, before any work.

    Raises:
        ValueError: see :func:`fx_d2.config.check_config`.
    """
    register_datasets(cfg.DATASETS.FILES, cfg.DATASETS.OPTIONS)
    check_config(cfg)


def build_schedule(cfg) -> CycleSchedule:
    """The schedule over the training images on disk; reads the annotation files of the selected units only."""
    units = cycle_units(cfg)
    sizes = unit_sizes(units, "train")
    return CycleSchedule(units, cycle_passes(cfg), sizes, cfg.SOLVER.IMS_PER_BATCH, cfg.FX.CYCLE.COUNT)


def read_evaluation_splits(cfg) -> None:
    """Reads what will be scored, so that a mistake in a test file is found now and not after the training."""
    for split in {cfg.FX.EVAL.SPLIT, *([cfg.FX.EVAL.VAL_SPLIT] if cfg.FX.EVAL.CYCLES else [])}:
        unit_sizes([unit for unit in cycle_units(cfg) if split in unit_metadata(unit).splits], split)


def build_precision(cfg) -> Precision:
    return Precision(cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE)


def build_networks(cfg) -> tuple[FoundationX, ModelEMA]:
    """Student and teacher on the configured device, all parameters trainable, the teacher not initialised."""
    model = build_model(cfg)
    return model, ModelEMA(model).to(cfg.MODEL.DEVICE)


def build_trainer(cfg, resume: bool) -> CyclicTrainer:
    """A trainer ready for ``train()``.

    With ``resume`` it continues from ``OUTPUT_DIR/last_checkpoint``; otherwise, or where there is none, it starts from
    ``MODEL.WEIGHTS`` (the student's weights only).
    """
    schedule = build_schedule(cfg)
    read_evaluation_splits(cfg)
    model, teacher = build_networks(cfg)
    # All parameters enter the optimizer, and DDP wraps the network, while everything is trainable: a network wrapped
    # after a lock would never synchronise what was locked. Idle branches have no gradient, hence the search.
    optimizer = build_optimizer(cfg, model)
    devices = {} if model.device.type == "cuda" else {"device_ids": None}
    wrapped = create_ddp_model(model, broadcast_buffers=False, find_unused_parameters=True, **devices)
    trainer = CyclicTrainer(
        model=wrapped,
        teacher=teacher,
        optimizer=optimizer,
        schedule=schedule,
        precision=build_precision(cfg),
        clip_norms={task.lower(): norm for task, norm in cfg.SOLVER.CLIP_NORM.items()},
        seed=cfg.SEED,
    )
    checkpointer = FXCheckpointer(model, teacher, cfg.OUTPUT_DIR, trainer=trainer)
    trainer.register_hooks(build_hooks(cfg, trainer, checkpointer))
    if resume and checkpointer.has_checkpoint():
        checkpointer.load(checkpointer.get_checkpoint_file())
        trainer.start_iter = trainer.iter + 1
    else:
        checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[])
    loader = build_train_loader(cfg, schedule, trainer.start_iter)
    trainer.batches = iter(loader)
    return trainer


def build_hooks(cfg, trainer: CyclicTrainer, checkpointer: FXCheckpointer) -> list[HookBase | None]:
    """The hooks in order; the order is part of the method."""
    period = trainer.schedule.cycle_length * cfg.FX.CHECKPOINT_CYCLES
    keep = cfg.FX.CHECKPOINT_KEEP or None

    def validate(limit: int = 0) -> Results:
        models = {"student": trainer.student, "teacher": trainer.teacher.model}
        return evaluate(cfg, models, trainer.schedule.units, cfg.FX.EVAL.VAL_SPLIT, trainer.precision, limit=limit)[0]

    main = comm.is_main_process()
    return [
        # First: measures the others.
        hooks.IterationTimer(warmup_iter=1),
        RunRecord(cfg.OUTPUT_DIR, cfg.MODEL.DEVICE) if main else None,
        # Before the forward: the flags must be right for this iteration.
        LockRelease(training=cfg.FX.REFERENCE_LOCK),
        LearningRate(cfg.SOLVER.WARMUP_FRACTION, cfg.SOLVER.WARMUP_FACTOR),
        # Directly after the optimizer: everything below sees the teacher of the finished step.
        TeacherEMA(
            cfg.FX.TEACHER.MOMENTUM, cfg.FX.TEACHER.MOMENTUM_SCHEDULE, cfg.FX.TEACHER.UPDATE, cfg.FX.TEACHER.BUFFERS
        ),
        # Saves a finished step; before the evaluation, so that a failing evaluation costs no training.
        hooks.PeriodicCheckpointer(checkpointer, period, max_to_keep=keep) if main else None,
        UnitScores(cfg.FX.EVAL.AFTER_UNITS, partial(validate, cfg.FX.EVAL.AFTER_UNITS_IMAGES), cfg.OUTPUT_DIR),
        Evaluation(cfg.FX.EVAL.CYCLES, validate),
        # After the metric exists.
        BestCheckpoint(cfg.FX.EVAL.BEST, checkpointer) if main else None,
        # Last: writes what all others stored.
        hooks.PeriodicWriter(build_writers(cfg, trainer.schedule), cfg.FX.LOG_PERIOD) if main else None,
    ]


def build_writers(cfg, schedule: CycleSchedule) -> list[EventWriter]:
    """The log line, metrics.json, TensorBoard, and Weights & Biases where it is asked for."""
    return [
        ProgressPrinter(schedule),
        JSONWriter(os.path.join(cfg.OUTPUT_DIR, "metrics.json")),
        TensorboardXWriter(cfg.OUTPUT_DIR),
        *([WandbWriter(cfg)] if cfg.FX.WANDB.ENABLED else []),
    ]
