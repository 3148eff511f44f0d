"""What the report gathers: scores of single images, choices, passes, forgetting, the record of a run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fx_d2.engine.hooks import run_record
from fx_d2.evaluation.tables import BoxTable, FindingTable, ImageRow, MaskRow, MaskTable
from fx_d2.report import about
from fx_d2.report.cases import choose
from fx_d2.report.figures import pooled_bins
from fx_d2.report.forgetting import forgetting_matrix, points_of
from fx_d2.report.history import best_iteration, passes_of
from fx_d2.report.image_scores import Score, image_scores, match
from fx_d2.report.run import Run, read_record, read_run
from fx_d2.schedule import CycleSchedule, Pass, Unit
from tests.tiny import tiny_config

UNITS = [Unit("one", "cls"), Unit("one", "box")]
PASSES = {"cls": (Pass(),), "box": (Pass(train="head", fraction=0.5), Pass())}


def images(count, **fields):
    return [ImageRow(str(i), height=20, width=20, **fields) for i in range(count)]


def test_findings_score_by_agreement_over_known_labels():
    nan = float("nan")
    table = FindingTable(images(3), ("a", "b"), np.array([[1, 0], [1, nan], [nan, nan]]), np.array([[0.9, 0.2]] * 3))
    first, second, third = image_scores(table)
    assert first.value == pytest.approx(1 - (0.1 + 0.2) / 2) and second.value == pytest.approx(0.9) and third is None


def test_boxes_score_by_panoptic_quality():
    truth = np.array(
        [[0, 0, 0, 10, 10, 0, 0], [0, 50, 50, 10, 10, 0, 0], [1, 0, 0, 10, 10, 1, 0], [1, 0, 0, 9, 9, 1, 1]]
    )
    found = np.array(
        [
            [0, 0, 0, 10, 8, 0, 0.9],  # IoU 0.8 with the first
            [0, 0, 0, 10, 10, 0, 0.5],  # perfect, but the first is taken
            [0, 50, 50, 10, 10, 1, 0.9],  # another class
            [1, 0, 0, 10, 10, 1, 0.2],  # below the threshold
        ]
    )
    scores = image_scores(BoxTable(images(3), ("a", "b"), truth, found))
    assert scores[0].value == pytest.approx(0.8 / ((2 + 3) / 2))
    assert (scores[1].value, scores[1].informative) == (0.0, True)
    assert (scores[2].value, scores[2].informative) == (1.0, False)
    assert match(truth[:1], found[:1]) == [pytest.approx(0.8)]


def region(category, rows, columns):
    mask = np.zeros((20, 20), np.uint8, order="F")
    mask[rows, columns] = 1
    return MaskRow(category, coco_mask.encode(mask))


def test_masks_score_by_the_mean_dice_of_what_is_there_or_predicted():
    truth = [[region(0, slice(0, 10), slice(0, 10))], [], []]
    found = [
        [
            region(0, slice(0, 5), slice(0, 10)),
            region(0, slice(10, 15), slice(0, 10)),
            region(1, slice(0, 2), slice(0, 2)),
        ],
        [],
        [region(0, slice(0, 2), slice(0, 2))],
    ]
    rows = [*images(2), ImageRow("2", height=20, width=20, unknown_classes=(0, 1))]
    first, second, third = image_scores(MaskTable(rows, ("a", "b"), truth, found))
    assert first.value == pytest.approx((2 * 50 / 200 + 0.0) / 2)
    assert (second.value, second.informative) == (1.0, False) and third is None


def test_best_worst_and_random_never_share_an_image():
    scores = [Score(v, "", informative=v != 1.0) for v in (1.0, 0.9, 0.1, 0.5, 0.4, 0.8)] + [None]
    chosen = choose(scores, 2, seed=3)
    assert chosen["best"] == [1, 5] and chosen["worst"] == [2, 4] and sorted(chosen["random"]) == [0, 3]
    assert choose(scores, 2, seed=3) == chosen
    assert choose([None, Score(0.5, "")], 3, 0) == {"best": [1], "worst": [], "random": []}
    many = [Score(0.5, "")] * 40
    assert choose(many, 3, 0)["random"] != choose(many, 3, 1)["random"]


def test_forgetting_is_the_mean_change_over_cycles():
    def row(after, begun, iteration, a, b):
        return {
            "after": after,
            "begun": begun,
            "iteration": iteration,
            "scores": {"student": {"one/cls": a, "one/box": b}},
        }

    rows = [
        row(None, 0, 0, 0.5, 0.2),
        row("one/cls", 0, 2, 0.7, 0.1),
        row("one/box", 2, 5, 0.6, None),
        row("one/cls", 5, 7, 0.9, 0.3),  # box was undefined before
        row("one/box", 17, 20, 0.1, 0.1),  # nothing was scored at 17
    ]
    change, count = forgetting_matrix(rows, ["one/cls", "one/box"], "student")
    np.testing.assert_allclose(change, [[(0.2 + 0.3) / 2, -0.1], [-0.1, np.nan]])
    assert count.tolist() == [[2, 1], [1, 0]]
    assert forgetting_matrix(rows, ["one/cls", "one/box"], "teacher")[1].sum() == 0


def test_points():
    assert [points_of(v) for v in (0.1234, -0.0051, 0.0004, -0.0)] == ["+12.3", "−0.5", "0", "0"]


@pytest.fixture
def run(tmp_path):
    """A run of three cycles of 2 + (1 + 2) steps that stopped after 7 steps."""
    schedule = CycleSchedule(UNITS, PASSES, dict.fromkeys(UNITS, 4), 2, 3)
    run_record.begin_session(tmp_path, "training", "cpu", 0, schedule)
    run_record.end_session(tmp_path, 7)
    cfg = tiny_config(tmp_path, tmp_path, **{"FX.CYCLE.UNITS": list(map(str, UNITS))})
    return read_run(tmp_path, cfg), schedule


def test_passes_and_images_as_the_schedule_walks_them(run):
    run, schedule = run
    slots = [schedule.at(i) for i in range(7)]
    assert about.images_seen(run) == sum(slot.stop - slot.start for slot in slots)
    expected = {}
    for slot in slots:
        first, _, locked = expected.get(slot.pass_key, (slot.iteration, 0, slot.locked))
        expected[slot.pass_key] = (first, slot.iteration + 1, locked)
    for unit in UNITS:
        assert passes_of(run, str(unit)) == [span for key, span in expected.items() if key[1] == unit]


def test_the_best_validation_is_the_first_of_the_highest(run):
    run, _ = run
    run.rows = {
        4: {"val/teacher/mean": 0.5},
        9: {"val/teacher/mean": 0.6},
        14: {"val/teacher/mean": 0.6},
        15: {"lr": 1.0},
    }
    assert best_iteration(run) == 9
    run.rows = {}
    assert best_iteration(run) is None


def test_sessions_of_a_killed_and_resumed_run(tmp_path):
    run_record.begin_session(tmp_path, "training", "cpu", 0, None)
    run_record.begin_session(tmp_path, "training", "cpu", 5, None)
    run_record.end_session(tmp_path, 15)
    stored = json.loads((tmp_path / "run.json").read_text())
    assert [(s["start"], s["stop"], bool(s["ended"])) for s in stored["sessions"]] == [(0, 0, False), (5, 15, True)]
    assert stored["sessions"][0]["versions"]["torch"]
    day = {"began": "2030-01-01T00:00:00+00:00", "ended": "2030-01-02T01:00:00+00:00"}
    assert about.working_time([day, {**day, "ended": None}]) == "1 day, 1:00:00 (and 1 without an end)"


def test_a_cut_line_between_units_is_left_out(run, caplog):
    run, _ = run
    row = {"cycle": 1, "after": None, "begun": 0, "iteration": 0, "scores": {}}
    (run.folder / "unit_scores.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "cycle": 9}) + '\n{"cyc')
    assert [r["cycle"] for r in read_run(run.folder, run.cfg).unit_scores] == [9]  # the later line holds
    assert "line 3 cannot be read" in caplog.text


def test_pooled_calibration_weighs_by_cases():
    one = {"low": [0.0], "high": [0.5], "count": [3], "score": [0.2], "frequency": [1 / 3]}
    two = {"low": [0.0, 0.5], "high": [0.5, 1.0], "count": [1, 2], "score": [0.4, 0.8], "frequency": [1.0, 0.5]}
    assert pooled_bins([one, two]) == [pytest.approx((0.25, 0.5, 4)), pytest.approx((0.8, 0.5, 2))]


def test_changed_keys_only(tmp_path):
    cfg = tiny_config(tmp_path, tmp_path)
    keys = {key: (value, default) for key, value, default in about.changed_keys(cfg)}
    assert keys["SOLVER.IMS_PER_BATCH"] == ("4", "24") and "SOLVER.WEIGHT_DECAY" not in keys
    assert (
        about.data_section(Run(tmp_path, cfg, {"sessions": [], "schedule": None, "images": {}}))["rows"][0]["counts"]
        == []
    )


def test_device_and_command_line_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/tools/train_net.py", "--config-file", "a b.yaml"])
    run_record.begin_session(tmp_path, "evaluation", "cpu", None, None)
    (session,) = read_record(tmp_path)["sessions"]
    assert session["command"] == "train_net.py --config-file 'a b.yaml'" and session["device"].startswith("CPU, ")
    assert SimpleNamespace(**session).stop is None
