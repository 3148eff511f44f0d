"""The tasks of a user's YAML file: which reader reads a task, with which options, and what the catalog holds of it."""

from __future__ import annotations

import math

from .errors import DataError, nearest
from .laterality import derive_pairs, unpaired
from .readers.coco import CocoFile, CocoOptions
from .readers.csv_labels import CsvLabels
from .readers.findings_column import NONE, FindingsColumn
from .readers.label_maps import LabelMaps
from .readers.mask_folder import MaskFolders
from .readers.voc import VocFiles
from .readers.yolo import YoloLabels
from .readers.yolo_names import find_names, read_class_names
from .records import TaskRecord
from .yaml_section import Section

TASK_KEYS = {
    "cls": (
        *("file", "image", "classes", "exclusive", "uncertain", "lateral_pairs"),
        *("findings", "separator", "none"),
    ),
    "box": ("file", "bbox", "yolo", "no_file", "names", "voc", "classes", "lateral_pairs"),
    "mask": ("file", "folders", "folder", "labels", "suffix", "empty_masks", "classes", "lateral_pairs"),
}
_UNCERTAIN = {"ignore": math.nan, "zero": 0.0, "one": 1.0}
Reader = CocoFile | CsvLabels | LabelMaps | MaskFolders | VocFiles | YoloLabels


def parse_reader(task: str, section: Section) -> Reader:
    """The reader that a task's section declares; DataError names the key that is wrong."""
    if "empty_masks" in section and "file" not in section:
        raise section.error(
            "empty_masks", "goes with file; in a folder, an all-zero picture says that the class is absent"
        )
    if task == "mask" and "folders" in section:
        return _parse_folders(section)
    if task == "mask" and ("folder" in section or "labels" in section):
        return _parse_label_maps(section)
    if "suffix" in section:
        raise section.error("suffix", "goes with folders or folder, not with file")
    for key in ("names", "no_file"):
        if key in section and "yolo" not in section:
            raise section.error(key, "goes with yolo")
    if "yolo" in section or "voc" in section:
        return _parse_boxes(section)
    if "file" not in section:
        raise DataError(
            f"{section.place}: key 'file' is missing"
            + {"mask": " (or 'folders', or 'folder' and 'labels')", "box": " (or 'yolo', or 'voc')"}.get(task, "")
        )
    path, classes = section.path("file"), section.names("classes")
    if task != "cls":
        bbox = section.choice("bbox", ("xywh", "xyxy"))
        drop_empty = section.choice("empty_masks", ("refuse", "drop")) == "drop"
        return CocoFile(path, task, classes, CocoOptions(bbox, drop_empty))
    exclusive, uncertain = section.flag("exclusive"), section.values.get("uncertain", "ignore")
    if isinstance(uncertain, str) and uncertain in _UNCERTAIN:
        uncertain = _UNCERTAIN[uncertain]
    elif isinstance(uncertain, bool) or not isinstance(uncertain, int | float) or not 0 <= uncertain <= 1:
        raise section.error("uncertain", f"ignore, zero, one or a number from 0 to 1, not {uncertain!r}")
    if exclusive and not math.isnan(uncertain):
        raise section.error("uncertain", "classes that exclude each other allow ignore only")
    image, findings = section.text("image", "image"), _parse_findings(section)
    return CsvLabels(path, image, classes, exclusive, float(uncertain), findings)


def _parse_findings(section: Section) -> FindingsColumn | None:
    if "findings" in section:
        if "uncertain" in section:
            raise section.error("uncertain", "goes with a column for each class; a list of findings has no -1")
        separator = section.text("separator") if "separator" in section else None
        if separator is not None and not separator.strip():
            raise section.error("separator", f"a mark such as '|' is needed, not {separator!r}")
        return FindingsColumn(section.text("findings"), separator, section.text("none", NONE))
    for key in ("separator", "none"):
        if key in section:
            raise section.error(key, "goes with findings")
    return None


