"""The compared steps do the work that they are said to do."""

import json
import sys

import pytest
import torch

import benchmark
from fx_d2.benchmark import report
from fx_d2.benchmark.memory import measure_peak
from fx_d2.benchmark.options import Options
from fx_d2.benchmark.steps import Bench, Kind, kinds
from fx_d2.benchmark.training import count_flops
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


@pytest.mark.parametrize("index", range(5))
def test_the_published_step_gives_the_teacher_gradients_and_leaves_no_trace(index, cfg, monkeypatch):
    bench = Bench(cfg, 2)
    kind = kinds(cfg)[index]
    bench.lock(kind, reference=True)
    seen = {}

    def watch(kind, total, scaler):
        total.backward()
        seen["teacher"] = sum(p.grad is not None for p in bench.teacher.parameters())
        seen["blocks"] = bench.teacher.model.backbone.use_checkpoint, bench.teacher.model.backbone.layers.training

    monkeypatch.setattr(bench, "_descend", watch)
    bench.reference_step(kind, bench.batch(kind.unit))
    assert seen == {"teacher": seen["teacher"], "blocks": (True, False)} and seen["teacher"] > 20
    for parameter in bench.teacher.parameters():
        assert parameter.grad is None and not parameter.requires_grad
    assert not any(module.training for module in bench.teacher.model.modules())
    assert not bench.student.backbone.use_checkpoint


def test_both_steps_move_the_student_alike_where_the_teacher_equals_it(cfg):
    """Boxes, teacher = student: the consistency is 0 in both, and what is left is the same task loss."""
    moved = []
    for name in ("step", "reference_step"):
        bench = Bench(cfg, 2)
        bench.student.consistency_weight = 0.0
        kind = Kind(Unit.parse("node21/box"), "path")
        bench.lock(kind, reference=name != "step")
        torch.manual_seed(1)
        getattr(bench, name)(kind, bench.batch(kind.unit))
        moved.append({key: value.clone() for key, value in bench.student.state_dict().items()})
    for key in moved[0]:
        torch.testing.assert_close(moved[0][key], moved[1][key], atol=1e-5, rtol=1e-4)


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
    assert 0.1 < measure_peak(cfg, kinds(cfg)[0], 1, False) < 24


def test_the_tool_writes_what_it_prints(cfg, tmp_path, monkeypatch, capsys):
    file = tmp_path / "config.yaml"
    file.write_text(cfg.dump())
    written = tmp_path / "out.json"
    arguments = ["--config-file", str(file), "--batch", "2", "--repeats", "1", "--no-memory", "--what", "step,infer"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments, "--kinds", "cls,box", "--json", str(written)])
    benchmark.main()
    found = json.loads(written.read_text())
    steps, backbone, predictions = found["tables"].values()
    assert [row["kind"] for row in steps] == ["cls released", "box locked", "box released"]
    assert all(row["share"] > 0 and row["times as fast"] > 0 for row in steps)
    assert backbone[0]["times as fast"] == 1 and [row["task"] for row in predictions] == ["cls", "box", "mask"]
    assert "times as fast" in capsys.readouterr().out


def test_other_tables(cfg, monkeypatch):
    monkeypatch.setitem(report.TABLES, "data", {"reading": lambda c, o: report.data_rows(c, o, count=1, side=64)})
    options = Options(batch=1, repeats=1, memory=False, detections=500)
    tables = dict(report.measure(cfg, options, ["data", "ema", "eval"]))
    assert [len(rows) for rows in tables.values()][:2] == [2, 3]
    assert all(row["seconds"] > 0 for rows in tables.values() for row in rows)
    with pytest.raises(ValueError, match="step, data, ema"):
        list(report.measure(cfg, options, ["speed"]))
