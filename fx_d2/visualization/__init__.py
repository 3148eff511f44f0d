"""Pictures for people: predictions beside the truth."""

from .overlays import draw_case, write_overlays

__all__ = ["draw_case", "write_overlays"]
