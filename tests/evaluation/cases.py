"""Tables, outputs of a network, and random boxes and masks with crowds, ties of scores and all sizes."""

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from fx_d2.data.rle import from_mask as encode
from fx_d2.evaluation.coco import RegionSet
from fx_d2.evaluation.tables import FindingTable, ImageRow

SIDE = 220


def finding_table(labels, scores, patients=None, exclusive=False):
    """Classes a, b, c, ...; without patients each image is its own."""
    labels = np.asarray(labels, dtype=float)
    images = [ImageRow(str(number), patient) for number, patient in enumerate(patients or [None] * len(labels))]
    return FindingTable(images, tuple("abcdefg"[: labels.shape[1]]), labels, np.asarray(scores, float), exclusive)


def box_output(corners, classes, scores):
    """What a network gives for an image; corners are x, y, x, y."""
    instances = Instances((SIDE, SIDE), pred_boxes=Boxes(torch.as_tensor(corners).float().reshape(-1, 4)))
    instances.pred_classes, instances.scores = torch.as_tensor(classes).long(), torch.as_tensor(scores)
    return {"instances": instances}


def random_regions(rng, images, classes, truths, detections, crowds=0.15, ties=False, masks=False):
    """-> truth, predictions; a good part of the predictions lies near a truth, sizes from 3 to 200 pixels."""
    where = np.sort(rng.integers(0, images, truths)), rng.integers(0, classes, truths)
    boxes = _boxes(rng, truths)
    crowd = (rng.random(truths) < crowds).astype(float)
    source = rng.integers(0, max(truths, 1), detections)
    near = (rng.random(detections) < 0.7) & (truths > 0)
    predictions = _boxes(rng, detections)
    cells = rng.integers(0, images, detections), rng.integers(0, classes, detections)
    for j in np.flatnonzero(near):
        predictions[j] = np.clip(boxes[source[j]] * rng.normal(1, 0.12, 4), 0, SIDE)
        cells[0][j], cells[1][j] = where[0][source[j]], where[1][source[j]]
    predictions[:, 2:] = np.maximum(predictions[:, 2:], 1)
    scores = rng.permutation(detections) / (detections + 1)
    scores = np.round(scores, 1) if ties else scores
    order = np.argsort(cells[0], kind="stable")
    return (
        make_set(where[0], where[1], crowd, boxes, masks),
        make_set(cells[0][order], cells[1][order], scores[order], predictions[order], masks),
    )


def _boxes(rng, count):
    sizes = 3 + rng.random((count, 2)) ** 2 * 150
    return np.concatenate([rng.random((count, 2)) * (SIDE - sizes), sizes], axis=1)


def make_set(images, categories, values, boxes, masks=False):
    shapes = [encode(_ellipse(box)) for box in boxes] if masks else boxes
    as_int = (np.asarray(images, np.int64), np.asarray(categories, np.int64))
    return RegionSet(*as_int, np.asarray(values, float), shapes)


def _ellipse(box):
    x, y, width, height = box
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = ((columns - x - width / 2) / (width / 2)) ** 2 + ((rows - y - height / 2) / (height / 2)) ** 2 <= 1
    inside[min(SIDE - 1, int(y + height / 2)), min(SIDE - 1, int(x + width / 2))] = True  # never empty
    return inside


def repeat_images(regions, weights):
    """The set in which image i occurs ``weights[i]`` times, as images of their own."""
    first = np.concatenate([[0], np.cumsum(weights)[:-1]])
    index = [(j, first[i] + copy) for j, i in enumerate(regions.images) for copy in range(weights[i])]
    index.sort(key=lambda pair: pair[1])
    chosen = np.array([j for j, _ in index], dtype=np.int64)
    return RegionSet(
        np.array([image for _, image in index], dtype=np.int64),
        regions.categories[chosen],
        regions.values[chosen],
        regions.shapes[chosen],
    )
