"""A recording of Foundation X+: outputs in evaluation mode, and masks behind the region gate with given boxes."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fx_d2.modeling import FoundationX
from fx_d2.modeling.heads.box import best_detections

from .network import DATASETS
from .recording import Recording

_STRIDE = 4  # of the recorded rows and columns of mask logits


@torch.no_grad()
def compare_plus(recording: Recording, model: FoundationX) -> None:
    images = recording.given("outputs/inputs/square")
    features = model.backbone(images)
    pooled, size = model.heads["cls"].encode(features), tuple(images.shape[-2:])
    ours = {f"backbone/stage{i}_raw": x for i, x in enumerate(features.values())} | {"classification/pooled": pooled}
    for number, dataset in enumerate(DATASETS):
        ours[f"classification/logits_head{number}"] = model.heads["cls"].branches[dataset](pooled)
    plain = model.heads["mask"].encode(features)
    for number, dataset in enumerate(model.heads["mask"].branches):
        ours[f"segmentation/logits_head{number}_stride4"] = _logits(model, plain, dataset, size)
    memory = model.heads["box"].encode(features)
    for number, dataset in enumerate(model.heads["box"].branches):
        ours |= {f"localization/d{number}/{name}": x for name, x in _boxes(model, memory, dataset, size).items()}
    for name in recording.names("outputs/"):
        if name in ours:
            recording.compare(f"outputs/{name}", ours[name], max(size) if name.endswith("post_boxes") else 1.0)
    for case in sorted({name.split("/")[0] for name in recording.names("outputs/gate/")}):
        _compare_gate(recording, model, f"outputs/gate/{case}/", features, size)


def _boxes(model: FoundationX, memory, dataset: str, size: tuple[int, int]) -> dict[str, Tensor]:
    head = model.heads["box"]
    out = head.decode(memory, dataset)
    scores, labels, corners = best_detections(out.logits[-1], out.decoded.boxes[-1], head.options.topk)
    ours = {
        "proposal_logits": out.selection.logits,
        "proposal_boxes": out.selection.boxes,
        "post_scores": scores,
        "post_labels": labels,
        "post_boxes": corners * corners.new_tensor([size[1], size[0]] * 2),
    }
    for layer, (logits, boxes) in enumerate(zip(out.logits, out.decoded.boxes, strict=True)):
        prefix = "" if layer == len(out.logits) - 1 else f"aux{layer}_"
        ours |= {f"{prefix}pred_logits": logits, f"{prefix}pred_boxes": boxes}
    return ours


def _compare_gate(
    recording: Recording, model: FoundationX, prefix: str, features: dict[str, Tensor], size: tuple[int, int]
) -> None:
    """The factor of every map and the mask logits behind it; the recorded boxes are pixels, NaN where there is none."""
    boxes = recording.given(f"{prefix}boxes")
    kept = ~boxes.isnan().any(-1)
    boxes = boxes.nan_to_num() / boxes.new_tensor([size[1], size[0]] * 2)
    factors = model.gate.factors(boxes, kept, size, [tuple(x.shape[-2:]) for x in features.values()])
    gated = {name: x * factor[:, None] for (name, x), factor in zip(features.items(), factors, strict=True)}
    encoded = model.heads["mask"].encode(gated)
    for name in recording.names(prefix):
        if stage := re.fullmatch(r"factor_stage(\d)", name):
            recording.compare(prefix + name, factors[int(stage[1])])
        elif head := re.fullmatch(r"logits_head(\d+)_stride4", name):
            recording.compare(prefix + name, _logits(model, encoded, DATASETS[int(head[1])], size))


def _logits(model: FoundationX, encoded, dataset: str, size: tuple[int, int]) -> Tensor:
    return model.heads["mask"].logits(encoded, dataset, size)[:, :, ::_STRIDE, ::_STRIDE]
