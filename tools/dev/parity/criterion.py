"""Matching and losses on recorded predictions."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fx_d2.modeling.detr.denoising import make_denoising
from fx_d2.modeling.detr.matcher import assign, costs_to_assign, match_costs
from fx_d2.modeling.detr.targets import BatchTargets, BoxTargets, Pairs
from fx_d2.modeling.losses.box import set_losses

from .recording import Recording

# Our names of the losses -> the published ones.
LOSSES = {"class": "loss_ce", "box": "loss_bbox", "giou": "loss_giou"}


def recorded_targets(recording: Recording, prefix: str) -> BatchTargets:
    """The true boxes of a set."""
    counts = recording.given(f"{prefix}target_counts").tolist()
    labels = recording.given(f"{prefix}target_labels").split(counts)
    boxes = recording.given(f"{prefix}target_boxes").split(counts)
    return BatchTargets.pad([BoxTargets(*truth) for truth in zip(labels, boxes, strict=True)])


def box_count(targets: BatchTargets) -> int:
    return max(1, int(targets.valid.sum()))


def match(logits: Tensor, boxes: Tensor, targets: BatchTargets, costs: tuple[float, float, float]) -> Pairs:
    """Of one layer, (B, Q, K) and (B, Q, 4)."""
    return Pairs.of_assignment(assign(costs_to_assign(logits[None], boxes[None], targets, *costs)))


def layer_losses(logits: Tensor, boxes: Tensor, targets: BatchTargets, pairs: Pairs, normaliser: float) -> dict:
    """Losses of one layer, (B, Q, K) and (B, Q, 4), under the published names, with those that are only logged."""
    found = set_losses(logits[None], boxes[None], targets, pairs, torch.tensor(float(normaliser)))
    values = {LOSSES[name]: float(value) for name, value in found.items()}
    return values | logged_values(logits, boxes, targets, pairs, normaliser)


def logged_values(logits: Tensor, boxes: Tensor, targets: BatchTargets, pairs: Pairs, normaliser: float) -> dict:
    """What the published code logs beside the losses: parts of the box loss, and errors in percent and in boxes."""
    image, query, target = used_pairs(pairs)
    error = targets.boxes[image, target] - boxes[image, query]
    right = (logits[image, query].argmax(-1) == targets.labels[image, target]).tolist()
    # A query counts as a box unless its last logit is the largest.
    found = (logits.argmax(-1) != logits.shape[-1] - 1).sum(1)
    counts = targets.valid.sum(1)
    return {
        "loss_xy": float(error[:, :2].abs().sum()) / normaliser,
        "loss_hw": float(error[:, 2:].abs().sum()) / normaliser,
        "class_error": 100.0 - 100.0 * sum(right) / len(right) if right else 100.0,
        "cardinality_error": float((found - counts).abs().float().mean()),
    }


def used_pairs(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Image, query and target of the pairs of one layer."""
    _, image, place = pairs.used.nonzero().T
    return image, pairs.query[0, image, place], pairs.target[0, image, place]


def suffix_of(layer: str) -> str:
    """``last`` -> ``""``, ``aux0`` -> ``_0``, ``interm`` -> ``_interm``."""
    return "" if layer == "last" else "_" + layer.removeprefix("aux")


def compare_criterion(recording: Recording) -> None:
    sets = sorted({name.split("/")[0] for name in recording.names("criterion/")})
    for name in sets:
        _compare_set(recording, name)


def _compare_set(recording: Recording, name: str) -> None:
    costs = tuple(recording.criterion["matcher"][key] for key in ("class", "bbox", "giou"))
    prefix = f"criterion/{name}/"
    targets = recorded_targets(recording, prefix)
    count = box_count(targets)
    layers = sorted({re.match(r"(\w+?)_", n)[1] for n in recording.names(prefix) if not n.startswith("target")})
    values: dict[str, float] = {}
    for layer in layers:
        logits, boxes = (recording.given(f"{prefix}{layer}_pred_{kind}") for kind in ("logits", "boxes"))
        # Recorded are the costs of every box of the batch in every image.
        everything = BatchTargets(*(part[targets.valid].expand(len(logits), -1, *part.shape[2:]) for part in targets))
        cost = match_costs(logits[None], boxes[None], everything, *costs)[0].transpose(1, 2)
        recording.compare(f"{prefix}{layer}_cost", cost)
        pairs = match(logits, boxes, targets, costs)
        _compare_assignment(recording, f"{prefix}{layer}_match_", pairs)
        found = layer_losses(logits, boxes, targets, pairs, count)
        if layer != "last":
            found.pop("class_error")
        values |= {key + suffix_of(layer): value for key, value in found.items()}
        values |= _denoising_losses(recording, name, layer, targets, count)
    _compare_losses(recording, name, values, count)


def _compare_assignment(recording: Recording, prefix: str, pairs: Pairs) -> None:
    """Pairs in the recorded order: image by image, within an image by query."""
    keys = sorted(zip(*(part.tolist() for part in used_pairs(pairs)), strict=True))
    recorded = [recording.given(prefix + part).tolist() for part in ("image", "query", "target")]
    expected = sorted(zip(*recorded, strict=True))
    recording.same(prefix + "*", {str(key) for key in keys}, {str(key) for key in expected})


def _denoising_losses(recording: Recording, name: str, layer: str, targets: BatchTargets, count: int) -> dict:
    prefix = f"criterion/{name}/{layer}_dn_"
    meta = recording.criterion.get(f"{name}/dn_meta")
    suffix = "_dn" + suffix_of(layer)
    if meta is None:  # the published code records zeros where nothing was noised
        return {} if layer == "interm" else {key + suffix: 0.0 for key in _NOISED}
    logits, boxes = recording.given(prefix + "logits"), recording.given(prefix + "boxes")
    groups = meta["num_dn_group"]
    noise = make_denoising(targets, logits.shape[-1], 1, 0.0, 0.0, groups=groups)
    # The published queries end with the last group; our slots go on.
    pairs = Pairs(*(part[..., : logits.shape[1]] for part in noise.pairs(layers=1)))
    found = layer_losses(logits, boxes, targets, pairs, count * groups)
    return {key + suffix: value for key, value in found.items() if key in _NOISED}


_NOISED = ("loss_ce", "loss_bbox", "loss_giou", "loss_xy", "loss_hw", "cardinality_error")


def _compare_losses(recording: Recording, name: str, values: dict[str, float], count: int) -> None:
    compare_numbers(recording, f"criterion.json/{name}", values, recording.criterion[f"{name}/losses"])
    total = weighted_total(recording, values)
    recording.number(f"criterion.json/{name}/weighted_total", total, recording.criterion[f"{name}/weighted_total"])
    recording.number(f"criterion.json/{name}/num_boxes", count, recording.criterion[f"{name}/num_boxes"])


def weighted_total(recording: Recording, values: dict[str, float]) -> float:
    """Sum over the losses with the recorded weights."""
    return sum(weight * values.get(key, 0.0) for key, weight in recording.criterion["weights"].items())


def compare_numbers(recording: Recording, name: str, ours: dict[str, float], expected: dict[str, float]) -> None:
    """One line per recorded number; one that we have no value for is wrong."""
    for key, value in expected.items():
        recording.number(f"{name}/{key}", ours.get(key, float("nan")), value)
