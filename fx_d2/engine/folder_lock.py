"""One run at a time in an output folder: a lock file that names its process and shows that it lives.

The file is made with O_CREAT | O_EXCL, which is atomic on local disks and on NFS from version 3 on. Its modification
time is the sign of life. Ages are taken from the clock of the file system, not from that of this host.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

NAME = "run.lock"
# Seconds between two signs of life.
BEAT = 5.0
# Exit code of a run whose folder was taken over by another one.
EXIT_TAKEN = 1


@contextlib.contextmanager
def locked(folder: Path, take_over: float = 0.0) -> Iterator[None]:
    """Holds the lock of an output folder inside the block.

    A lock is taken over when its process is gone: at once where that can be seen (the same host, or one that was
    started anew since), else when it has given no sign of life for ``take_over`` seconds, which this call waits for.

    Args:
        folder: exists.
        take_over: seconds, several times :data:`BEAT`; 0: a lock of another host or container is never taken over.

    Raises:
        ValueError: another run holds the lock; the message names its process, host and start.
    """
    if take_over and take_over < 3 * BEAT:
        raise ValueError(f"FX.TAKE_OVER_SECONDS must be 0 (never) or at least {3 * BEAT:.0f}, not {take_over}")
    path = folder / NAME
    mine = json.dumps({**_identity(os.getpid()), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")})
    while not _create(path, mine):
        _remove_stale(path, take_over)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, mine, done), name="folder-lock", daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()  # or it might make the file again
        if _read(path)[0] == mine:
            path.unlink()


def _identity(pid: int) -> dict[str, Any]:
    """A process among all of all hosts: a number is given anew after a while, a start time with it is not."""
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "start": _start(pid)}


def _boot() -> str:
    """The start of this machine and the container in it; empty where there is no /proc."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _start(pid: int) -> str:
    """When a process was started, in clock ticks since the start of the machine; empty if there is none or no /proc."""
    with contextlib.suppress(OSError):
        # Field 22 of proc(5); the name in field 2 may hold spaces and brackets.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _create(path: Path, content: str) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:  # an empty lock would stay
        path.unlink()
        raise
    return True


def _read(path: Path) -> tuple[str, float]:
    """Content and modification time; opening the file makes NFS ask the server for both. Empty if it is gone."""
    try:
        with path.open() as stream:
            return stream.read(), os.fstat(stream.fileno()).st_mtime
    except FileNotFoundError:
        return "", 0.0


def _remove_stale(path: Path, take_over: float) -> None:
    """Removes the lock of a process that is gone; returns as well if there is no lock any more.

    Raises:
        ValueError: the process lives, or may live.
    """
    content, beat = _read(path)
    if not content:  # Gone, or made a moment ago and not yet written.
        time.sleep(1.0)
        content, beat = _read(path)
        if not beat:
            return
    holder = _parse(content)
    gone = _gone(holder)
    unseen = gone is None
    if unseen and take_over:
        logger.warning("%s: waiting until there was no sign of life for %.0f seconds", path, take_over)
        while not gone and _read(path) == (content, beat):
            gone = _clock(path.parent) - beat >= take_over
            time.sleep(0 if gone else 1.0)
    if not gone:
        raise ValueError(_refusal(path, holder, _clock(path.parent) - _read(path)[1], unseen))
    # Only what was looked at is removed: by now another run may have taken over.
    aside = path.with_name(f"{NAME}.{socket.gethostname()}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if aside.read_text() == content:
            logger.warning("%s: process %s on %s is gone, its lock is taken over", path, *_name(holder))
        else:
            os.link(aside, path)
        aside.unlink()


def _parse(content: str) -> dict[str, Any]:
    """Empty for what is no lock of ours: half of one, after a crash of the machine."""
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _gone(holder: dict[str, Any]) -> bool | None:
    """Whether the process is gone; None if it cannot be seen from here."""
    if holder.get("host") != socket.gethostname():
        return None
    then, now = str(holder.get("boot")).split(), _boot().split()
    if then[:1] != now[:1]:
        return True
    if then != now:
        return None
    if not now:  # No /proc: a process of this number is taken for the one.
        try:
            os.kill(int(holder["pid"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False
    return _start(holder["pid"]) != holder["start"]


def _clock(folder: Path) -> float:
    """Now, by the clock that modification times are written with."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock") as file:
        file.write(b"0")
        file.flush()
        return os.fstat(file.fileno()).st_mtime


def _name(holder: dict[str, Any]) -> tuple[str, str]:
    return str(holder.get("pid", "?")), str(holder.get("host", "an unknown host"))


def _refusal(path: Path, holder: dict[str, Any], age: float, unseen: bool) -> str:
    pid, host = _name(holder)
    text = f"OUTPUT_DIR {str(path.parent)!r} is in use: process {pid} on {host} runs in it since "
    text += f"{holder.get('since', '?')} (last sign of life {max(age, 0):.0f} s ago). Choose another OUTPUT_DIR"
    if unseen:
        text += f"; if that process is gone, remove {path} or set FX.TAKE_OVER_SECONDS, such as 120"
    return text


def _beat(path: Path, mine: str, done: threading.Event) -> None:
    """Signs of life until ``done``. A run that was halted so long that another one took over must write no more."""
    while not done.wait(BEAT):
        with contextlib.suppress(OSError):  # The disk may be away for a moment.
            content, modified = _read(path)
            if done.is_set():
                return
            if not modified:
                _create(path, mine)  # somebody has emptied the folder
            elif content != mine:
                logger.error("%s was taken over by another run; this one ends at once, without saving", path)
                os._exit(EXIT_TAKEN)
            os.utime(path)
