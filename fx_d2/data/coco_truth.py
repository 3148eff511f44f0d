"""The truth of mask units as COCO files for Detectron2's ``COCOEvaluator``, written when it opens them.

The dataset dicts alone would give other numbers than ours: a picture of a mask may hold several regions, or none, and
COCO has no classes that are unknown on an image.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler
from pycocotools import mask as coco_mask

from . import rle
from .masks import decode_drawn

_PREFIX = "fx-d2-truth://"


def truth_file(name: str) -> str:
    """What the metadata of a mask unit's split has as ``json_file``; no file is written yet."""
    return _PREFIX + name


def coco_truth(records: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """The COCO data set whose annotations are the connected regions of each class.

    Image ids are those of the dicts, category ids count from 0, as Detectron2 has both. A class that is unknown on an
    image is a crowd that fills it: what is predicted there is neither right nor wrong.

    Raises:
        DataError: a mask cannot be decoded; all are.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for record in records:
        height, width = record["height"], record["width"]
        name = {"id": record["image_id"], "file_name": str(record["file_name"])}
        images.append({**name, "height": height, "width": width})
        unknown = list(record.get("unknown_classes", ()))
        drawn = {category: mask for category, mask in decode_drawn(record).items() if category not in unknown}
        regions = [(k, part, 0) for k, mask in drawn.items() for part in rle.regions(mask)]
        whole = rle.write_edges(np.array([0, height * width]), height, width)
        regions += [(k, whole, 1) for k in unknown]
        for category, runs, crowd in regions:
            row = {"id": len(annotations) + 1, "image_id": record["image_id"], "category_id": category}
            row |= {"segmentation": runs, "bbox": coco_mask.toBbox(runs).tolist(), "area": float(coco_mask.area(runs))}
            annotations.append({**row, "iscrowd": crowd})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    return {"info": {}, "images": images, "categories": categories, "annotations": annotations}


class TruthFiles(PathHandler):
    """Detectron2's files whose names begin with ``fx-d2-truth://``."""

    def __init__(self) -> None:
        super().__init__()
        self._folder: tempfile.TemporaryDirectory | None = None

    def _get_supported_prefixes(self) -> list[str]:
        return [_PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        """Written anew each time: the dataset may have been registered again."""
        name = path.removeprefix(_PREFIX)
        truth = coco_truth(DatasetCatalog.get(name), MetadataCatalog.get(name).thing_classes)
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="fx_d2-")
        file = Path(self._folder.name) / f"{name}.json"
        file.write_text(json.dumps(truth), encoding="utf-8")
        return str(file)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any):
        return open(self._get_local_path(path), mode, buffering)


PathManager.register_handler(TruthFiles(), allow_override=True)
