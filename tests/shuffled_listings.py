"""Gives the files of every folder in a random order, to find what leans on the order of a file system.

Used by ``python -m pytest -q -p tests.shuffled_listings``.
"""

import os
import random

_listdir, _scandir = os.listdir, os.scandir


class _Entries:
    """As ``os.scandir`` gives them: an iterator that is closed by a ``with`` statement."""

    def __init__(self, *arguments):
        with _scandir(*arguments) as entries:
            found = list(entries)
        random.Random().shuffle(found)
        self._entries = iter(found)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self._entries = iter(())


def _shuffled(*arguments):
    names = _listdir(*arguments)
    random.Random().shuffle(names)
    return names


os.listdir, os.scandir = _shuffled, _Entries
