"""Estimates against cases worked out by hand, and against the walk event by event."""

from pathlib import Path

import pytest

from benchmarking.plan import kind_rows, published_schedule, run_rows
from benchmarking.scaling import Machine, Rate, check_batches, cycle_seconds, pass_times, step_time
from benchmarking.simulation import simulate
from fx_d2.config import get_fx_cfg
from fx_d2.schedule import CycleSchedule, Pass, Unit

ROOT = Path(__file__).parents[3]
UNITS = [Unit.parse(text) for text in ("a/cls", "b/cls", "b/box", "b/mask")]
PASSES = {"cls": [Pass()], "box": [Pass("head", 0.5), Pass()], "mask": [Pass("head", 0.5), Pass()]}
RATES = {
    ("cls", "path"): Rate(400.0, 0.02, 350e6),
    ("box", "head"): Rate(300.0, 0.03, 350e6),
    ("box", "path"): Rate(150.0, 0.06, 350e6),
    ("mask", "head"): Rate(2000.0, 0.005, 350e6),
    ("mask", "path"): Rate(350.0, 0.02, 350e6),
}
FAST_LOADER = {"loader_rate": 1e12, "pass_seconds": 0.0}


def schedule(batch=24, sizes=(1003, 300, 211, 100)):
    return CycleSchedule(UNITS, PASSES, dict(zip(UNITS, sizes, strict=True)), batch, 2)


def published(name="foundation_x_swin_b.yaml"):
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(ROOT / "configs" / name))
    return cfg


def test_a_step_by_hand():
    """5 images each at 100 a second: 0.05 s. Ring of two: 2 * 1/2 * 0.1 GB at 1 GB/s: 0.1 s in 4 buckets of 25 MiB;
    three of them may hide behind 0.025 s backward: 0.1 - 0.75 * 0.025 = 0.08125 s are left."""
    found = step_time(10, Rate(100.0, 0.0, 1e8), Machine(2, 1e9, cores=1, loader_rate=100.0))
    assert (found.compute, found.host, found.loader) == pytest.approx((0.05, 0.0, 0.0))
    assert found.exchange == pytest.approx(0.08125)
    # Ten times as fast a wire: all hide but the last bucket, 0.01 / 4.
    assert step_time(10, Rate(100.0, 0.0, 1e8), Machine(2, 1e10)).exchange == pytest.approx(0.0025)


def test_host_and_loader_by_hand():
    """Kernels take 0.2 s to start, computing 0.05: 0.15 s of waiting. A loader of 10 images/s needs 0.5 s for 5."""
    machine = Machine(2, cores=2, loader_rate=5.0)
    found = step_time(10, Rate(100.0, 0.2), machine)
    assert (found.compute, found.host, found.exchange, found.loader) == pytest.approx((0.05, 0.15, 0.0, 0.3))
    assert found.total == pytest.approx(0.5)


def test_one_gpu_sends_nothing():
    assert step_time(24, Rate(100.0, 0.0, 1e12), Machine(1, 1.0)).exchange == 0.0


def test_tail_batches_by_hand():
    """49 images in batches of 24: 17 + 16 + 16. Two GPUs: 9 + 8 + 8 images, so 50 slots for 49."""
    plan = CycleSchedule([UNITS[0]], PASSES, {UNITS[0]: 49}, 24, 1)
    (found,) = pass_times(plan, {("cls", "path"): Rate(10.0)}, Machine(2, **FAST_LOADER))
    assert found.seconds.compute == pytest.approx(2.5) and found.idle == pytest.approx(1 / 50)
    assert found.steps == 3


@pytest.mark.parametrize("gpus", [1, 4, 8])
@pytest.mark.parametrize("bandwidth", [1e9, 2e10, 1e12])
def test_the_walk_agrees_where_the_loader_is_fast(gpus, bandwidth):
    machine = Machine(gpus, bandwidth, pass_seconds=0.7, loader_rate=1e12)
    plan = schedule()
    expected = cycle_seconds(pass_times(plan, RATES, machine), machine)
    assert simulate(plan, RATES, machine) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("loader_rate", [20.0, 60.0])
def test_the_walk_agrees_where_the_loader_binds(loader_rate):
    """Sixteen batches prefetched in a slow pass give the next one a start, which the closed form leaves out."""
    machine = Machine(4, 1e11, cores=2, loader_rate=loader_rate, pass_seconds=0.0)
    plan = schedule(sizes=(40_003, 30_000, 20_011, 10_000))
    estimated = cycle_seconds(pass_times(plan, RATES, machine), machine)
    walked = simulate(plan, RATES, machine)
    assert walked == pytest.approx(estimated, rel=0.02)
    assert walked <= estimated + 6 / (2 * loader_rate)  # the very first batch is waited for


def test_too_many_gpus_are_refused_with_the_largest_number():
    with pytest.raises(ValueError, match="16 GPUs: 2 of 6 passes have fewer images a step, b/box only 12: raise"):
        check_batches(schedule(sizes=(1003, 300, 25, 100)), 16)
    check_batches(schedule(), 8)


def test_a_missing_rate_is_named():
    with pytest.raises(ValueError, match="no rate for box locked .needed by b/box.; there are rates of cls released"):
        pass_times(schedule(), {("cls", "path"): Rate(1.0)}, Machine())


def test_hours_of_the_published_cycle_by_hand():
    """738,806 images of findings, 57,192 of boxes and 25,826 of masks (1 + 1/2 times), 29 passes."""
    rates = {key: Rate(rate.images) for key, rate in RATES.items()}
    seconds = 738_806 / 400 + 28_596 / 300 + 57_192 / 150 + 12_913 / 2000 + 25_826 / 350 + 2.9
    row, again = run_rows(published(), rates, Machine(loader_rate=1e12, price=3.0), [1, 64])
    assert row["hours a cycle"] == pytest.approx(seconds / 3600, rel=1e-4)
    assert row["price of 150"] == pytest.approx(3.0 * 150 * seconds / 3600, rel=1e-4)
    assert row["time goes to"] == "compute 100 %" and "hours of 100 cycles" not in row
    assert "refused: 64 GPUs" in again["time goes to"] and "hours a cycle" not in again


def test_as_many_images_on_each_gpu():
    row = run_rows(published(), RATES, Machine(**FAST_LOADER), [64], per_gpu=24)[0]
    assert row["batch"] == 1536 and 20 < row["times as fast as one"] < 64
    assert row["efficiency"] == pytest.approx(row["times as fast as one"] / 64)


def test_two_counts_of_cycles_where_the_configuration_has_another():
    cfg = published("foundation_x_plus_swin_b.yaml")
    rates = RATES | {("cls", "head"): Rate(900.0)}
    row = run_rows(cfg, rates, Machine(), [1])[0]
    assert row["hours of 150 cycles"] == pytest.approx(1.5 * row["hours of 100 cycles"])


def test_rows_by_kind_add_up():
    machine = Machine(8, cores=2, pass_seconds=0.0)
    rows = kind_rows(published(), RATES, machine, 192)
    assert [row["kind"] for row in rows] == [
        "cls released",
        "box locked",
        "box released",
        "mask locked",
        "mask released",
    ]
    assert sum(row["share of the cycle"] for row in rows) == pytest.approx(1.0)
    seconds = cycle_seconds(pass_times(published_schedule(published(), 192), RATES, machine), machine)
    assert sum(row["images a cycle"] / row["images/s"] for row in rows) == pytest.approx(seconds)
