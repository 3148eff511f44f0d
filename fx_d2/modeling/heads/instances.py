"""From the network's square input back to original pixels, as Detectron2 structures."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor


def content_of(entry: dict) -> tuple[float, float, float, float]:
    """Rectangle x0, y0, x1, y1 of the input that holds the whole original image (all of it unless letterboxed)."""
    height, width = entry["image"].shape[-2:]
    return entry.get("content", (0.0, 0.0, float(width), float(height)))


def boxes_to_original(boxes: Tensor, entry: dict) -> Boxes:
    """(N, 4) corners in 0..1 of the image's own input -> clipped boxes in original pixels."""
    x0, y0, x1, y1 = content_of(entry)
    rows, columns = entry["image"].shape[-2:]
    height, width = entry["height"], entry["width"]
    origin = boxes.new_tensor([x0, y0, x0, y0])
    scale = boxes.new_tensor([width / (x1 - x0), height / (y1 - y0)] * 2)
    result = Boxes((boxes * boxes.new_tensor([columns, rows] * 2) - origin) * scale)
    result.clip((height, width))
    return result


def masks_to_original(logits: Tensor, entry: dict) -> Tensor:
    """(K, S, S) logits of the input -> (K, height, width) logits of the original image."""
    x0, y0, x1, y1 = (round(edge) for edge in content_of(entry))
    crop = logits[None, :, y0:y1, x0:x1]
    return F.interpolate(crop, (entry["height"], entry["width"]), mode="bilinear", align_corners=False)[0]


def present_instances(masks: Tensor, threshold: float, components: bool) -> Instances:
    """Instances of the classes (or of the connected components) that have a pixel at or above ``threshold``.

    The score is the mean probability inside the instance.

    Shapes:
        masks (K, H, W), probabilities.
    """
    inside, classes, scores = [], [], []
    for index, probability in enumerate(masks):
        binary = probability >= threshold
        for region in _components(binary) if components else [binary]:
            if region.any():
                inside.append(region)
                classes.append(index)
                scores.append(probability[region].mean())
    instances = Instances(tuple(masks.shape[-2:]))
    instances.pred_masks = torch.stack(inside) if inside else masks.new_zeros((0, *masks.shape[-2:]), dtype=torch.bool)
    instances.pred_boxes = BitMasks(instances.pred_masks).get_bounding_boxes()
    instances.scores = torch.stack(scores) if scores else masks.new_zeros(0)
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64, device=masks.device)
    return instances


def _components(binary: Tensor) -> list[Tensor]:
    count, labels = cv2.connectedComponents(binary.cpu().numpy().astype(np.uint8))
    return [torch.from_numpy(labels == label).to(binary.device) for label in range(1, count)]
