"""What the readers of all published datasets share: folder, splits, image files, report, cache."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from ..errors import DataError, count
from ..images import read_header
from ..records import ReadReport, TaskRecord
from ..splits import split_by_fraction
from .boxes import box_annotation
from .tree import FileIndex, Tree, find_root

logger = logging.getLogger(__name__)

# Seed of every split that we draw; written down in datasets/README.md, never to be changed.
SPLIT_SEED = 0
_PROGRESS_FROM = 2000


class PublishedReader:
    """Reads one dataset as published; a subclass says what is peculiar to it.

    A *part* is a division that the publisher made (a file, a list, a folder). A split is a part, or a share of one,
    drawn by patient. Nothing is read before :meth:`read` or :meth:`report`; a part is read once for each task.

    Attributes:
        folder: how the name of the dataset's folder may begin, besides the dataset's own name.
        anchors: files or folders of which one tells that it is this dataset.
        layout: the tree as published, in a line.
        path_parts, bare: how image files are told apart and known as such, see :class:`FileIndex`.
        frame: height and width of every image where the publisher fixed it; checked when an image is decoded.
    """

    folder: ClassVar[tuple[str, ...]] = ()
    anchors: ClassVar[tuple[str, ...]] = ()
    layout: ClassVar[str] = ""
    path_parts: ClassVar[int] = 1
    bare: ClassVar[bool] = False
    frame: ClassVar[tuple[int, int] | None] = None

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name, self.options = name, options
        self._records: dict[tuple[str, str], list[dict]] = {}
        self._reports: dict[tuple[str, str], ReadReport] = {}
        self._indices: dict[tuple[Path, ...], FileIndex] = {}
        self._images: dict[str, Mapping[str, str]] = {}

    # ---- what a subclass says ------------------------------------------------------------------------------------

    def tasks(self) -> dict[str, TaskRecord]:
        """The tasks with their classes; the options may choose among classes."""
        raise NotImplementedError

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        """The splits of each part with their shares, ``{"train": {"train": 0.9, "val": 0.1}, "test": {"test": 1}}``.

        Where the publisher divides nothing, we draw.
        """
        return {"all": {"train": 0.7, "val": 0.1, "test": 0.2}}

    def images(self, part: str) -> Mapping[str, str]:
        """Every image of a part by its id, with its patient; an empty text where nobody says who."""
        raise NotImplementedError

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        """The fields of a task (``labels`` or ``annotations``) of every image that is annotated for it."""
        raise NotImplementedError

    def folders(self, part: str) -> list[Path]:
        """Where the image files of a part are, at any depth."""
        return [self.tree.root]

    def known(self, part: str, images: Mapping[str, str]) -> Iterable[str]:
        """The images that may lie in :meth:`folders`; more than the part's where folders are shared."""
        return images

    # ---- what they share -----------------------------------------------------------------------------------------

    @cached_property
    def tree(self) -> Tree:
        """The dataset's folder."""
        return find_root(self.name, self.folder, self.anchors, self.layout, self.options.get("root", ""))

    def index(self, part: str) -> FileIndex:
        """The image files of a part; folders that parts share are listed once."""
        folders = tuple(self.folders(part))
        if folders not in self._indices:
            self._indices[folders] = FileIndex(folders, self.path_parts, self.bare)
        return self._indices[folders]

    def read(self, task: str, split: str) -> list[dict]:
        """The dataset dicts of one split, by image id.

        Raises:
            DataError: the dataset is not there, something in its files is wrong, or no image is left.
        """
        self._read_split(task, split)
        records = self._records[task, split]
        if not records:
            raise DataError(self.why_empty(task, split))
        return list(records)

    def report(self, task: str, split: str) -> ReadReport:
        """What the reading of a split met; an empty split is reported, not raised."""
        self._read_split(task, split)
        return self._reports[task, split]

    def why_empty(self, task: str, split: str) -> str:
        report = self._reports[task, split]
        return (
            f"{report.unit}: split {split!r} has no image: {report.listed} listed, {report.found} found below "
            f"{self.tree.root}; {'; '.join(report.lines()[1:]) or 'the files name none'}"
        )

    def _read_split(self, task: str, split: str) -> None:
        if (task, split) in self._reports:
            return
        parts = self.parts(task)
        part = next((name for name, shares in parts.items() if split in shares), None)
        if part is None:
            raise DataError(f"{self.name}/{task}: no split {split!r}")
        self._read_part(task, part, parts[part])

    def _read_part(self, task: str, part: str, shares: Mapping[str, float]) -> None:
        if part not in self._images:
            self._images[part] = self.images(part)
        images = self._images[part]
        split_of = self._split(images, shares)
        whole = ReadReport(f"{self.name}/{task}", part)
        truth = self.truth(task, part, split_of, whole)
        files = self.index(part)
        if not len(files):
            where = " or ".join(files.folders)
            raise DataError(f"{self.name}: no image file below {where}. Expected: {self.tree.layout}")
        for repeated, used in files.repeated:
            whole.note("image files of a name that occurs twice", f"{repeated}, {used} is used")
        unlisted = files.unlisted(self.known(part, images))
        reports = {split: self._new_report(whole, split, len(unlisted)) for split in shares}
        records: dict[str, list[dict]] = {split: [] for split in shares}
        for image_id in sorted(truth):
            split = split_of[image_id]
            report, path = reports[split], files.get(image_id)
            report.listed += 1
            if path is None:
                report.note("images without a file", f"{image_id} of {' and '.join(report.files)}")
                continue
            report.found += 1
            record = self._record(task, image_id, path, images[image_id], truth[image_id])
            records[split].append(record)
        for split, report in reports.items():
            if task != "cls":
                self._add_sizes(records[split], report)
            report.used = len(records[split])
            self._records[task, split], self._reports[task, split] = records[split], report
        self._log(whole, reports, len(unlisted))
        self._refuse_none_found(whole.unit, reports, files)

    def _split(self, images: Mapping[str, str], shares: Mapping[str, float]) -> Mapping[str, str]:
        if len(shares) == 1:
            return dict.fromkeys(images, next(iter(shares)))
        patients = {image_id: patient for image_id, patient in images.items() if patient}
        return split_by_fraction(list(images), patients, shares, SPLIT_SEED)

    @staticmethod
    def _new_report(whole: ReadReport, split: str, unlisted: int) -> ReadReport:
        report = ReadReport(whole.unit, split, files=list(whole.files), unlisted=unlisted)
        for reason, event in whole.events.items():
            report.note(reason, event.first, event.times)
        return report

    def _record(self, task: str, image_id: str, path: str, patient: str, fields: dict) -> dict:
        record: dict[str, Any] = {"file_name": path, "image_id": image_id, "unit": f"{self.name}/{task}"}
        if self.frame is not None and task != "cls":
            record["height"], record["width"] = self.frame
        if patient:
            record["patient_id"] = patient
        record.update(fields)
        return record

    @staticmethod
    def _add_sizes(records: list[dict], report: ReadReport) -> None:
        """Sizes from the headers of the images where nobody publishes them; then boxes are clipped to the image."""
        unknown = [record for record in records if "height" not in record]
        quiet = True if len(unknown) <= _PROGRESS_FROM else None  # None: only on a terminal
        for record in tqdm(unknown, desc=f"sizes of {count(len(unknown), 'image')}", disable=quiet):
            header = read_header(record["file_name"])
            record["height"], record["width"] = size = header.height, header.width
            for remark in header.remarks:
                report.note(remark, record["file_name"])
            clipped = []
            for entry in record["annotations"]:
                if "segmentation" not in entry:
                    entry = box_annotation(entry["bbox"], entry["category_id"], size, record["image_id"], report)
                clipped += [entry] if entry else []
            record["annotations"] = clipped

    @staticmethod
    def _log(whole: ReadReport, reports: Mapping[str, ReadReport], unlisted: int) -> None:
        """Each split in a line; what was met in the files, which splits share, once."""
        whole.unlisted = unlisted
        for line in whole.lines()[1:]:
            logger.warning("%s: %s", whole.unit, line)
        for report in reports.values():
            first, *rest = report.lines()
            logger.info(first)
            for line in rest:
                if line not in whole.lines():
                    logger.warning("%s %s: %s", report.unit, report.split, line)

    def _refuse_none_found(self, unit: str, reports: Mapping[str, ReadReport], files: FileIndex) -> None:
        listed, found = (sum(getattr(report, key) for report in reports.values()) for key in ("listed", "found"))
        if listed and not found:
            first = next(event.first for report in reports.values() for event in report.events.values() if event)
            raise DataError(
                f"{unit}: none of {count(listed, 'listed image')} is there ({first}); {files}. Expected: "
                f"{self.tree.layout}"
            )
