"""Dataset dict -> tensors of one unit: reads the image, draws a view, transforms the annotations with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.config import configurable
from detectron2.structures import Boxes, BoxMode, Instances

from ..config import unit_metadata
from ..schedule import Unit
from .augmentation import Geometry, Photometry
from .caching.reader import ImageReader
from .errors import DataError, nearest
from .masks import UNKNOWN, decode_drawn
from .transforms import AffineTransform, move_boxes


def mirror_index(classes: Sequence[str], lateral_pairs: Sequence[Sequence[str]]) -> np.ndarray:
    """The index of each class's mirror image, int64 (K,); ValueError if a pair names an unknown class."""
    index = np.arange(len(classes))
    for pair in lateral_pairs:
        for name in pair:
            if name not in classes:
                raise ValueError(f"lateral pair {tuple(pair)}: no class {name!r}, {nearest(name, classes)}")
        left, right = map(list(classes).index, pair)
        index[left], index[right] = right, left
    return index


def make_instances(boxes: np.ndarray, classes: np.ndarray, size: int) -> Instances:
    """Truth of the box task: ``gt_boxes`` float32 (N, 4) corners in input pixels, ``gt_classes`` int64 (N,)."""
    instances = Instances((size, size))
    instances.gt_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.as_tensor(classes, dtype=torch.int64).reshape(-1)
    return instances


