"""Outputs in evaluation mode: backbone, classification, masks, boxes."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fx_d2.modeling import FoundationX
from fx_d2.modeling.detr.padding import pad_images
from fx_d2.modeling.heads.box import best_detections

from .network import DATASETS, images_of
from .recording import Recording


def cases(recording: Recording) -> list[str]:
    """``square``, ``rect``, ``ragged_image0`` and ``ragged_image1`` -> square, rect, ragged."""
    return sorted({re.sub(r"_image\d+$", "", name) for name in recording.names("inputs/")})


@torch.no_grad()
def compare_forward(recording: Recording, model: FoundationX) -> None:
    for case in cases(recording):
        images, padded = pad_images(images_of(recording, case))
        features = model.backbone(images)
        _compare_backbone(recording, model, case, features)
        _compare_classification(recording, model, case, features)
        _compare_masks(recording, model, case, features, tuple(images.shape[-2:]))
        _compare_boxes(recording, model, case, features, padded)


def _compare_backbone(recording: Recording, model: FoundationX, case: str, features: dict[str, Tensor]) -> None:
    normed = model.heads["box"].normalize(features)
    for name in recording.names(f"backbone/{case}/"):
        stage, kind = re.match(r"stage(\d)_(\w+)", name).groups()
        ours = features[f"stage{int(stage) + 1}"] if kind == "raw" else normed[int(stage) - 1]
        recording.compare(f"backbone/{case}/{name}", ours)


def _compare_classification(recording: Recording, model: FoundationX, case: str, features: dict[str, Tensor]) -> None:
    head = model.heads["cls"]
    pooled = head.encode(features)
    for name in recording.names(f"classification/{case}/"):
        number = re.match(r"logits_head(\d+)", name)
        ours = head.branches[DATASETS[int(number[1])]](pooled) if number else pooled
        recording.compare(f"classification/{case}/{name}", ours)


def _compare_masks(
    recording: Recording, model: FoundationX, case: str, features: dict[str, Tensor], size: tuple[int, int]
) -> None:
    head = model.heads["mask"]
    encoded = head.encode(features)
    top, fused = head.consistency(encoded, "")
    for name in recording.names(f"segmentation/{case}/"):
        found = re.match(r"logits_head(\d+)(?:_stride(\d+))?$", name)
        if found:
            step = int(found[2] or 1)
            ours = head.logits(encoded, DATASETS[int(found[1])], size)[:, :, ::step, ::step]
        else:
            ours = {"consistency_top": top, "consistency_fpn": fused}[name]
        recording.compare(f"segmentation/{case}/{name}", ours)


def _compare_boxes(
    recording: Recording, model: FoundationX, case: str, features: dict[str, Tensor], padded: Tensor | None
) -> None:
    head = model.heads["box"]
    levels = head.project(head.normalize(features))
    encoded = head.encode(features, padded)
    shapes, padding = encoded.levels
    positions = head.positions(encoded.levels)
    sides = torch.tensor(shapes)
    areas = sides.prod(1)
    shared = {
        "spatial_shapes": sides,
        "level_start_index": areas.cumsum(0) - areas,
        "encoder_memory": encoded.memory,
    }
    for level, (h, w) in enumerate(shapes):
        grid = positions[level].transpose(1, 2).reshape(-1, head.options.dim, h, w)
        for name, ours in ((f"position_l{level}", grid), (f"input_proj_l{level}", levels[level])):
            # Without padding one image stands for all.
            shared[name] = ours if padded is not None else ours[:1]
    if padded is not None:
        shared["valid_ratios_wh"] = padding.valid_ratios
        shared["token_padding_mask"] = padding.token_mask
        shared["pixel_padding_mask"] = padded
    prefix = f"localization/{case}/"
    datasets = set()
    for name in recording.names(prefix):
        head_number = re.match(r"d(\d+)/", name)
        if head_number:
            datasets.add(int(head_number[1]))
        elif name == "orig_sizes_hw":
            recording.given(prefix + name)
        else:
            recording.compare(prefix + name, shared[name])
    for d in sorted(datasets):
        _compare_decoder(recording, head, prefix, d, encoded)


def _compare_decoder(recording: Recording, head, prefix: str, d: int, encoded) -> None:
    out = head.decode(encoded, DATASETS[d])
    selection, decoded = out.selection, out.decoded
    sizes = recording.given(f"{prefix}orig_sizes_hw")
    scores, labels, corners = best_detections(out.logits[-1], decoded.boxes[-1], head.options.topk)
    ours = {
        "pred_logits": out.logits[-1],
        "pred_boxes": decoded.boxes[-1],
        "decoder_states": decoded.states,
        "references": decoded.references,
        "selected_tokens": selection.tokens[None],
        "selector_logits_of_selected": selection.logits,
        "selector_boxes": selection.boxes,
        "selector_anchors": selection.anchors,
        "selector_scores": selection.scores,
        "selector_index": selection.index,
        "post_scores": scores,
        "post_labels": labels,
        "post_boxes": corners * sizes.flip(1).repeat(1, 2)[:, None],
    }
    for layer in range(len(out.logits) - 1):
        ours[f"aux{layer}_pred_logits"] = out.logits[layer]
        ours[f"aux{layer}_pred_boxes"] = decoded.boxes[layer]
    for name in recording.names(f"{prefix}d{d}/"):
        scale = float(sizes.max()) if name == "post_boxes" else 1.0
        recording.compare(f"{prefix}d{d}/{name}", ours[name], scale)
