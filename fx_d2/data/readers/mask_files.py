"""Published masks as pictures: a folder, or several, for each structure, and in it a picture for each image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..masks import mask_annotation
from ..records import ReadReport
from .tree import FileIndex


def read_mask_files(
    folders: Mapping[str, Sequence[Path]], images: Iterable[str], report: ReadReport, factor: int = 1
) -> dict[str, dict]:
    """The masks of each image; a structure without a file is unknown, an image without any is left out.

    Args:
        folders: by structure, in the order of the classes.
        factor: the height and width of an image, in those of its masks.
    """
    report.files += [str(folder) for found in folders.values() for folder in found]
    indices = [FileIndex(found) for found in folders.values()]
    fields = {}
    for image in images:
        paths = [index.get(image) for index in indices]
        unknown = [number for number, path in enumerate(paths) if path is None]
        for number in unknown:
            report.note("structures without a mask file", f"{image}: {list(folders)[number]}")
        if len(unknown) < len(paths):
            annotations = [
                mask_annotation({"png": path, "factor": factor}, number)
                for number, path in enumerate(paths)
                if path is not None
            ]
            fields[image] = {"annotations": annotations, "unknown_classes": unknown}
    return fields