class UnitMapper:
    """Maps the dataset dicts of one unit; the input dict is never changed.

    Args:
        classes: class names of the unit.
        lateral_pairs: pairs of class names that a flip exchanges, in labels, boxes and masks alike.
        geometry, photometry: what may be drawn in training. Photometry comes after geometry and before normalisation.
        teacher_view: training also gives ``image_teacher``, a second photometric view of the same geometric view.
        train: draw views and give the truth; otherwise the plain image and where it lies in the input.
        read: reads an image file; the default reads every pixel and caches nothing.
    """

    @configurable
    def __init__(
        self,
        *,
        unit: Unit,
        classes: Sequence[str],
        geometry: Geometry,
        photometry: Photometry,
        lateral_pairs: Sequence[Sequence[str]] = (),
        teacher_view: bool = False,
        train: bool = True,
        read: ImageReader | None = None,
    ) -> None:
        self.unit = unit
        self.classes = classes
        self.mirror = mirror_index(classes, lateral_pairs)
        self.geometry = geometry
        self.photometry = photometry
        self.teacher_view = teacher_view
        self.train = train
        self.read = read or ImageReader()

    @classmethod
    def from_config(cls, cfg, unit: Unit, train: bool) -> dict[str, Any]:
        """Arguments from ``cfg.INPUT`` and the unit's metadata; ``UnitMapper(cfg, unit, train)`` calls it."""
        metadata, task, options = unit_metadata(unit), unit.task.upper(), cfg.INPUT
        geometry = Geometry(
            size=options.SIZE,
            letterbox=options.LETTERBOX,
            crop_area=tuple(options.CROP_AREA[task]),
            rotation=options.ROTATION[task],
            scale=tuple(options.SCALE[task]),
            shift=options.SHIFT[task],
            # A one-sided class without a partner would be wrong in the mirror.
            flip=options.FLIP[task] if metadata.flip else 0.0,
        )
        return {
            "unit": unit,
            "classes": metadata.thing_classes,
            "lateral_pairs": metadata.lateral_pairs,
            "geometry": geometry,
            "photometry": Photometry(options.BRIGHTNESS, options.CONTRAST, options.GAMMA),
            "teacher_view": options.TEACHER_VIEW,
            "train": train,
            "read": ImageReader.from_config(cfg),
        }

    def __call__(self, dataset_dict: Mapping[str, Any], rng: np.random.Generator | None = None) -> dict[str, Any]:
        """Maps one image.

        Args:
            dataset_dict: as a reader gives it (``datasets/README.md``).
            rng: source of all draws; needed in training, not used otherwise.

        Returns:
            ``image`` uint8 (1, S, S), ``file_name``, ``image_id``, ``unit``, ``height`` and ``width`` of the original.
            Training adds ``image_teacher`` (if asked for) and the truth: ``labels`` float32 (K,), NaN unknown;
            ``instances``; or ``masks`` uint8 (K, S, S), 255 unknown. Otherwise ``content`` is added: the rectangle
            x0, y0, x1, y1 of the input that holds the whole original image.

        Raises:
            DataError: the image or its truth cannot be used; the message names the file.
        """
        try:
            return self._map(dataset_dict, rng)
        except DataError:
            raise  # names its file already
        except (ValueError, TypeError, LookupError, cv2.error) as error:
            name = dataset_dict.get("file_name", "an image without file_name")
            raise DataError(f"{name} ({self.unit}): {type(error).__name__}: {error}") from error

    def _map(self, dataset_dict: Mapping[str, Any], rng: np.random.Generator | None) -> dict[str, Any]:
        image = self.read(dataset_dict["file_name"])
        pixels, (file_height, file_width) = image.pixels, image.size
        # A record of findings may lack the size: tables do not give it, and opening every image for it takes hours.
        height, width = dataset_dict.get("height", file_height), dataset_dict.get("width", file_width)
        if (file_height, file_width) != (height, width):
            raise ValueError(
                f"the file has {file_width} x {file_height} pixels (width x height), its record says "
                f"{width} x {height}; the file has changed or the annotations belong to another copy of it"
            )
        output = {key: dataset_dict[key] for key in ("file_name", "image_id")}
        output.update(height=height, width=width, unit=str(self.unit))
        if not self.train:
            view = self.geometry.plain(height, width).at_resolution(*pixels.shape).apply_image(pixels)
            return output | {"image": torch.from_numpy(view)[None], "content": self.geometry.content(height, width)}
        if rng is None:
            raise ValueError("training needs a random generator")
        truth = self._read_truth(dataset_dict)
        transform = self.geometry.draw(rng, height, width, truth.get("centres"))
        view = transform.at_resolution(*pixels.shape).apply_image(pixels)
        for key in ("image", "image_teacher") if self.teacher_view else ("image",):
            output[key] = torch.from_numpy(cv2.LUT(view, self.photometry.draw(rng)))[None]
        return output | self._transform_truth(truth, transform)

    def _read_truth(self, dataset_dict: Mapping[str, Any]) -> dict[str, Any]:
        """The truth in source pixels; of masks only the classes that have an annotation, and the unknown ones."""
        if self.unit.task == "cls":
            labels = np.asarray(dataset_dict["labels"], np.float32)
            if labels.shape != (len(self.classes),):
                raise ValueError(f"{labels.size} labels for {len(self.classes)} classes")
            return {"labels": labels}
        if self.unit.task == "mask":
            unknown = dataset_dict.get("unknown_classes", ())
            drawn = {k: mask for k, mask in decode_drawn(dataset_dict).items() if k not in unknown}
            return {"drawn": drawn, "unknown": list(unknown)}
        annotations = [entry for entry in dataset_dict["annotations"] if not entry.get("iscrowd", 0)]
        boxes = [BoxMode.convert(list(entry["bbox"]), entry["bbox_mode"], BoxMode.XYXY_ABS) for entry in annotations]
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        return {
            "boxes": corners,
            "centres": (corners[:, :2] + corners[:, 2:]) / 2,
            "classes": np.asarray([entry["category_id"] for entry in annotations], np.int64),
        }

    def _transform_truth(self, truth: Mapping[str, Any], transform: AffineTransform) -> dict[str, Any]:
        """The truth of the view as the task's tensors."""
        mirror = self.mirror if transform.mirrored else np.arange(len(self.classes))
        if self.unit.task == "cls":
            return {"labels": torch.from_numpy(truth["labels"][mirror])}
        if self.unit.task == "mask":
            masks = np.zeros((len(self.classes), *transform.output_size), np.uint8)
            for category, mask in truth["drawn"].items():
                masks[category] = transform.apply_segmentation(mask)
            masks[truth["unknown"]] = UNKNOWN  # outside of the image, too
            return {"masks": torch.from_numpy(masks[mirror])}
        boxes, visible = move_boxes(transform, truth["boxes"])
        return {"instances": make_instances(boxes[visible], mirror[truth["classes"]][visible], self.geometry.size)}
