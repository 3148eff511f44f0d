"""From a file of any known layout to a file of ours (``fx-d2 convert``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode

from ..config import cycle_units, find_config_file, get_fx_cfg, unit_metadata
from ..data.catalog import register_datasets
from ..modeling import FoundationX, FXSwin
from ..modeling.heads.classification import ClassificationHead
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit
from .files import WeightsFile, read_weights
from .layouts import Layout, Target, find_layout
from .load import MIN_BACKBONE, check_classes, select, target_of
from .reference import published_classes, reference_config
from .report import LoadReport
from .safe import CheckpointError
from .sizes import box_sizes, swin_sizes
from .write import FORMATS, write_weights


def convert(
    source: str | Path,
    output: str | Path,
    layout: str = "auto",
    part: str = "auto",
    config_file: str = "",
    min_backbone: float | None = None,
) -> list[LoadReport]:
    """Reads ``source``, writes ``output``; see :func:`load_weights` for ``layout``, ``part`` and ``min_backbone``.

    With ``part`` auto the file's teacher is written as well, if it has one beside a student.

    Args:
        config_file: the configuration of the network to fill; "": one in the sizes of the file.

    Returns:
        a report per network that was read.

    Raises:
        FileNotFoundError, CheckpointError: see :func:`load_weights`; or ``output`` has an unknown ending.
    """
    output = Path(output)
    if output.suffix not in FORMATS:  # before minutes of work
        raise CheckpointError(f"{output}: the file must end in {' or '.join(FORMATS)}")
    file = read_weights(source)
    kind = find_layout(set(next(iter(file.states.values()))), layout, str(file.path))
    target, classes, config = _target(file, kind, config_file)
    share = MIN_BACKBONE if min_backbone is None else min_backbone
    state, report = select(file, target, part, layout, share)
    reports, teacher = [report], None
    if part == "auto" and "teacher" in file.states and report.part != "teacher":
        teacher, second = select(file, target, "teacher", layout, share)
        reports.append(second)
    exclusive: Sequence[str] | None = [str(unit) for unit, c in classes.items() if c.exclusive]
    if kind.name == "fx_d2" and not config_file:
        exclusive = file.exclusive  # an older file of ours may not say, and then nobody knows
    if part == "backbone":
        classes, exclusive = {}, None
    write_weights(
        output,
        state,
        teacher,
        classes={str(unit): list(c.names) for unit, c in classes.items()},
        exclusive=exclusive,
        config=config,
    )
    return reports


def _target(file: WeightsFile, kind: Layout, config_file: str) -> tuple[Target, dict[Unit, UnitClasses], str]:
    """What is to be filled, its classes, and its configuration as YAML."""
    if config_file:
        cfg = get_fx_cfg()
        cfg.merge_from_file(find_config_file(config_file))
        register_datasets(cfg.DATASETS.FILES)
        found = {unit: unit_metadata(unit) for unit in cycle_units(cfg)}
        classes = {unit: UnitClasses(tuple(m.thing_classes), m.exclusive) for unit, m in found.items()}
    elif kind.name == "fx_d2":
        return _own_target(file)
    else:
        first = next(iter(file.states.values()))
        sizes = swin_sizes(first, kind)
        if kind.backbone_only:
            return _backbone_target(sizes)
        base = kind.name if kind.name in ("foundation_x", "foundation_x_plus") else None
        cfg, classes = _published_config(base, sizes | box_sizes(first)), published_classes()
    with torch.device("meta"):
        model = FoundationX(cfg, classes=classes)
    check_classes(file, model)
    return target_of(model), classes, cfg.dump()


def _published_config(layout: str | None, sizes: dict) -> CfgNode:
    """The published network of a layout; of a plain detector, the default network over the published datasets."""
    if layout is not None:
        return reference_config(layout, sizes)
    cfg = get_fx_cfg()
    values = {"FX.CYCLE.UNITS": [str(unit) for unit in published_classes()]} | sizes
    cfg.merge_from_list([item for pair in values.items() for item in pair])
    return cfg


def _backbone_target(sizes: dict) -> tuple[Target, dict, str]:
    """A backbone and the norm behind it, in the sizes of the file."""
    cfg = get_fx_cfg()
    cfg.merge_from_list([item for pair in sizes.items() for item in pair])
    with torch.device("meta"):
        backbone = FXSwin(**FXSwin.from_config(cfg))
        channels = backbone.output_shape()["stage4"].channels
        head = ClassificationHead(channels, {})
    shapes = {f"backbone.{name}": tuple(value.shape) for name, value in backbone.state_dict().items()}
    shapes |= {f"heads.cls.{name}": tuple(value.shape) for name, value in head.state_dict().items()}
    return Target(shapes, {}), {}, ""


def _own_target(file: WeightsFile) -> tuple[Target, dict[Unit, UnitClasses], str]:
    """Our own file without a configuration: all of it."""
    first = next(iter(file.states.values()))
    shapes = {name: tuple(value.shape) for name, value in first.items()}
    classes = {
        Unit.parse(unit): UnitClasses(tuple(names), exclusive=unit in (file.exclusive or ()))
        for unit, names in file.classes.items()
    }
    return Target(shapes, {unit: c.names for unit, c in classes.items()}), classes, file.config
