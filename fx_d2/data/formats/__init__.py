"""File formats of radiographs, a module per family, each with ``read_header(path, kind)`` and ``read_pixels(path)``."""
