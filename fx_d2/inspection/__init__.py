"""Looks at data before it is trained on: counts, problems, and what splits share."""

from .report import Report
from .run import Options, check_data

__all__ = ["Options", "Report", "check_data"]
