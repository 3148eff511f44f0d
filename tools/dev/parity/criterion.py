"""Matching and losses on recorded predictions."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fx_d2.modeling.detr.denoising import BoxTargets, make_denoising
from fx_d2.modeling.detr.matcher import match, match_costs
from fx_d2.modeling.losses.box import set_losses

from .recording import Recording

# Our names of the losses -> the published ones.
LOSSES = {"class": "loss_ce", "box": "loss_bbox", "giou": "loss_giou"}


def recorded_targets(recording: Recording, prefix: str) -> list[BoxTargets]:
    """The true boxes of a set, split by image."""
    counts = recording.given(f"{prefix}target_counts").tolist()
    labels = recording.given(f"{prefix}target_labels").split(counts)
    boxes = recording.given(f"{prefix}target_boxes").split(counts)
    return [BoxTargets(*truth) for truth in zip(labels, boxes, strict=True)]


def box_count(targets: list[BoxTargets]) -> int:
    return max(1, sum(len(truth.labels) for truth in targets))


def layer_losses(logits: Tensor, boxes: Tensor, targets: list[BoxTargets], assignment, normaliser: float) -> dict:
    """Losses of one layer, (B, Q, K) and (B, Q, 4), under the published names, with those that are only logged."""
    found = set_losses(logits[None], boxes[None], targets, assignment, normaliser)
    values = {LOSSES[name]: float(value) for name, value in found.items()}
    return values | logged_values(logits, boxes, targets, assignment, normaliser)


def logged_values(logits: Tensor, boxes: Tensor, targets: list[BoxTargets], assignment, normaliser: float) -> dict:
    """What the published code logs beside the losses: parts of the box loss, and errors in percent and in boxes."""
    _, image, query, target = assignment
    truth = [(targets[i].boxes[t], targets[i].labels[t]) for i, t in zip(image, target, strict=True)]
    matched = boxes[image, query]
    error = torch.stack([b for b, _ in truth]) - matched if truth else matched
    right = [int(logits[i, q].argmax()) == int(label) for i, q, (_, label) in zip(image, query, truth, strict=True)]
    # A query counts as a box unless its last logit is the largest.
    found = (logits.argmax(-1) != logits.shape[-1] - 1).sum(1)
    counts = torch.tensor([len(t.labels) for t in targets])
    return {
        "loss_xy": float(error[:, :2].abs().sum()) / normaliser,
        "loss_hw": float(error[:, 2:].abs().sum()) / normaliser,
        "class_error": 100.0 - 100.0 * sum(right) / len(right) if right else 100.0,
        "cardinality_error": float((found - counts).abs().float().mean()),
    }


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
        everything = BoxTargets(torch.cat([t.labels for t in targets]), torch.cat([t.boxes for t in targets]))
        cost = torch.stack(
            [match_costs(x[None], y[None], everything, *costs)[0] for x, y in zip(logits, boxes, strict=True)]
        )
        recording.compare(f"{prefix}{layer}_cost", cost)
        assignment = match(logits[None], boxes[None], targets, *costs)
        _compare_assignment(recording, f"{prefix}{layer}_match_", assignment)
        found = layer_losses(logits, boxes, targets, assignment, count)
        if layer != "last":
            found.pop("class_error")
        values |= {key + suffix_of(layer): value for key, value in found.items()}
        values |= _denoising_losses(recording, name, layer, targets, count)
    _compare_losses(recording, name, values, count)


def _compare_assignment(recording: Recording, prefix: str, assignment) -> None:
    """Pairs in the recorded order: image by image, within an image by query."""
    _, image, query, target = assignment
    keys = sorted(zip(image.tolist(), query.tolist(), target.tolist(), strict=True))
    recorded = [recording.given(prefix + part).tolist() for part in ("image", "query", "target")]
    expected = sorted(zip(*recorded, strict=True))
    recording.same(prefix + "*", {str(key) for key in keys}, {str(key) for key in expected})


def _denoising_losses(recording: Recording, name: str, layer: str, targets: list[BoxTargets], count: int) -> dict:
    prefix = f"criterion/{name}/{layer}_dn_"
    meta = recording.criterion.get(f"{name}/dn_meta")
    suffix = "_dn" + suffix_of(layer)
    if meta is None:  # the published code records zeros where nothing was noised
        return {} if layer == "interm" else {key + suffix: 0.0 for key in _NOISED}
    logits, boxes = recording.given(prefix + "logits"), recording.given(prefix + "boxes")
    groups = meta["num_dn_group"]
    noise = make_denoising(targets, logits.shape[-1], 1, 0.0, 0.0, groups=groups)
    found = layer_losses(logits, boxes, targets, noise.positives(targets, layers=1), count * groups)
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
