"""How fast the package is, beside what one would do instead; the tool is ``tools/dev/benchmark.py``."""
