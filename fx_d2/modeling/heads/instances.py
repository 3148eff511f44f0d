"""From the network's square input back to original pixels, as Detectron2 structures."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor


def content_rectangle(entry: dict) -> tuple[float, float, float, float]:
    """Rectangle x0, y0, x1, y1 of the input that holds the whole original image (all of it unless letterboxed)."""
    height, width = entry["image"].shape[-2:]
    return entry.get("content", (0.0, 0.0, float(width), float(height)))


def boxes_to_original(boxes: Tensor, entry: dict) -> Boxes:
    """(N, 4) corners in 0..1 of the input -> clipped boxes in original pixels."""
    x0, y0, x1, y1 = content_rectangle(entry)
    (rows, columns), height, width = entry["image"].shape[-2:], entry["height"], entry["width"]
    scale = boxes.new_tensor([width / (x1 - x0), height / (y1 - y0)] * 2)
    original = (boxes * boxes.new_tensor([columns, rows] * 2) - boxes.new_tensor([x0, y0] * 2)) * scale
    # Not Boxes.clip: it stops at numbers that are not finite without saying in which image.
    return Boxes(original.clamp(min=0).minimum(boxes.new_tensor([width, height] * 2)))


def masks_to_original(logits: Tensor, entry: dict) -> Tensor:
    """(K, S, S) logits of the input -> (K, height, width) logits of the original image."""
    x0, y0, x1, y1 = (round(edge) for edge in content_rectangle(entry))
    crop = logits[None, :, y0:y1, x0:x1]
    return F.interpolate(crop, (entry["height"], entry["width"]), mode="bilinear", align_corners=False)[0]


def present_instances(masks: Tensor, threshold: float, components: bool) -> Instances:
    """An instance for each class (or connected component) of masks (K, H, W) with a pixel of at least ``threshold``.

    The score is the mean probability inside the instance.
    """
    inside, classes, scores = [], [], []
    for index, probability in enumerate(masks):
        regions = [probability >= threshold]
        if components:
            count, labels = cv2.connectedComponents(regions[0].cpu().numpy().astype(np.uint8))
            regions = [torch.from_numpy(labels == label).to(masks.device) for label in range(1, count)]
        for region in regions:
            if region.any():
                inside.append(region)
                classes.append(index)
                scores.append(probability[region].mean())
    size = tuple(masks.shape[-2:])
    pred_masks = torch.stack(inside) if inside else masks.new_zeros((0, *size), dtype=torch.bool)
    instances = Instances(size, pred_masks=pred_masks, pred_boxes=BitMasks(pred_masks).get_bounding_boxes())
    instances.scores = torch.stack(scores) if scores else masks.new_zeros(0)
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64, device=masks.device)
    return instances
