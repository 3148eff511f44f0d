"""One run at a time in an output folder, held by real processes."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fx_d2.engine import folder_lock
from fx_d2.engine.folder_lock import NAME, locked
from tests.engine.runs import short_config
from tests.engine.test_processes import QUIET, finish, start

HOLD = """
import sys, time
from pathlib import Path
from fx_d2.engine.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder until its standard input ends."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def stale(folder, seconds, **changes):
    """A lock whose process cannot be seen and whose last sign of life is so old."""
    content = {**folder_lock._identity(os.getpid()), "since": "2026-01-02 03:04:05 +0000", **changes}
    (folder / NAME).write_text(json.dumps(content))
    os.utime(folder / NAME, (time.time() - seconds,) * 2)


def test_a_second_process_is_refused_and_told_of_the_first(holder, tmp_path):
    before = (tmp_path / NAME).read_text()
    with pytest.raises(ValueError, match=rf"in use: process {holder.pid} on \S+ runs in it since 20"), locked(tmp_path):
        raise AssertionError("two runs in one folder")
    assert (tmp_path / NAME).read_text() == before
    holder.stdin.close()
    holder.wait(30)
    assert not list(tmp_path.iterdir())
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path, caplog):
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    with locked(tmp_path):
        assert f"process {holder.pid} on " in caplog.text and "is gone" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times are read from /proc")
def test_a_number_that_was_given_to_another_process_is_not_the_run(tmp_path):
    """This process lives, but was started at another time than the one that wrote the lock; so was this machine."""
    stale(tmp_path, 0, start="1")
    with locked(tmp_path):
        pass
    stale(tmp_path, 0, boot="another-start " + os.readlink("/proc/self/ns/pid"))
    with locked(tmp_path):
        pass
    stale(tmp_path, 0)
    with pytest.raises(ValueError, match="in use"), locked(tmp_path):
        pass


@pytest.mark.parametrize("elsewhere", ["host", "container"])
def test_a_process_that_cannot_be_seen_counts_as_alive_unless_asked(tmp_path, elsewhere):
    changes = {"host": "node7"} if elsewhere == "host" else {"boot": folder_lock._boot().split()[0] + " pid:[1]"}
    stale(tmp_path, 3600, **changes)
    with pytest.raises(ValueError, match=r"\(last sign of life 36\d\d s ago\).*FX.TAKE_OVER_SECONDS"), locked(tmp_path):
        pass
    with locked(tmp_path, take_over=60):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_it_waits_until_the_time_without_a_sign_is_over_or_a_sign_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "BEAT", 0.1)
    stale(tmp_path, 58.8, host="node7")
    with locked(tmp_path, take_over=60):
        pass
    stale(tmp_path, 30, host="node7")
    monkeypatch.setattr(folder_lock, "_clock", lambda folder: os.utime(folder / NAME) or 0.0)  # it beats meanwhile
    with pytest.raises(ValueError, match="node7"), locked(tmp_path, take_over=60):
        pass
    for short in (0.2, -1.0):
        with pytest.raises(ValueError, match="0 .never. or at least"), locked(tmp_path, take_over=short):
            pass


def test_a_full_disk_leaves_no_empty_lock(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_half_a_lock_names_the_file_to_remove(tmp_path):
    (tmp_path / NAME).write_text('{"host": "no')
    with pytest.raises(ValueError, match=f"remove {tmp_path / NAME}"), locked(tmp_path):
        pass


def test_it_beats_and_is_made_again_when_the_folder_is_emptied(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "BEAT", 0.02)

    def until(condition):
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError("it never came")

    with locked(tmp_path):
        path = tmp_path / NAME
        os.utime(path, (0, 0))
        until(lambda: path.stat().st_mtime > 0)
        path.unlink()
        until(path.exists)


def test_a_run_that_lost_its_folder_ends_without_writing(tmp_path):
    """As after a machine that was halted for an hour."""
    code = HOLD.replace("with locked", "from fx_d2.engine import folder_lock\nfolder_lock.BEAT = 0.05\nwith locked")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "held\n"
        replaced = tmp_path / "other"
        replaced.write_text("of another run")
        replaced.rename(tmp_path / NAME)
        assert process.wait(30) == folder_lock.EXIT_TAKEN
        assert "was taken over by another run" in process.stderr.read()
    assert (tmp_path / NAME).read_text() == "of another run"


def test_the_command_leaves_a_folder_in_use_as_it_is(cohort, tmp_path):
    folder = tmp_path / "run"
    cfg = short_config(cohort, folder, **QUIET)
    folder.mkdir()
    (folder / "metrics.json").write_text("of the run that goes on")
    with locked(folder):
        process = start(cfg)
        output = finish(process, cfg)
        assert process.returncode == 2
        assert output == f"error: {output.removeprefix('error: ')}" and output.count("\n") == 1, output
        assert f"OUTPUT_DIR {str(folder)!r} is in use: process {os.getpid()} on " in output
        assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", NAME]
    assert (folder / "metrics.json").read_text() == "of the run that goes on"
