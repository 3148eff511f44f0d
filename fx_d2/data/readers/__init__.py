"""Readers of annotation files: one module per format, each with ``classes`` and ``read(index)``."""
