"""A request to stop: SIGTERM, SIGINT and SIGUSR1 let the step finish and the run be saved."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

# The file of standard error, whatever sys.stderr is replaced by.
_STDERR = 2
# "Temporary failure, try again" of sysexits.h: the same command with --resume goes on.
EXIT_PREEMPTED = 75
# What a shell reports of a command that Ctrl-C ended (128 + 2); fx_d2/tooling.py ends a single process with it.
EXIT_INTERRUPTED = 130
# SIGTERM is what schedulers send before they kill, SIGUSR1 what SLURM sends with --signal=USR1@seconds.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Preempted(SystemExit):
    """Ends the process with :data:`EXIT_PREEMPTED`."""

    def __init__(self, why: str) -> None:
        super().__init__(EXIT_PREEMPTED)
        self.why = why

    def __str__(self) -> str:
        return self.why


class StopRequest:
    """Remembers that the process was asked to stop.

    Inside :meth:`listening` a signal ends the process with :class:`Preempted` at once, for nothing is lost then;
    inside :meth:`defer` (training) it is only remembered in ``received``, and the trainer stops when the step is
    done and saved. A second SIGINT (Ctrl-C twice) interrupts at once.
    """

    def __init__(self) -> None:
        self.received = ""
        self._deferred = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Installs the handlers; outside the main thread, where Python allows none, it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def defer(self, deferred: bool = True) -> Iterator[None]:
        """Inside the block a signal is only remembered."""
        before, self._deferred = self._deferred, deferred
        try:
            yield
        finally:
            self._deferred = before

    @contextlib.contextmanager
    def immediate(self) -> Iterator[None]:
        """Inside a block of :meth:`defer`: a signal, one that came before too, ends the process at once."""
        with self.defer(False):
            self.check()
            yield

    def check(self) -> None:
        """Raises :class:`Preempted` if a signal has come."""
        if self.received:
            raise Preempted(self.received)

    def _handle(self, number: int, frame) -> None:
        again = number == signal.SIGINT and bool(self.received)
        name = signal.Signals(number).name
        # The first says why: a launcher's SIGUSR1 may follow the terminal's SIGINT.
        self.received = self.received or name
        # No logging: the handler may interrupt a log line.
        when = "at once" if again or not self._deferred else "after this step; Ctrl-C once more stops at once"
        os.write(_STDERR, f"{name} received: stopping {when}\n".encode())
        if again:
            raise KeyboardInterrupt
        if not self._deferred:
            raise Preempted(self.received)


@contextlib.contextmanager
def forwarding_to_children() -> Iterator[list[str]]:
    """Passes stop signals on to the processes that this one has launched, and waits for them as before.

    They get SIGUSR1: a terminal's Ctrl-C reaches them directly, too, and a second SIGINT would be too much.

    Yields:
        The names of the signals that came.

    Raises:
        Preempted: one came before any process was there.
    """
    received: list[str] = []

    def forward(number: int, frame) -> None:
        received.append(signal.Signals(number).name)
        children = multiprocessing.active_children()
        if not children:
            raise Preempted(received[0])
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGUSR1)

    before = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