def _parse_boxes(section: Section) -> VocFiles | YoloLabels:
    form = "yolo" if "yolo" in section else "voc"
    for key in ("file", "voc"):
        if key in section and key != form:
            raise section.error(key, f"give {key} or {form}, not both")
    if "bbox" in section:
        raise section.error("bbox", f"goes with file; {form} has one form of boxes")
    folder, classes = section.path(form, folder=True), section.names("classes")
    if form == "voc":
        return VocFiles(folder, classes)
    negative = section.choice("no_file", ("unknown", "negative")) == "negative"
    file = section.path("names") if "names" in section else find_names(folder)
    if file is None and classes is None:
        raise section.error(
            "classes",
            f"no data.yaml or classes.txt with names in {folder} or the two folders above; list the classes in the "
            "order of their numbers from 0, or say where they are: names: FILE",
        )
    names = read_class_names(file) if file else dict(enumerate(classes or ()))
    for name in classes or ():
        if name not in names.values():
            raise section.error("classes", f"no class {name!r} in {file}; {nearest(name, names.values(), 'classes')}")
    chosen = classes or tuple(names[number] for number in sorted(names))
    return YoloLabels(folder, names, chosen, negative, file)


def _parse_folders(section: Section) -> MaskFolders:
    for key in ("file", "folder", "labels"):
        if key in section:
            raise section.error(key, f"give {key} or folders, not both")
    folders = section.child("folders", None)
    paths = {name: folders.path(name, folder=True) for name in section.distinct("folders", list(folders.values))}
    classes = section.names("classes") or tuple(paths)
    for name in classes:
        if name not in paths:
            raise section.error("classes", f"no folder for {name!r}; {nearest(name, paths, 'folders')}")
    return MaskFolders({name: paths[name] for name in classes}, section.text("suffix", ""))


def _parse_label_maps(section: Section) -> LabelMaps:
    for key in ("folder", "labels"):
        if key not in section:
            raise section.error(key, "is missing: label maps have a folder and labels, {1: A, 2: B}")
    if "file" in section:
        raise section.error("file", "give file or folder, not both")
    labels = section.values["labels"]
    if not isinstance(labels, dict) or not labels:
        raise section.error("labels", f"a mapping of pixel values to names, {{1: A, 2: B}}, is needed, not {labels!r}")
    for value in labels:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 16:
            raise section.error(
                "labels", f"a pixel value is a whole number from 1 to 65535 (0 is background), not {value!r}"
            )
    names = section.distinct("labels", list(labels.values()))
    classes = section.names("classes") or names
    for name in classes:
        if name not in names:
            raise section.error("classes", f"no label {name!r}; {nearest(name, names, 'labels')}")
    return LabelMaps(section.path("folder", folder=True), labels, classes, section.text("suffix", ""))


def task_record(reader: Reader, section: Section) -> TaskRecord:
    """Classes, and which of them a flip exchanges: as declared, or else derived from their names."""
    classes = reader.classes
    pairs = _parse_pairs(section, classes) if "lateral_pairs" in section else derive_pairs(classes)
    flip = "lateral_pairs" not in section or bool(pairs)
    alone = unpaired(classes, pairs)
    if alone and flip:
        raise section.error(
            "lateral_pairs",
            f"class {alone[0]!r} names a side but has no partner, so a horizontal flip would make it wrong; name its "
            "partner, [[A, B]], or write lateral_pairs: [] and this task is never flipped",
        )
    exclusive = isinstance(reader, CsvLabels) and reader.exclusive
    return TaskRecord(classes, exclusive, pairs, flip)


def _parse_pairs(section: Section, classes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = section.values["lateral_pairs"]
    if not isinstance(pairs, list):
        raise section.error("lateral_pairs", f"a list of pairs [[Left X, Right X], ...] is needed, not {pairs!r}")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise section.error("lateral_pairs", f"{pair!r} is not a pair of class names")
        for name in pair:
            if name not in classes:
                raise section.error("lateral_pairs", f"unknown class {name!r}; {nearest(name, classes, 'classes')}")
    section.distinct("lateral_pairs", [name for pair in pairs for name in pair])
    return tuple((left, right) for left, right in pairs)
