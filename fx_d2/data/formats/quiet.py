"""Silence of pydicom while it reads: what it finds wrong is either harmless or raised, and then told once by us."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside = 0
_saved = ExitStack()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """No warnings, and no log lines of pydicom. Threads may be inside together: the last one out restores both."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside
    with _lock:
        if _inside == 0:
            _saved.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            log = logging.getLogger("pydicom")
            _saved.callback(log.setLevel, log.level)
            log.setLevel(logging.CRITICAL + 1)
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _saved.close()
