"""Published datasets that share images: training on one and testing on another leaks."""

from __future__ import annotations

from collections.abc import Sequence

# Two datasets and what they share, as their publishers and users report it.
OVERLAPS: tuple[tuple[str, str, str], ...] = (
    (
        "rsna_pneumonia",
        "nih_cxr14",
        "all 30,000 images of the challenge are ChestX-ray14 images, 8,196 of its test part",
    ),
    ("siim_acr", "nih_cxr14", "the images are a part of ChestX-ray14; no map of names was published"),
    ("chestx_det", "nih_cxr14", "the images are a part of ChestX-ray14, renamed"),
    ("node21", "nih_cxr14", "part of the images come from ChestX-ray14, others from JSRT, PadChest and Open-I"),
    ("tbx11k", "shenzhen", "the extra images contain the Shenzhen and Montgomery sets"),
    ("rsna_pneumonia", "siim_acr", "both are parts of ChestX-ray14"),
    ("rsna_pneumonia", "chestx_det", "both are parts of ChestX-ray14"),
    ("siim_acr", "chestx_det", "both are parts of ChestX-ray14"),
    ("node21", "rsna_pneumonia", "both take images from ChestX-ray14"),
    ("node21", "siim_acr", "both take images from ChestX-ray14"),
    ("node21", "chestx_det", "both take images from ChestX-ray14"),
)


def known_overlaps(datasets: Sequence[str]) -> list[str]:
    """One line for each pair of the datasets that is known to share images."""
    return [f"{a} and {b}: {what}." for a, b, what in OVERLAPS if a in datasets and b in datasets]
