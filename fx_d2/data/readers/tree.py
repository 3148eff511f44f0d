"""The folder of a published dataset as it was unpacked: where it is, where its files are, which images it holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import DataError, count
from .columns import fold

# Levels below a folder that are searched for a file or folder by name; publishers and re-packers nest differently.
_LEVELS = 3
# A folder with more entries holds images or patients: nothing that is searched for lies below it.
_CROWDED = 2000
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".mha", ".img", ".gif"))
_PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")


def data_root() -> Path:
    """The folder of the datasets: ``$DETECTRON2_DATASETS``, read now, else ``./datasets``."""
    return Path(os.environ.get("DETECTRON2_DATASETS") or "datasets")


def _entries(folder: str | Path) -> list[os.DirEntry]:
    """What a folder holds, by name; hidden files (partial downloads, resource forks) are left out."""
    with os.scandir(folder) as found:
        entries = [entry for entry in found if not entry.name.startswith(".")]
    if len(entries) > 1:  # a study has one image as a rule
        entries.sort(key=lambda entry: entry.name)
    return entries


def _levels(roots: Sequence[Path]) -> Iterator[list[os.DirEntry]]:
    """The entries of folders, then those of their subfolders, level by level."""
    folders = list(roots)
    for _ in range(_LEVELS + 1):
        level = [_entries(folder) for folder in folders]
        yield [entry for entries in level for entry in entries]
        small = (entry for entries in level if len(entries) <= _CROWDED for entry in entries)
        folders = [Path(entry.path) for entry in small if entry.is_dir()]


class Tree:
    """The folder of one dataset.

    Args:
        name: of the dataset, for messages.
        root: the folder.
        layout: the tree as published, in a line, for messages.
        others: folders that are searched, too: a part of the dataset that was unpacked beside the rest.
    """

    def __init__(self, name: str, root: Path, layout: str, others: Sequence[Path] = ()) -> None:
        self.name, self.root, self.layout = name, root, layout
        self.roots = [root, *others]

    def file(self, *names: str) -> Path:
        """The file of one of these names, as it is or compressed (``.gz``), on the level nearest to the root.

        Raises:
            DataError: there is none.
        """
        found = self.look_for(*names)
        if found is None:
            raise self.missing("file", names)
        return found

    def look_for(self, *names: str) -> Path | None:
        """As :meth:`file`; None if there is none."""
        wanted = {spelling.casefold() for name in names for spelling in (name, f"{name}.gz")}
        for level in _levels(self.roots):
            for entry in level:
                if entry.name.casefold() in wanted and entry.is_file():
                    return Path(entry.path)
        return None

    def folders(self, *names: str) -> list[Path]:
        """Folders of these names (case, blanks and punctuation aside) on the level nearest to the root that has any.

        Raises:
            DataError: there is none.
        """
        wanted = {fold(name) for name in names}
        for level in _levels(self.roots):
            found = [Path(entry.path) for entry in level if fold(entry.name) in wanted and entry.is_dir()]
            if found:
                return found
        raise self.missing("folder", names)

    def missing(self, kind: str, names: Sequence[str]) -> DataError:
        packed = [entry.name for entry in _entries(self.root) if entry.name.lower().endswith(_PACKED)]
        hint = f"; {packed[0]} is still packed, unpack it there" if packed else ""
        return DataError(
            f"{self.name}: no {kind} {' or '.join(repr(name) for name in names)} in {self.root} or below it{hint}. "
            f"Expected: {self.layout} (datasets/README.md)"
        )


def find_root(name: str, beginnings: Sequence[str], anchors: Sequence[str], layout: str, chosen: str = "") -> Tree:
    """The folder of a dataset below the data root.

    Args:
        name: of the dataset.
        beginnings: how the names of its folder may begin (compared without case and punctuation).
        anchors: files or folders of which one must lie in it, or up to three levels below.
        layout: the tree as published, for messages.
        chosen: the folder, if the user names it (``DATASETS.OPTIONS.<name>.root``).

    Raises:
        DataError: no such folder, or several that could be it.
    """
    key, root = f"DATASETS.OPTIONS.{name}.root", data_root()
    if chosen:
        folder = root / Path(chosen).expanduser()
        if not folder.is_dir():
            raise DataError(f"{name}: no folder {folder} ({key})")
        return Tree(name, folder, layout)
    starts = tuple(fold(start) for start in (name, *beginnings))
    candidates = [folder for folder in _places(root) if fold(folder.name).startswith(starts)]
    trees = [Tree(name, folder, layout) for folder in candidates]
    complete = [tree for tree in trees if _has_any(tree.root, anchors)]
    if len(complete) == 1:
        others = [tree.root for tree in trees if tree is not complete[0]]
        return Tree(name, complete[0].root, layout, others)
    if complete:
        both = f"{complete[0].root} and {complete[1].root}"
        raise DataError(f"{name}: {len(complete)} folders could be it, {both}; say which ({key})")
    if trees:
        raise trees[0].missing("file or folder", anchors)
    usual = " or ".join(map(repr, dict.fromkeys((name, *beginnings))))
    raise DataError(
        f"{name}: no folder whose name begins with {usual} in {root.absolute()} ($DETECTRON2_DATASETS); unpack the "
        f"dataset there or say where it is ({key}). Expected: {layout} (datasets/README.md)"
    )


def _places(root: Path) -> Iterator[Path]:
    """Folders that may be a dataset's: those of the data root and of PhysioNet's download tree."""
    for folder in (root, root / "physionet.org" / "files"):
        if folder.is_dir():
            yield from (Path(entry.path) for entry in _entries(folder) if entry.is_dir())


def _has_any(root: Path, anchors: Sequence[str]) -> bool:
    wanted = {fold(anchor) for anchor in anchors} | {fold(f"{anchor}.gz") for anchor in anchors}
    return any(fold(entry.name) in wanted for level in _levels([root]) for entry in level)


def stem(name: str) -> str:
    """The base name without an image suffix, in lower case; a DICOM UID keeps its last part."""
    name = name.rpartition("/")[2].casefold()
    first, dot, last = name.rpartition(".")
    return first if dot + last in IMAGE_SUFFIXES else name


class FileIndex:
    """The image files below folders, found by the end of their path; folders are listed once, no file is opened.

    Args:
        folders: where to look, at any depth.
        parts: how many last components of the path tell images apart: 1, the name; CheXpert needs patient, study, view.
        bare: files without an image suffix count, too (DICOM files named by their UID).
    """

    def __init__(self, folders: Iterable[Path], parts: int = 1, bare: bool = False) -> None:
        self.folders = [str(folder) for folder in folders]
        self._parts, self._bare = parts, bare
        self._paths: dict[str, str] = {}
        self.repeated: list[tuple[str, str]] = []  # a file and the one of the same name that is used
        for folder in self.folders:
            self._walk(folder)

    def _walk(self, top: str) -> None:
        folders = [top]
        while folders:
            folder = folders.pop()
            front = self._front(folder)
            for entry in _entries(folder):
                if entry.is_dir():
                    folders.append(entry.path)
                elif self._is_image(entry.name):
                    used = self._paths.setdefault(front + stem(entry.name), entry.path)
                    if used != entry.path:
                        self.repeated.append((entry.path, used))

    def _is_image(self, name: str) -> bool:
        suffix = name.rpartition(".")[2]
        return f".{suffix.lower()}" in IMAGE_SUFFIXES or (self._bare and suffix.isdigit())

    def _front(self, folder: str) -> str:
        """What stands before the stem in a key: the last folders, as many as are compared."""
        if self._parts == 1:
            return ""
        return "/".join(folder.replace("\\", "/").casefold().split("/")[1 - self._parts :]) + "/"

    def _key(self, path: str) -> str:
        return self._front(path.rpartition("/")[0]) + stem(path)

    def __len__(self) -> int:
        return len(self._paths)

    def get(self, name: str) -> str | None:
        """The path of an image; the name may have more folders in front than are compared."""
        return self._paths.get(self._key(name))

    def unlisted(self, names: Iterable[str]) -> list[str]:
        """The files that none of the names means."""
        known = {self._key(name) for name in names}
        return [path for key, path in self._paths.items() if key not in known]

    def paths(self) -> list[str]:
        return list(self._paths.values())

    def __str__(self) -> str:
        return f"{count(len(self), 'image file')} below {' and '.join(self.folders)}"
