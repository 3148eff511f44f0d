"""Weights alone out of a checkpoint (``fx-d2 export-weights``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..config import find_config_file, get_fx_cfg
from .files import WeightsFile, read_weights
from .layouts import OWN
from .safe import CheckpointError
from .write import timm_state, write_tensors, write_weights


def export_weights(
    checkpoint: str | Path,
    output: str | Path,
    model: str = "teacher",
    timm: bool = False,
    config_file: str = "",
    head: str | None = None,
    half: bool = False,
    notice: str = "",
) -> list[str]:
    """Writes the ``student`` or the ``teacher`` of one of our files.

    Args:
        output: ends in ``.pth`` or ``.safetensors``. timm: the backbone under timm's names; see
            :func:`~fx_d2.checkpoint.write.timm_state` for ``head``. config_file: "": the checkpoint's own, or the
            ``config.yaml`` beside it. half: values in float16. notice: a sentence that every prediction of these
            weights will carry; "": that of the checkpoint, if it has one.

    Returns:
        lines that say what was written.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, torn, of another layout, or holds no such network.
    """
    file = read_weights(checkpoint)
    state = replace(file, states=file.networks).part(model)
    if not OWN.recognises(set(state)):
        raise CheckpointError(f"{file.path}: not a checkpoint of fx_d2; fx-d2 convert makes one of it")
    config = _config(file, config_file)
    if half:
        state = {name: x.half() if x.is_floating_point() else x for name, x in state.items()}
    count = sum(tensor.numel() for tensor in state.values())
    if not timm:
        write_weights(
            output,
            state,
            classes=file.classes,
            exclusive=file.exclusive,
            config=config,
            notice=notice or file.notice,
            origin=model,
        )
        lines = [f"{output}: the {model}, {len(state)} tensors, {count:,} values, {len(file.classes)} units"]
        return lines if config else [*lines, "no configuration was found; give it with --config-file"]
    tensors = timm_state(state, head)
    write_tensors(output, tensors)
    lines = [f"{output}: the {model}'s backbone for timm, {len(tensors)} tensors"]
    if config and _shifts_single_window(config):
        lines.append(
            "warning: this network shifts windows where the map is a single one (MODEL.SWIN.SHIFT_SINGLE_WINDOW); "
            "timm does not, so its features differ in the last stage"
        )
    return lines


def _config(file: WeightsFile, config_file: str) -> str:
    if config_file:
        cfg = get_fx_cfg()
        cfg.merge_from_file(find_config_file(config_file))
        return cfg.dump()
    beside = file.path.with_name("config.yaml")
    if file.config or not beside.is_file():
        return file.config
    return beside.read_text(encoding="utf-8")


def _shifts_single_window(config: str) -> bool:
    return any(line.strip().lower() == "shift_single_window: true" for line in config.splitlines())
