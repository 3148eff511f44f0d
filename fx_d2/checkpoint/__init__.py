"""Checkpoint files: read without running their code."""

from .safe import CheckpointError, safe_load

__all__ = ["CheckpointError", "safe_load"]
