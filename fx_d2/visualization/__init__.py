"""Pictures for people: predictions beside the truth, and training curves."""

from .curves import draw_curves
from .overlays import draw_case, write_overlays

__all__ = ["draw_case", "draw_curves", "write_overlays"]
