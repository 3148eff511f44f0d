"""Looks at all mask pictures of a dataset before anything is trained on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from ..errors import DataError, count

_PROGRESS_FROM = 2000
Result = TypeVar("Result")


def look_at_all(paths: Sequence[Path], look: Callable[[Path], Result]) -> list[Result]:
    """``look(path)`` of every picture, in threads.

    Raises:
        DataError: some cannot be used; the message is that of the first, and says how many there are.
    """

    def attempt(path: Path) -> Result | DataError:
        try:
            return look(path)
        except DataError as error:
            return error

    quiet = True if len(paths) <= _PROGRESS_FROM else None  # None: only on a terminal
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(tqdm(pool.map(attempt, paths), "checking masks", len(paths), disable=quiet))
    errors = [result for result in results if isinstance(result, DataError)]
    if errors:
        others = f" ({count(len(errors), 'mask')} of {len(paths)} cannot be used)" if len(paths) > 1 else ""
        raise DataError(f"{errors[0]}{others}")
    return results  # type: ignore[return-value]  # errors are raised
