"""Keys that come from Detectron2: those that mean something here, and what does the work of the others."""

from __future__ import annotations

from collections.abc import Iterator

from detectron2.config import CfgNode, get_cfg

from .defaults import get_fx_cfg

# Read by fx_d2 or by the functions of Detectron2 that it calls; a test compares this with the source.
READ = frozenset(
    {
        *("VERSION", "OUTPUT_DIR", "SEED", "CUDNN_BENCHMARK", "DATALOADER.NUM_WORKERS"),
        *("MODEL.DEVICE", "MODEL.META_ARCHITECTURE", "MODEL.WEIGHTS", "MODEL.BACKBONE.NAME"),
        *("SOLVER.BASE_LR", "SOLVER.IMS_PER_BATCH", "SOLVER.WARMUP_FACTOR", "SOLVER.WEIGHT_DECAY"),
        "SOLVER.AMP.ENABLED",
    }
)
# What does here what a key does there; a key or the beginning of several.
INSTEAD = {
    "SOLVER.MAX_ITER": "FX.CYCLE.COUNT (cycles)",
    "SOLVER.STEPS": "nothing: the learning rate follows warm-up and cosine",
    "SOLVER.GAMMA": "nothing: the learning rate follows warm-up and cosine",
    "SOLVER.BASE_LR_END": "nothing: the learning rate follows warm-up and cosine, which ends at 0",
    "SOLVER.LR_SCHEDULER_NAME": "nothing: the learning rate follows warm-up and cosine",
    "SOLVER.WARMUP": "SOLVER.WARMUP_FRACTION and SOLVER.WARMUP_FACTOR",
    "SOLVER.CHECKPOINT_PERIOD": "FX.CHECKPOINT_CYCLES (cycles)",
    "SOLVER.CLIP_GRADIENTS": "SOLVER.CLIP_NORM.CLS, .BOX and .MASK",
    "SOLVER.WEIGHT_DECAY_": "SOLVER.WEIGHT_DECAY; norms and biases have none",
    "SOLVER.REFERENCE_WORLD_SIZE": "SOLVER.IMS_PER_BATCH, which counts the images of all processes",
    "TEST.EVAL_PERIOD": "FX.EVAL.CYCLES (cycles)",
    "TEST.DETECTIONS_PER_IMAGE": "MODEL.BOX.TOPK",
    "DATASETS": "FX.CYCLE.UNITS",
    "DATASETS.TEST": "FX.CYCLE.UNITS and FX.EVAL.SPLIT; it chooses the unit of Detectron2's DefaultPredictor alone",
    "DATALOADER.SAMPLER_TRAIN": "FX.CYCLE, which gives the order of the images",
    "DATALOADER.REPEAT": "FX.CYCLE.CLS, .BOX and .MASK, which give the images of each pass",
    "INPUT.MIN_SIZE": "INPUT.SIZE",
    "INPUT.MAX_SIZE": "INPUT.SIZE",
    "INPUT.RANDOM_FLIP": "INPUT.FLIP.CLS, .BOX and .MASK",
    "INPUT.CROP": "INPUT.CROP_AREA.CLS, .BOX and .MASK",
    "MODEL.PIXEL_MEAN": "MODEL.PIXEL.CLS.MEAN, .BOX.MEAN and .MASK.MEAN",
    "MODEL.PIXEL_STD": "MODEL.PIXEL.CLS.STD, .BOX.STD and .MASK.STD",
    "MODEL.BACKBONE.FREEZE_AT": "FX.FINETUNE head, or passes with train: head in FX.CYCLE",
    "MODEL.MASK_ON": "FX.CYCLE.UNITS, whose mask units have masks",
    "MODEL.ROI_HEADS.NUM_CLASSES": "nothing: the classes come from the datasets",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": "--threshold of the prediction",
}


def keys(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Full names and values of all keys below a node; lists as tuples, which a file does not tell apart."""
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _tuples(value)


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def check_inherited(cfg: CfgNode) -> None:
    """Refuses a key of Detectron2 that differs from its default and is read nowhere.

    Raises:
        ValueError: the message names the key and what does the same here, if anything does.
    """
    values, defaults = dict(keys(cfg)), dict(keys(get_fx_cfg()))
    for key, theirs in keys(get_cfg()):
        if key in READ or values.get(key) in (defaults[key], theirs):
            continue
        beginnings = [name for name in INSTEAD if key.startswith(name)]
        use = f"use {INSTEAD[max(beginnings, key=len)]}" if beginnings else f"leave it at {defaults[key]!r}"
        raise ValueError(f"{key} has no effect in fx_d2; {use}")
