"""``MODEL.WEIGHTS``: any known file into student and teacher, with the report in the log."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from detectron2.utils.file_io import PathManager

from ..modeling import FoundationX, ModelEMA
from .files import WeightsFile, read_weights
from .layouts import TIMM, Target, find_layout
from .report import MISSING, LoadReport
from .safe import CheckpointError
from .transfer import transfer

logger = logging.getLogger(__name__)

PARTS = ("auto", "student", "teacher", "backbone")
# Share of the backbone's values that a file must give.
MIN_BACKBONE = 1.0


def target_of(model: FoundationX) -> Target:
    """What a network needs."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return Target(shapes, {unit: classes.names for unit, classes in model.classes.items()})


def load_weights(
    path: str | Path,
    model: FoundationX,
    teacher: ModelEMA | None = None,
    *,
    part: str = "auto",
    layout: str = "auto",
    min_backbone: float = MIN_BACKBONE,
) -> LoadReport:
    """Fills a network from a file of any known layout and logs what became of every tensor.

    Args:
        path: our own checkpoints and exports, Foundation X and X+, Ark, Swin of Microsoft and timm, DINO.
        model: the network; what the file does not hold stays as it is.
        teacher: filled as well, if the file holds one.
        part: which network of the file goes into ``model``: ``student``, ``teacher``, ``backbone`` (of the student, and
            nothing else), or ``auto``: the student, but the teacher of an Ark file, as Foundation X starts from it.
        min_backbone: least share of the backbone's values that the file must give.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, torn, foreign, of other classes, or gives too little.
    """
    file = read_weights(path)
    check_classes(file, model)
    report = fill(file, model, part, layout, min_backbone)
    logger.info("weights loaded\n%s", report.table())
    if report.layout == TIMM.title:
        logger.warning(
            "weights of timm: where a map is no whole number of windows, timm shifts before it pads; "
            "MODEL.SWIN.SHIFT_BEFORE_PADDING True does the same"
        )
    fresh = report.names(MISSING)
    if fresh:
        logger.warning("%d tensors are new, with their random start: %s", len(fresh), shorten(fresh))
    if teacher is not None and "teacher" in file.states:
        fill(file, teacher.model, "teacher", layout, min_backbone)
        teacher.initialised.fill_(True)
    return report


def load_configured(cfg, model: FoundationX, teacher: ModelEMA | None = None) -> LoadReport | None:
    """:func:`load_weights` with ``MODEL.WEIGHTS``, ``MODEL.WEIGHTS_PART`` and ``MODEL.MIN_BACKBONE``.

    Returns:
        the report; None where no weights are named, and the network keeps its random start.
    """
    path = cfg.MODEL.WEIGHTS
    if not path:
        logger.info("MODEL.WEIGHTS is empty: the network starts from random numbers")
        return None
    local = PathManager.get_local_path(path) if "://" in path else path
    try:
        part, share = cfg.MODEL.WEIGHTS_PART, cfg.MODEL.MIN_BACKBONE
        return load_weights(local, model, teacher, part=part, min_backbone=share)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}: check MODEL.WEIGHTS") from None


def fill(
    file: WeightsFile, model: FoundationX, part: str = "auto", layout: str = "auto", min_backbone: float = MIN_BACKBONE
) -> LoadReport:
    """One network of a file into ``model``; see :func:`load_weights`."""
    state, report = select(file, target_of(model), part, layout, min_backbone)
    with torch.no_grad():
        own = model.state_dict()
        for name, tensor in state.items():
            own[name].copy_(tensor)
    return report


def select(
    file: WeightsFile, target: Target, part: str = "auto", layout: str = "auto", min_backbone: float = MIN_BACKBONE
):
    """The tensors for a target from one network of a file, and the report.

    Raises:
        ValueError: ``part`` is none of the known ones.
        CheckpointError: see :func:`load_weights`.
    """
    if part not in PARTS:
        raise ValueError(f"the part must be one of {', '.join(PARTS)}, not {part!r}")
    first = next(iter(file.states.values()))
    kind = find_layout(set(first), layout, str(file.path))
    network = part
    if part in ("auto", "backbone"):
        network = "teacher" if kind.name == "ark" and "teacher" in file.states else next(iter(file.states))
    if part == "backbone":
        target = Target({n: s for n, s in target.shapes.items() if n.startswith("backbone.")}, target.classes)
    state, report = transfer(file.part(network), kind, target, str(file.path), network)
    share = report.share("backbone.")
    if share < min_backbone:
        raise CheckpointError(
            f"{file.path}: gives only {100 * share:.1f} % of the backbone, at least {100 * min_backbone:.1f} % are "
            f"needed; is MODEL.SWIN that of the file?\n{report.table()}"
        )
    misfits = [remark for _, _, remark in report.rows.values() if remark]
    if misfits:
        raise CheckpointError(
            f"{file.path}: {len(misfits)} tensors have other sizes than the configuration: {shorten(misfits, 3)}; give "
            "MODEL.BOX and MODEL.MASK the sizes of the file, or take its backbone alone (MODEL.WEIGHTS_PART backbone)"
        )
    return state, report


def check_classes(file: WeightsFile, model: FoundationX) -> None:
    """Refuses a file that knows a unit with other classes, or another order.

    Raises:
        CheckpointError: the message shows both lists.
    """
    for unit, classes in model.classes.items():
        stored = file.classes.get(str(unit))
        if stored is not None and stored != list(classes.names):
            raise CheckpointError(
                f"{file.path}: its {unit} was trained with classes {stored}, the configuration has "
                f"{list(classes.names)}; give the dataset the classes of the file, in its order, or another name"
            )


def shorten(names: list[str], count: int = 8) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")
