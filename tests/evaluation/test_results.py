"""Flat keys, strict JSON, table and means."""

import json

import pytest

from fx_d2.evaluation.results import flatten, mean_scores, results_table, write_results

RESULTS = {
    "student": {
        "node21": {"cls": {"AUROC": 0.9, "AP": 0.8, "AP/a/b": 0.8}, "box": {"AP": 0.2, "AP50": 0.5, "AP75": 0.1}},
        "siim_acr": {"mask": {"Dice": None, "IoU": None, "Dice_all": 0.25}, "cls": {"AUROC": 0.7, "AP": None}},
    },
    "teacher": {"node21": {"cls": {"AUROC": None}}},
}


def test_flat_keys():
    flat = flatten(RESULTS)
    assert flat["student/node21/cls/AUROC"] == 0.9 and flat["student/node21/cls/AP/a/b"] == 0.8
    assert flat["student/siim_acr/mask/Dice"] is None and flat["teacher/node21/cls/AUROC"] is None
    assert len(flat) == 12


def test_written_file_is_strict_json_and_stable(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    path = tmp_path / "new" / "results.json"
    write_results(path, RESULTS)
    assert json.loads(path.read_text(), parse_constant=refuse) == RESULTS
    first = path.read_bytes()
    reordered = {"teacher": RESULTS["teacher"], "student": dict(reversed(RESULTS["student"].items()))}
    write_results(path, reordered)
    assert path.read_bytes() == first


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_json_cannot_hold_are_named(tmp_path, value):
    with pytest.raises(ValueError, match="teacher/a/box/AP50 is (nan|inf)"):
        write_results(tmp_path / "r.json", {"teacher": {"a": {"box": {"AP50": value}}}})
    assert not (tmp_path / "r.json").exists()


def test_mean_of_main_metrics():
    assert mean_scores(RESULTS) == {"student/mean": pytest.approx((0.9 + 0.5 + 0.7) / 3), "teacher/mean": None}


def test_table():
    lines = [line.split() for line in results_table(RESULTS).splitlines()]
    assert ["AUROC", "AUROC", "AP", "AP"] in lines and ["student", "teacher"] * 2 in lines
    assert ["node21/cls", "0.900", "-", "0.800", "-"] in lines
    assert ["siim_acr/cls", "0.700", "-", "-", "-"] in lines
    assert ["mean", "cls", "0.800", "-", "0.800", "-"] in lines
    assert ["node21/box", "0.500", "-", "0.200", "-", "0.100", "-", "-", "-"] in lines
    assert ["siim_acr/mask", "-", "-", "-", "-", "0.250", "-"] in lines
    assert results_table({}) == ""
