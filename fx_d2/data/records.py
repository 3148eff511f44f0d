"""What the catalog keeps of a dataset: its tasks, its classes, and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TaskRecord:
    """One task of a dataset.

    Attributes:
        classes: class names in the order of the head's outputs; never empty.
        exclusive: exactly one class holds for an image (softmax instead of one sigmoid per class).
        lateral_pairs: pairs of class names that a horizontal flip exchanges.
        flip: False where a horizontal flip would make labels wrong (a one-sided class without a partner).
    """

    classes: tuple[str, ...]
    exclusive: bool = False
    lateral_pairs: tuple[tuple[str, str], ...] = ()
    flip: bool = True


@dataclass(frozen=True)
class DatasetRecord:
    """One dataset.

    Attributes:
        name: registered as ``{name}_{task}_{split}``.
        tasks: by task name (cls, box, mask).
        splits: names of the splits.
        read: ``read(task, split)`` gives the list of dataset dicts (standard Detectron2 dicts; the keys are described
            in ``datasets/README.md``). Treat what is inside them as read-only: the lists are cached.
        source: where the declaration stands (a YAML file, or the built-in table).
        notes: what a user of the data ought to know.
        digest: changes when the declaration or one of the files that it names changes.
    """

    name: str
    tasks: Mapping[str, TaskRecord]
    splits: tuple[str, ...]
    read: Callable[[str, str], list[dict]] = field(compare=False, repr=False)
    source: str
    notes: str = ""
    digest: str = field(default="", repr=False)
