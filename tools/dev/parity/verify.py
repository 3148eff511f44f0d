"""All comparisons with one folder."""

from __future__ import annotations

from pathlib import Path

from fx_d2.checkpoint.report import LoadReport

from .criterion import compare_criterion
from .denoising import compare_denoising
from .forward import compare_forward
from .network import build
from .plus import compare_plus
from .recording import Recording
from .training import compare_training


def verify_folder(folder: str | Path) -> tuple[Recording, LoadReport]:
    """Imports the folder's weights and compares everything that it recorded.

    Returns:
        the recording with a line per comparison, and the report of the import.

    Raises:
        FileNotFoundError: the folder lacks a file. CheckpointError: its weights do not fill the network.
    """
    recording = Recording(folder)
    model, report = build(recording)
    if recording.plus:
        compare_plus(recording, model)
        return recording, report
    compare_forward(recording, model)
    compare_criterion(recording)
    compare_denoising(recording)
    compare_training(recording, model)
    return recording, report
