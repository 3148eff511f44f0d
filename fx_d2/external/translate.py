"""Truth and outputs in common classes: those of a :class:`Pairing`, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import torch

from .plan import Pairing


def choose_truth(record: Mapping[str, Any], positions: Sequence[int]) -> dict[str, Any]:
    """A dataset dict with these classes of its own alone, numbered anew in this order.

    An image without an annotation of them stays: it is a negative.
    """
    chosen = dict(record)
    if "labels" in record:
        chosen["labels"] = [record["labels"][position] for position in positions]
        return chosen
    numbers = {position: number for number, position in enumerate(positions)}
    chosen["annotations"] = []
    for annotation in record["annotations"]:
        if annotation["category_id"] in numbers:
            kept = copy(annotation)  # of its own kind: a mask in a picture stays unread
            kept["category_id"] = numbers[annotation["category_id"]]
            chosen["annotations"].append(kept)
    if "unknown_classes" in record:
        chosen["unknown_classes"] = [numbers[position] for position in record["unknown_classes"] if position in numbers]
    return chosen


def translate(output: Mapping[str, Any], pairing: Pairing, names: Sequence[str]) -> dict[str, Any]:
    """A head's output for one image in the classes of the truth.

    Args:
        output: of :attr:`Prediction.outputs`. names: classes of the head.

    Returns:
        ``scores`` (K,), ``masks`` (K, H, W), or ``instances`` of boxes, for the K classes of ``pairing``.
    """
    groups = [[names.index(name) for name in group] for group in pairing.classes.values()]
    if pairing.truth.task == "box":
        instances = output["instances"]
        kept = [
            (instances[torch.isin(instances.pred_classes, torch.tensor(group))], k) for k, group in enumerate(groups)
        ]
        for part, number in kept:
            part.pred_classes = torch.full_like(part.pred_classes, number)
        return {"instances": type(instances).cat([part for part, _ in kept])}
    key = "scores" if pairing.truth.task == "cls" else "masks"
    return {key: torch.stack([output[key][group].amax(dim=0) for group in groups])}
