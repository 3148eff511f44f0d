"""The images of a folder, found by whatever name a table or list gives them."""

from __future__ import annotations

import difflib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from ..errors import DataError, count
from ..images import SUFFIXES, read_header
from ..listing import list_images, no_images

logger = logging.getLogger(__name__)

_PROGRESS_FROM = 2000
_HINT_UP_TO = 20000


class ImageIndex:
    """The images of :func:`fx_d2.data.listing.list_images`; an image's id is its path below that folder, ``a/b.png``.

    Attributes:
        remarks: what the headers read so far make doubtful (:class:`ImageHeader`), by image id.

    Raises:
        DataError: there is no image below the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ids = sorted(path.relative_to(root).as_posix() for path in list_images(root))
        if not self.ids:
            raise no_images(root)
        self.remarks: dict[str, tuple[str, ...]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._known = set(self.ids)
        self._by_name, self._by_stem = _group(self.ids, str)

    @cached_property
    def _without_case(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The ids by name and by stem in lower case; made when a name does not fit as it is."""
        return _group(self.ids, str.casefold)

    def __len__(self) -> int:
        return len(self.ids)

    def path(self, image_id: str) -> str:
        return str(self.root / image_id)

    def match(self, name: str, loosely: list[tuple[str, str]] | None = None) -> list[str]:
        """Ids that a name may mean: the path below the folder; else the base name, as far as the folders that both
        sides give agree; else, for a name without an image suffix, the base name without suffix; else the same
        without regard to upper and lower case.

        Args:
            loosely: gets (name, id) where a name fits one image, but for case; :meth:`say_loose` tells them.
        """
        parts = [part for part in PurePosixPath(name.strip().replace("\\", "/")).parts if part not in (".", "/")]
        if not parts:
            return []
        if "/".join(parts) in self._known:
            return ["/".join(parts)]
        found = _search(parts, self._by_name, self._by_stem, str)
        if not found:
            found = _search(parts, *self._without_case, str.casefold)
            if len(found) == 1 and loosely is not None:
                loosely.append((name, found[0]))
        return found

    @staticmethod
    def say_loose(loosely: Sequence[tuple[str, str]], source: Path) -> None:
        if loosely:
            name, image_id = loosely[0]
            what = f"{count(len(loosely), 'image name')} matched without regard to upper and lower case"
            logger.info("%s: %s (first: %s is the file %s)", source, what, name, image_id)

    def resolve(self, names: Sequence[tuple[str, str]], source: Path) -> list[str]:
        """The ids of the images that a file names, each once.

        Args:
            names: (name, place in the file, such as ``line 7``).
            source: the file, for messages.

        Raises:
            DataError: a name has no image or several, or two entries name the same image.
        """
        ids, missing = [], []
        places: dict[str, str] = {}
        loosely: list[tuple[str, str]] = []
        for name, place in names:
            found = self.match(name, loosely)
            if len(found) > 1:
                raise self.ambiguous(name, found, f"{source}, {place}")
            if not found:
                missing.append((name, place))
                continue
            if found[0] in places:
                raise DataError(f"{source}, {place}: image {name!r} is listed before, at {places[found[0]]}; keep one")
            places[found[0]] = place
            ids.append(found[0])
        if missing:
            name, place = missing[0]
            others = f" (and {len(missing) - 1} more of {len(names)} names)" if len(missing) > 1 else ""
            raise DataError(f"{source}, {place}: no image {name!r} below {self.root}{others}{self._hint(name)}")
        self.say_loose(loosely, source)
        return ids

    def ambiguous(self, name: str, found: Sequence[str], place: str) -> DataError:
        return DataError(
            f"{place}: image name {name!r} fits {len(found)} files below {self.root} ({found[0]}, {found[1]}"
            f"{', ...' if len(found) > 2 else ''}); write the path below that folder"
        )

    def _hint(self, name: str) -> str:
        by_name, by_stem = self._without_case
        base = PurePosixPath(name.replace("\\", "/")).name.casefold()
        close = by_stem.get(PurePosixPath(base).stem, [])[:1]
        if not close and len(self.ids) <= _HINT_UP_TO:
            close = [by_name[near][0] for near in difflib.get_close_matches(base, by_name, n=1)]
        return f"; the nearest name there is {close[0]!r}" if close else ""

    def size(self, image_id: str) -> tuple[int, int]:
        """Height and width from the file's header, read once.

        Raises:
            DataError: the file cannot be read.
        """
        if image_id not in self._sizes:
            header = read_header(self.path(image_id))
            self._sizes[image_id] = header.height, header.width
            if header.remarks:
                self.remarks[image_id] = header.remarks
        return self._sizes[image_id]

    def read_sizes(self, image_ids: Sequence[str]) -> None:
        """Reads the headers of many images, with a progress bar for a long list, so that none fails later."""
        quiet = True if len(image_ids) <= _PROGRESS_FROM else None  # None: only on a terminal
        for image_id in tqdm(image_ids, desc=f"checking {count(len(image_ids), 'image')}", disable=quiet):
            self.size(image_id)


def _group(ids: Iterable[str], fold: Callable[[str], str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Image ids by base name and by base name without suffix, both folded."""
    by_name: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image_id in ids:
        path = PurePosixPath(fold(image_id))
        by_name[path.name].append(image_id)
        by_stem[path.stem].append(image_id)
    return dict(by_name), dict(by_stem)


def _search(
    parts: Sequence[str], by_name: Mapping[str, list], by_stem: Mapping[str, list], fold: Callable[[str], str]
) -> list[str]:
    """Ids by the last part of a name, as far as the folders before it agree."""
    *folders, base = map(fold, parts)
    found = by_name.get(base, [])
    if not found and not base.lower().endswith(SUFFIXES):
        found = by_stem.get(base, [])
    return [image_id for image_id in found if _folders_agree(folders, fold(image_id))]


def _folders_agree(folders: Sequence[str], image_id: str) -> bool:
    """Whether the folders before a name and those before an image agree, from the last on, as far as both go."""
    own = PurePosixPath(image_id).parts[:-1]
    return all(a == b for a, b in zip(reversed(folders), reversed(own), strict=False))
