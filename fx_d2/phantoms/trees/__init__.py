"""Tiny fake trees of the published datasets, in their exact layout and with their quirks; every value is invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import challenges, findings, masks

# By dataset: ``write(root)`` makes the dataset's folder below the data root.
TREES: dict[str, Callable[[Path], Path]] = {
    "chexpert": findings.write_chexpert,
    "nih_cxr14": findings.write_nih_cxr14,
    "vindr_cxr": findings.write_vindr_cxr,
    "shenzhen": findings.write_shenzhen,
    "mimic_cxr": findings.write_mimic_cxr,
    "tbx11k": challenges.write_tbx11k,
    "node21": challenges.write_node21,
    "candid_ptx": masks.write_candid_ptx,
    "rsna_pneumonia": challenges.write_rsna_pneumonia,
    "chestx_det": challenges.write_chestx_det,
    "siim_acr": masks.write_siim_acr,
    "chexmask_vindr": masks.write_chexmask_vindr,  # with vindr_cxr, whose images it is about
    "vindr_ribcxr": masks.write_vindr_ribcxr,
    "montgomery": masks.write_montgomery,
    "jsrt": masks.write_jsrt,
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
