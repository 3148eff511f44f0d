"""The acted accelerator: waits by hand on a clock of our own, and the real loader behind it."""

import threading

import pytest

from benchmarking import cycle, loading
from benchmarking.options import Options
from tests.tiny import tiny_config

UNITS = ["tbx11k/cls", "chexpert/cls", "tbx11k/box"]


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "IMAGES", 2)
    overrides = {"DATASETS.FILES": [], "FX.CYCLE.UNITS": UNITS, "SOLVER.IMS_PER_BATCH": 4}
    return tiny_config(tmp_path, tmp_path, **overrides)


class Clock:
    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_waits_by_hand(monkeypatch):
    """At 4 images a second a batch of 2 takes 0.5 s; the loader takes 3, 0.25, 1 and 0.5 s."""
    clock, script = Clock(), [("a", 3.0), ("a", 0.25), ("b", 1.0), ("b", 0.5)]
    monkeypatch.setattr(cycle, "time", clock)

    def stream():
        for unit, delay in script:
            clock.sleep(delay)
            yield [{"unit": unit}] * 2

    found = cycle.consume(stream(), 4.0)
    assert found == cycle.Waits(
        first=3.0, changes=[1.0], others=[0.25, 0.5], where="b", seconds=0.5 * 4 + 1.75, images=8
    )


def test_a_batch_is_fetched_while_the_one_before_is_used():
    taken, asked = [], threading.Event()

    def stream():
        for number in range(3):
            taken.append(number)
            if number == 1:
                asked.set()
            yield [number]

    batches = cycle.fetched_ahead(stream())
    assert next(batches) == [0] and asked.wait(10) and taken[:2] == [0, 1]
    assert list(batches) == [[1], [2]]


def test_an_error_of_the_loader_is_not_lost():
    def stream():
        yield [0]
        raise OSError("a loader process ended")

    batches = cycle.fetched_ahead(stream())
    assert next(batches) == [0]
    with pytest.raises(OSError, match="a loader process ended"):
        next(batches)


def test_the_cycle_has_the_published_order_and_proportions(cfg):
    schedule = cycle.simulated_schedule(cfg)
    images = {unit: sum(s.images for s in schedule.passes if s.unit == unit) for unit in schedule.units}
    assert tuple(map(str, schedule.units)) == tuple(UNITS) and schedule.cycles == 1
    # A 500th of 223,414; 6,600 / 500 is less than four batches of 4; boxes have half a pass more.
    assert list(images.values()) == [16, 446, 16 + 8]


def test_the_real_loader_serves_it(cfg, monkeypatch):
    monkeypatch.setattr(cycle, "SHORTENED", 20_000)
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.PREFETCH = 2, 3
    [row] = cycle.cycle_rows(cfg, Options(repeats=1, device_rate=1e4))
    assert row["images"] == 16 + 16 + 24 and row["case"] == "2 workers, 3 batches ahead"
    assert 0 <= row["waited, share"] <= 1 and 0 < row["delivered, images/s"] < 1e4
    assert row["median wait at a change, s"] <= row["longest wait at a change, s"] and row["worker ms an image"] > 0


def test_an_unknown_dataset_is_named(cfg):
    cfg.FX.CYCLE.UNITS = ["ward/cls"]
    with pytest.raises(ValueError, match="ward/cls"):
        cycle.simulated_schedule(cfg)
