"""A loader process: how it starts, where it logs, when it ends.

Not forked from the trainer: a child has only the forking thread, and waits for ever for a lock that another thread held
(seen within 100 forks beside a thread that writes a log). A server without threads is forked instead.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing import forkserver, parent_process, resource_tracker

import cv2

# What asks a whole job to finish: the trainer then ends its step, for which it needs its loader.
_OF_THE_JOB = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
_LOGGERS = ("", "fx_d2")
# Logger, its level, name of a stream, its formatter and level.
_Destination = tuple[str, int, str, logging.Formatter | None, int]


def start_server() -> None:
    """Starts this process's server of loader processes, if it has none; it imports while this process goes on."""
    multiprocessing.set_forkserver_preload(["fx_d2.data.mapper", "fx_d2.data.pool"])
    resource_tracker.ensure_running()  # the server would start it, and it sets the mask back
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_JOB)  # the server and its children inherit the mask
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def initializer() -> Callable[[int], None]:
    """What a loader process calls first: it logs where this process logs now, and ends with it."""
    return partial(_start, _destinations())


def _start(destinations: list[_Destination], worker: int) -> None:
    threading.Thread(target=_end_with_trainer, daemon=True).start()
    for name, level, stream, formatter, handler_level in destinations:
        std = {"<stdout>": sys.stdout, "<stderr>": sys.stderr}.get(stream)
        handler = logging.StreamHandler(std) if std else logging.FileHandler(stream)
        handler.setFormatter(formatter)
        handler.setLevel(handler_level)
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate = not name
        logger.addHandler(handler)
    # The workers are the parallelism; threads inside them would only fight for the cores.
    cv2.setNumThreads(0)


def _destinations() -> list[_Destination]:
    """Files and standard streams to which the loggers of this process write."""
    found = []
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        for handler in logger.handlers:
            stream = getattr(getattr(handler, "stream", None), "name", None)
            if isinstance(stream, str):
                found.append((name, logger.level, stream, handler.formatter, handler.level))
    return found


def _end_with_trainer() -> None:
    """Ends a worker at its trainer's SIGTERM (one from elsewhere is meant for the trainer), or when that is gone.

    PyTorch's own watch misses a trainer that was killed while the worker started.
    """
    trainer = parent_process()
    while trainer and trainer.is_alive():
        received = signal.sigtimedwait({signal.SIGTERM}, 5)
        if received and received.si_pid == trainer.pid:
            break
    os._exit(0)
