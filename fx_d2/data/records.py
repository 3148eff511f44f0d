"""What the catalog holds of a dataset: tasks, classes, how to read it, and the report of a reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Event:
    """A tolerated flaw of the data: how often it occurred, and its first place as ``file, line 7: text``."""

    times: int = 0
    first: str = ""


@dataclass
class ReadReport:
    """What the reading of one task and split met; nothing is dropped or changed without an event here.

    Attributes:
        unit: ``dataset/task``.
        files: annotation files that were read.
        listed: images of this split that the annotation files name for this task.
        found: those of them whose image file is there.
        used: records given; ``found`` less the images that an event says were left out.
        unlisted: image files below the folder of this part of the dataset that no row of the files names.
        events: by reason (``rows repeated``, ``boxes clipped`` ...). Reasons about rows count the whole file, which
            several splits may share; reasons about images count this split.
    """

    unit: str
    split: str
    files: list[str] = field(default_factory=list)
    listed: int = 0
    found: int = 0
    used: int = 0
    unlisted: int = 0
    events: dict[str, Event] = field(default_factory=dict)

    def note(self, reason: str, place: str, times: int = 1) -> None:
        """Counts an event; the first place is kept."""
        event = self.events.setdefault(reason, Event(first=place))
        event.times += times

    def lines(self) -> list[str]:
        """The report as text, one fact a line."""
        head = f"{self.unit} {self.split}: {self.listed} images listed, {self.found} found, {self.used} used"
        extra = [f"{self.unlisted} image files without a row"] if self.unlisted else []
        events = (f"{event.times} {reason} (first: {event.first})" for reason, event in self.events.items())
        return [head, *extra, *events]


@dataclass(frozen=True)
class Overlap:
    """Images that a dataset shares with another one; training on one and testing on the other leaks.

    Attributes:
        dataset: the other dataset's name.
        known_by: how the same image is recognised: ``same_image`` (a key of the dataset dicts),
            ``file name`` (stems are equal), or ``pixels`` (no public map: compare the pictures).
        note: how many, and which part, as far as it is published.
        same_patients: the key ``patient_id`` of both means the same people.
    """

    dataset: str
    known_by: str
    note: str = ""
    same_patients: bool = False


@dataclass(frozen=True)
class TaskRecord:
    """One task of a dataset.

    Attributes:
        classes: class names in the order of the head's outputs; never empty.
        exclusive: exactly one class holds for an image (softmax instead of one sigmoid per class).
        lateral_pairs: pairs of class names that a horizontal flip exchanges.
        flip: False if a horizontal flip would make labels wrong (a one-sided class without a partner).
        notes: how the truth was made, such as boxes from masks.
    """

    classes: tuple[str, ...]
    exclusive: bool = False
    lateral_pairs: tuple[tuple[str, str], ...] = ()
    flip: bool = True
    notes: str = ""


@dataclass(frozen=True)
class DatasetRecord:
    """One dataset.

    Attributes:
        name: registered as ``{name}_{task}_{split}``.
        tasks: by task name (cls, box, mask).
        read: ``read(task, split)`` gives the list of dataset dicts (standard Detectron2 dicts; the keys are described
            in ``datasets/README.md``). Treat the dicts as read-only: they are cached.
        report: ``report(task, split)`` gives the :class:`ReadReport` of that reading, and reads if necessary.
        source: where the declaration stands (a YAML file, or the built-in table).
        notes: what a user of the data ought to know.
        digest: changes when the declaration or one of the files that it names changes.
        overlaps: the datasets that share images with this one.
        published: number of images by split as the publisher states it.
    """

    name: str
    tasks: Mapping[str, TaskRecord]
    splits: tuple[str, ...]
    read: Callable[[str, str], list[dict]] = field(compare=False, repr=False)
    report: Callable[[str, str], ReadReport] = field(compare=False, repr=False)
    source: str
    notes: str = ""
    digest: str = field(default="", repr=False)
    overlaps: tuple[Overlap, ...] = ()
    published: Mapping[str, int] = field(default_factory=dict)
