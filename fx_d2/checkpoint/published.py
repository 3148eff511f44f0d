"""What the published Foundation X checkpoints know of datasets: the numbers of their heads and their class orders.

A head's number is its place in ``CLASSIFICATION`` (11 linear layers); boxes and masks have heads for the first six. Box
logits are numbered by COCO category id: class k of a dataset is logit k + 1 of 14.
"""

from __future__ import annotations

from ..data import labels

CLASSIFICATION: dict[str, tuple[str, ...]] = {
    "tbx11k": labels.TUBERCULOSIS,
    "node21": labels.NODULE,
    "candid_ptx": labels.PNEUMOTHORAX,
    "rsna_pneumonia": labels.RSNA_PNEUMONIA,
    "chestx_det": labels.CHESTX_DET,
    "siim_acr": labels.PNEUMOTHORAX,
    "chexpert": labels.CHEXPERT,
    "nih_cxr14": labels.NIH_CXR14,
    "vindr_cxr": labels.VINDR_CXR,
    "shenzhen": labels.TUBERCULOSIS,
    "mimic_cxr": labels.CHEXPERT,
}
_BOXES_AND_MASKS = tuple(CLASSIFICATION)[:6]
BOX: dict[str, tuple[str, ...]] = {
    name: labels.RSNA_PNEUMONIA_BOX if name == "rsna_pneumonia" else CLASSIFICATION[name] for name in _BOXES_AND_MASKS
}
# One channel each, except ChestX-Det. The heads of tbx11k, node21 and rsna_pneumonia were never trained.
MASK: dict[str, tuple[str, ...]] = BOX

CLASSES = {"cls": CLASSIFICATION, "box": BOX, "mask": MASK}


def head_number(task: str, dataset: str) -> int | None:
    """Number of a dataset's head; None where the published network has none."""
    names = list(CLASSES[task])
    return names.index(dataset) if dataset in names else None
