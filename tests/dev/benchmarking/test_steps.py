"""The compared steps do the work that they are said to do."""

import contextlib
import json
import sys

import pytest
import torch

import benchmark
from benchmarking import report
from benchmarking.memory import measure_peak
from benchmarking.options import Options
from benchmarking.published import PARTS, Published, plain_parts
from benchmarking.steps import Bench, Kind, kinds
from benchmarking.training import count_flops, step_rows
from fx_d2.schedule import Unit
from tests.tiny import tiny_config

UNITS = ["chexpert/cls", "tbx11k/cls", "node21/box", "candid_ptx/mask"]


@pytest.fixture
def cfg(tmp_path):
    """A tiny network for built-in datasets, none of which is on disk."""
    overrides = {"DATASETS.FILES": [], "FX.CYCLE.UNITS": UNITS, "MODEL.SWIN.DROP_PATH_RATE": 0.0}
    return tiny_config(tmp_path, tmp_path, **overrides)


def test_kinds_of_a_cycle(cfg):
    assert list(map(str, kinds(cfg))) == [
        "cls released",
        "box locked",
        "box released",
        "mask locked",
        "mask released",
    ]
    assert Options(kinds=("box",)).wants(kinds(cfg)[1]) and not Options(kinds=("box l",)).wants(kinds(cfg)[2])


@pytest.mark.parametrize("parts", ["fast", "plain"])
@pytest.mark.parametrize("index", range(5))
def test_the_published_step_gives_the_teacher_gradients_and_leaves_no_trace(index, parts, cfg):
    bench = Bench(cfg, 2)
    kind, published = kinds(cfg)[index], Published(bench, parts)
    published.begin(kind)
    published.step(kind, bench.batch(kind.unit))
    assert sum(p.grad is not None for p in bench.teacher.parameters()) > 20
    assert not any(module.training for module in bench.teacher.model.modules())
    published.end()
    assert all(p.grad is None and not p.requires_grad for p in bench.teacher.parameters())
    assert not bench.student.backbone.use_checkpoint and not bench.teacher.model.backbone.use_checkpoint


@pytest.mark.parametrize("index", range(5))
def test_the_student_is_run_as_often_as_published(index, cfg, monkeypatch):
    """Forward passes of a trunk: student and teacher, for boxes a copy, too; recomputing goes block by block."""
    bench = Bench(cfg, 2)
    kind, published = kinds(cfg)[index], Published(bench, "fast")
    calls = []
    forward = type(bench.student.backbone).forward
    monkeypatch.setattr(type(bench.student.backbone), "forward", lambda self, x: calls.append(1) or forward(self, x))
    published.begin(kind)
    published.step(kind, bench.batch(kind.unit))
    assert len(calls) == (3 if kind.unit.task == "box" else 2)


@pytest.mark.parametrize("parts", ["fast", "plain"])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_both_steps_have_the_same_task_loss(index, parts, cfg):
    """Student and teacher are equal at the start. Evaluated alike they agree, so the published loss is half the task's;
    ours, without consistency, is all of it."""
    bench = Bench(cfg, 2)
    kind, published = kinds(cfg)[index], Published(bench, parts)
    batch = bench.batch(kind.unit)
    head = bench.student.heads[kind.unit.task]
    begin = head.begin
    published.begin(kind)
    bench.student.eval()
    head.begin = lambda *args: (torch.manual_seed(1), begin(*args))[1]
    with plain_parts() if parts == "plain" else contextlib.nullcontext():
        found = published.loss(kind, batch)
    published.end()
    bench.student.consistency_weight = 0.0
    bench.student.training = True
    expected = sum(bench.student(batch).values())
    torch.testing.assert_close(2 * found, expected, atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_leaves_empty_cells(cfg, monkeypatch):
    def full(self, kind, batch):
        raise torch.cuda.OutOfMemoryError("made up")

    monkeypatch.setattr(Published, "step", full)
    (row,) = step_rows(cfg, Options(batch=1, repeats=1, kinds=("cls",), memory=False))
    assert row["plain: seconds"] is None and row["fast: times as fast"] is None and row["seconds"] > 0
    assert "None" not in report.markdown("steps", [row])
    monkeypatch.setattr(Bench, "step", full)
    rows = step_rows(cfg, Options(batch=1, repeats=1, kinds=("cls", "box"), memory=False))
    assert [row["note"] for row in rows] == ["a batch of 1 does not fit into the memory"] * 3


def test_operations_of_a_step_by_hand(cfg):
    """Thirteen more classes: 2 B C K in the linear layer, the same for each of its two gradients; no teacher there."""
    bench = Bench(cfg, 2)
    counts = []
    for unit in UNITS[:2]:
        kind = Kind(Unit.parse(unit), "path")
        bench.lock(kind)
        counts.append(count_flops(bench, kind, bench.batch(kind.unit)))
    assert counts[0] - counts[1] == 3 * 2 * 2 * 64 * (14 - 1)


def test_peak_memory_counts_the_libraries(cfg):
    assert 0.1 < measure_peak(cfg, kinds(cfg)[0], 1, None) < 24


def test_the_tool_writes_what_it_prints(cfg, tmp_path, monkeypatch, capsys):
    file = tmp_path / "config.yaml"
    file.write_text(cfg.dump())
    written = tmp_path / "out.json"
    arguments = ["--config-file", str(file), "--batch", "2", "--repeats", "1", "--no-memory"]
    arguments += ["--what", "step,infer"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments, "--kinds", "cls,box", "--json", str(written)])
    benchmark.main()
    found = json.loads(written.read_text())
    steps, backbone, sampling, predictions = found["tables"].values()
    assert [row["kind"] for row in steps] == ["cls released", "box locked", "box released"]
    assert all(row["share"] > 0 and row[f"{parts}: times as fast"] > 0 for row in steps for parts in PARTS)
    assert backbone[0]["times as fast"] == 1 and [row["task"] for row in predictions] == [
        "cls",
        "box",
        "mask",
        "all units",
    ]
    assert [row["case"].split(":")[0] for row in sampling[::2]] == ["encoder, 85 queries", "decoder, 18 queries"]
    assert "times as fast" in capsys.readouterr().out


def test_other_tables(cfg, monkeypatch):
    monkeypatch.setitem(report.TABLES, "data", {"reading": lambda c, o: report.data_rows(c, o, count=1, side=64)})
    options = Options(batch=1, repeats=1, memory=False, detections=500)
    tables = dict(report.measure(cfg, options, ["data", "ema"]))
    assert [len(rows) for rows in tables.values()][:2] == [2, 3]
    assert all(row["seconds"] > 0 for rows in tables.values() for row in rows)
    with pytest.raises(ValueError, match="step, data, ema, eval, infer, processes, training"):
        list(report.measure(cfg, options, ["speed"]))
    with pytest.raises(ValueError, match="--kinds: none of cls released, box locked.* begins with 'relesed'"):
        list(report.measure(cfg, Options(kinds=("relesed",)), ["training"]))
