"""Tiny fake trees of the published datasets, in their exact layout and with their quirks; every value is invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import challenges, findings

# By dataset: ``write(root)`` makes the dataset's folder below the data root.
TREES: dict[str, Callable[[Path], Path]] = {
    "chexpert": findings.write_chexpert,
    "nih_cxr14": findings.write_nih_cxr14,
    "rsna_pneumonia": challenges.write_rsna_pneumonia,
    "chestx_det": challenges.write_chestx_det,
}


def write_tree(name: str, root: Path) -> Path:
    """Writes the fake tree of one dataset.

    Args:
        name: a key of :data:`TREES`.
        root: the data root; the dataset's own folder, named as published, is made in it.

    Returns:
        The dataset's folder.
    """
    return TREES[name](Path(root))
