"""The images of a folder, found by whatever name a table or list gives them."""

from __future__ import annotations

import difflib
import logging
from collections import defaultdict
from collections.abc import Sequence
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
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for image_id in self.ids:
            path = PurePosixPath(image_id)
            self._by_name[path.name].append(image_id)
            self._by_stem[path.stem].append(image_id)

    def __len__(self) -> int:
        return len(self.ids)

    def path(self, image_id: str) -> str:
        return str(self.root / image_id)

    def match(self, name: str) -> list[str]:
        """Ids that a name may mean: the path below the folder; else the base name, as far as the folders that both
        sides give agree; else, for a name without an image suffix, the base name without suffix."""
        parts = [part for part in PurePosixPath(name.strip().replace("\\", "/")).parts if part not in (".", "/")]
        if not parts:
            return []
        if "/".join(parts) in self._known:
            return ["/".join(parts)]
        found = self._by_name.get(parts[-1], [])
        if not found and not parts[-1].lower().endswith(SUFFIXES):
            found = self._by_stem.get(parts[-1], [])
        return [image_id for image_id in found if _folders_agree(parts[:-1], image_id)]

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
        for name, place in names:
            found = self.match(name)
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
        return ids

    def ambiguous(self, name: str, found: Sequence[str], place: str) -> DataError:
        return DataError(
            f"{place}: image name {name!r} fits {len(found)} files below {self.root} ({found[0]}, {found[1]}"
            f"{', ...' if len(found) > 2 else ''}); write the path below that folder"
        )

    def _hint(self, name: str) -> str:
        base = PurePosixPath(name.replace("\\", "/")).name
        close = self._by_stem.get(PurePosixPath(base).stem, [])[:1]
        if not close and len(self.ids) <= _HINT_UP_TO:
            close = [self._by_name[near][0] for near in difflib.get_close_matches(base, self._by_name, n=1)]
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


def _folders_agree(folders: Sequence[str], image_id: str) -> bool:
    """Whether the folders before a name and those before an image agree, from the last on, as far as both go."""
    own = PurePosixPath(image_id).parts[:-1]
    return all(a == b for a, b in zip(reversed(folders), reversed(own), strict=False))
