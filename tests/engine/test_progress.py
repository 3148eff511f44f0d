"""The progress line and its estimate of the time left."""

import pytest
from detectron2.utils.events import EventStorage

from fx_d2.engine.hooks import ProgressPrinter, progress
from fx_d2.engine.hooks.progress import Pace, duration
from fx_d2.schedule import CycleSchedule, Pass, Unit

UNITS = [Unit("one", "cls"), Unit("one", "box")]
PASSES = {"cls": (Pass(),), "box": (Pass(train="head", fraction=0.5), Pass())}


@pytest.fixture
def schedule():
    return CycleSchedule(UNITS, PASSES, dict.fromkeys(UNITS, 4), 2, 3)  # 2 + 1 + 2 steps a cycle


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def step(storage, iteration, seconds):
    storage.iter = iteration
    storage.put_scalar("time", seconds)


def test_time_left_counts_each_pass_at_its_own_pace(schedule, clock):
    pace = Pace(schedule)
    with EventStorage() as storage:
        assert pace.add(storage) == (0.0, 0.0) and pace.left(0) is None
        for iteration, seconds in enumerate((1.0, 1.0, 10.0, 4.0)):
            step(storage, iteration, seconds)
        clock[0] = 16.0
        images, seconds = pace.add(storage)
        assert images == pytest.approx(8 / 16) and seconds == pytest.approx(4.0)
        # One step of the last pass is left; then two cycles of 1 + 1, 10 and 4 + 4.
        assert pace.left(3) == pytest.approx((4.0, 4.0, 4.0 + 2 * 20.0))
        step(storage, 4, 4.0)
        clock[0] = 30.0  # 14 seconds of which 10 were an evaluation: 2 a step over 5 steps
        assert pace.add(storage) == pytest.approx((2 / 4, 4.0))
        assert pace.left(4) == pytest.approx((0.0, 0.0, 2 * (20.0 + 5 * 2.0)))


def test_an_unseen_pass_is_taken_at_the_mean(schedule, clock):
    pace = Pace(schedule)
    with EventStorage() as storage:
        step(storage, 0, 3.0)
        pace.add(storage)
        assert pace.left(0) == pytest.approx((3.0, 3.0 + 3 * 3.0, 12.0 + 2 * 15.0))


def test_durations():
    assert duration(59.6) == "0:01:00" and duration(90000) == "1 day, 1:00:00"


def test_the_line_names_unit_pass_lock_losses_speed_and_time_left(schedule, caplog, clock):
    printer = ProgressPrinter(schedule)
    with EventStorage() as storage, caplog.at_level("INFO", logger="fx_d2"):
        step(storage, 0, 0.5)
        storage.put_scalar("one/cls/total_loss", 9.0)
        step(storage, 2, 0.5)
        storage.put_scalars(**{"one/box/loss_giou": 0.25, "one/box/total_loss": 0.5, "lr": 1e-4})
        printer.write()
        printer.write()  # the writer of the last step writes again at the end of training
    assert len(caplog.records) == 1
    expected = "cycle 1/3 one/box locked 1/1  loss 0.500 (giou 0.250)  lr 1.0e-04  4.0 img/s  0.50 s/step"
    assert f"{expected}  left: pass 0:00:00, cycle 0:00:01, run 0:00:06" in caplog.text
    assert "9.0" not in caplog.text


def test_the_first_step_is_written_without_a_pace(schedule, caplog):
    with EventStorage() as storage, caplog.at_level("INFO", logger="fx_d2"):
        storage.put_scalars(lr=1e-4, **{"one/cls/total_loss": 0.5})
        ProgressPrinter(schedule).write()
    assert caplog.messages == ["cycle 1/3 one/cls released 1/2  loss 0.500 ()  lr 1.0e-04"]
