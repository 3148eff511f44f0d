"""Random batches: a step takes as long on noise as on radiographs."""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances

from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.schedule import Unit

# The head sizes of a benchmark need no files: datasets are registered, not read.
BOXES = 3


def random_batch(unit: Unit, classes: UnitClasses, size: int, count: int, seed: int = 0) -> list[dict]:
    """What the mapper gives, ``count`` times: noise with one label, three boxes or random masks an image."""
    generator = torch.Generator().manual_seed(seed)
    truth = {"cls": _label, "box": _boxes, "mask": _masks}[unit.task]
    batch = []
    for _ in range(count):
        images = torch.randint(0, 256, (2, 1, size, size), dtype=torch.uint8, generator=generator)
        entry = {"image": images[0], "image_teacher": images[1], "unit": str(unit), "height": size, "width": size}
        batch.append(entry | truth(len(classes.names), size, generator))
    return batch


def _label(classes: int, size: int, generator: torch.Generator) -> dict:
    chosen = torch.randint(0, classes, (), generator=generator)
    return {"labels": torch.nn.functional.one_hot(chosen, classes).float()}


def _boxes(classes: int, size: int, generator: torch.Generator) -> dict:
    low = torch.rand(BOXES, 2, generator=generator) * size / 2
    instances = Instances((size, size), gt_boxes=Boxes(torch.cat([low, low + size / 4], 1)))
    instances.gt_classes = torch.randint(0, classes, (BOXES,), generator=generator)
    return {"instances": instances}


def _masks(classes: int, size: int, generator: torch.Generator) -> dict:
    return {"masks": torch.randint(0, 2, (classes, size, size), dtype=torch.uint8, generator=generator)}
