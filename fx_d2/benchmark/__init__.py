"""How fast the package is, and how much faster than what one would do instead; the tool is ``tools/benchmark.py``."""
