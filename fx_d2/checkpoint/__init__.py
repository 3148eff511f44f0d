"""Weights of any known layout into a network, without running code of the file, and out again."""

from .files import WeightsFile, read_weights
from .layouts import LAYOUTS, NAMES
from .load import PARTS, load_configured, load_weights
from .report import LoadReport
from .safe import CheckpointError, safe_load

__all__ = [
    "LAYOUTS",
    "NAMES",
    "PARTS",
    "CheckpointError",
    "LoadReport",
    "WeightsFile",
    "load_configured",
    "load_weights",
    "read_weights",
    "safe_load",
]
