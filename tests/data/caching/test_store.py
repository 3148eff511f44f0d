"""The cache folder: torn entries, the bound, several processes, and folders that cannot be written."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from fx_d2.data.caching.store import CacheStore, DecodedImage, read_entry, write_entry

KEYS = [bytes([number]) * 16 for number in range(64)]
HEADER = 44
SIZE = HEADER + 20 * 21  # of an entry of picture()


def picture(number: int, side: int = 20) -> DecodedImage:
    pixels = np.random.default_rng(number).integers(0, 256, (side, side + 1), dtype=np.uint8)
    return DecodedImage(pixels, (side * 2, side * 3))


def same(one: DecodedImage | None, other: DecodedImage) -> bool:
    return one is not None and np.array_equal(one.pixels, other.pixels) and one.size == other.size


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def start(target, *args) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_is_put_is_got_until_the_key_changes(tmp_path):
    store = CacheStore(tmp_path / "new" / "folder", 10**6)
    assert store.get(KEYS[0]) is None and not (tmp_path / "new").exists()
    store.put(KEYS[0], picture(0))
    assert same(store.get(KEYS[0]), picture(0)) and store.get(KEYS[1]) is None
    assert same(CacheStore(tmp_path / "new" / "folder", 10**6).get(KEYS[0]), picture(0))  # another process or run


def test_usage_counts_entries(tmp_path):
    store = CacheStore(tmp_path / "cache", 10**6)
    assert store.usage() == (0, 0)
    for number in range(3):
        store.put(KEYS[number], picture(number))
    assert store.usage() == (3, 3 * SIZE)


DAMAGE = {
    "empty": lambda data: b"",
    "within the header": lambda data: data[:30],
    "no pixels": lambda data: data[:HEADER],
    "some pixels": lambda data: data[:-7],
    "more pixels": lambda data: data + b"\0",
    "a flipped bit": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
    "zeros": lambda data: bytes(len(data)),
    "another version": lambda data: b"FXD2IMG0" + data[8:],
    "another key": lambda data: data[:8] + KEYS[9] + data[24:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_torn_entry_is_recognised_and_removed(tmp_path, damage):
    store = CacheStore(tmp_path, 10**6)
    store.put(KEYS[0], picture(0))
    (path,) = files(tmp_path)
    data = path.read_bytes()
    assert len(data) == SIZE
    path.write_bytes(damage(data))
    assert store.get(KEYS[0]) is None and not files(tmp_path)
    store.put(KEYS[0], picture(0))
    assert same(store.get(KEYS[0]), picture(0))


def die_while_writing(folder: Path) -> None:
    os.replace = lambda *names: os._exit(9)  # as kill -9 between writing and renaming
    CacheStore(folder, 10**6).put(KEYS[0], picture(0))


def test_a_process_that_dies_while_writing_leaves_nothing_that_counts(tmp_path):
    process = start(die_while_writing, tmp_path)
    process.join()
    (left,) = files(tmp_path)
    assert process.exitcode == 9 and left.suffix == ".tmp"
    store = CacheStore(tmp_path, 10**6)
    assert store.get(KEYS[0]) is None
    store.put(KEYS[0], picture(0))
    assert same(store.get(KEYS[0]), picture(0)) and left.exists()  # it may belong to a process that is writing
    age(left, 7200)
    CacheStore(tmp_path, 10**6).evict()
    assert not left.exists() and same(store.get(KEYS[0]), picture(0))


def test_the_least_recently_used_go_first_and_the_bound_holds(tmp_path):
    store = CacheStore(tmp_path, 10 * SIZE)
    for number in range(8):
        store.put(KEYS[number], picture(number))
        age(store._path(KEYS[number]), 1000 - number)
    assert same(store.get(KEYS[0]), picture(0))  # used again: now the newest
    for number in range(8, 12):
        store.put(KEYS[number], picture(number))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * SIZE
    kept = [number for number in range(12) if store.get(KEYS[number]) is not None]
    assert 0 in kept and 11 in kept and 1 not in kept and 2 not in kept
    assert kept == sorted(set(kept)) and len(kept) >= 6


def test_an_image_larger_than_the_cache_is_not_kept(tmp_path):
    store = CacheStore(tmp_path, 100)
    store.put(KEYS[0], picture(0))
    assert store.get(KEYS[0]) is None and not files(tmp_path)


def hammer(folder: Path, seed: int, failures) -> None:
    store = CacheStore(folder, 16 * SIZE)
    rng = np.random.default_rng(seed)
    for number in rng.integers(0, len(KEYS), 120).tolist():
        found = store.get(KEYS[number])
        if found is None:
            store.put(KEYS[number], picture(number))
        elif not same(found, picture(number)):
            failures.put(number)
    if store._logged & 4:
        failures.put("closed")


def test_processes_that_write_and_evict_at_once_read_only_whole_images(tmp_path):
    failures = multiprocessing.get_context("fork").SimpleQueue()
    processes = [start(hammer, tmp_path, seed, failures) for seed in range(4)]
    for process in processes:
        process.join()
    assert failures.empty(), failures.get()
    assert all(process.exitcode == 0 for process in processes)
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 16 * SIZE
    assert not [path for path in files(tmp_path) if path.suffix == ".tmp"]


@pytest.mark.parametrize("trouble", ["a file in place of the folder", "disk full on writing", "no space left"])
def test_a_folder_that_cannot_take_images_is_one_warning(tmp_path, monkeypatch, caplog, trouble):
    folder = tmp_path / "cache"
    if trouble == "a file in place of the folder":
        folder.write_text("")
    elif trouble == "disk full on writing":

        def full(*names):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
    else:
        usage = namedtuple("usage", "total used free")(10**12, 10**12 - 100, 100)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    store = CacheStore(folder, 10**6)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            store.put(KEYS[number], picture(number))
            assert store.get(KEYS[number]) is None
    assert len(caplog.records) == 1
    assert str(folder) in caplog.text and "INPUT.CACHE.DIR" in caplog.text
    assert not [path for path in files(tmp_path) if path != folder]


def test_worker_processes_warn_once_together(tmp_path):
    (tmp_path / "cache").write_text("")
    store = CacheStore(tmp_path / "cache", 10**6)
    handler = logging.FileHandler(tmp_path / "log")
    logging.getLogger("fx_d2.data.caching.store").addHandler(handler)
    for _ in range(3):  # as the pools of several loaders
        start(store.put, KEYS[0], picture(0)).join()
    logging.getLogger("fx_d2.data.caching.store").removeHandler(handler)
    assert (tmp_path / "log").read_text().count("takes no more images") == 1


def test_a_full_cache_says_so_once(tmp_path, caplog):
    store = CacheStore(tmp_path, 4 * SIZE)
    with caplog.at_level(logging.INFO):
        for number in range(20):
            store.put(KEYS[number], picture(number))
    assert caplog.text.count("it is full") == 1 and "INPUT.CACHE.MAX_GB" in caplog.text


def test_entries_hold_any_shape(tmp_path):
    for number, shape in enumerate([(1, 1), (1, 7), (300, 2)]):
        entry = DecodedImage(np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)[::-1], (9, 8))
        assert write_entry(tmp_path / "x", KEYS[number], entry) == (tmp_path / "x").stat().st_size
        assert same(read_entry(tmp_path / "x", KEYS[number]), entry)
