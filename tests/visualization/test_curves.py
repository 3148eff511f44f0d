"""Curves from ordinary, empty, resumed and damaged metrics files."""

import json

import cv2
import numpy as np
import pytest

from fx_d2.visualization import draw_curves
from fx_d2.visualization.curves import read_metrics, smooth, sort_curves


def write(path, *rows, tail=""):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"iteration": 0, "lr": 1e-3, "data_time": 0.1}],
        [{"iteration": 0, "a/cls/total_loss": 1.0, "total_loss": 1.0}],
        [{"iteration": 5, "a/box/total_loss": float("nan")}, {"iteration": 9, "a/box/total_loss": 0.0}],
        [{"iteration": 9, "teacher/a/mask/Dice": 0.5}],
        [{"iteration": i, f"d{i}/cls/total_loss": 1.0, f"val/teacher/d{i}/cls/AUROC": 0.5} for i in range(23)],
    ],
)
def test_a_picture_is_written_whatever_the_file_holds(tmp_path, rows):
    draw_curves(write(tmp_path / "metrics.json", *rows), tmp_path / "new" / "curves.png")
    picture = cv2.imread(str(tmp_path / "new" / "curves.png"))
    assert picture is not None and min(picture.shape[:2]) >= 400 and picture.std() > 0


def test_the_later_line_of_an_iteration_wins(tmp_path, caplog):
    first = [{"iteration": i, "a/cls/total_loss": float(i), "lr": 1.0} for i in (0, 20, 40)]
    resumed = [{"iteration": i, "a/cls/total_loss": 10.0 + i} for i in (20, 40)]
    path = write(tmp_path / "metrics.json", *first, *resumed, tail='{"iteration": 60, "a/c')
    rows = read_metrics(path)
    assert sort_curves(rows) == {("loss", "a", "cls"): ([0, 20, 40], [0.0, 30.0, 50.0])}
    assert rows[20]["lr"] == 1.0
    assert "1 lines cannot be read" in caplog.text
    draw_curves(path, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_only_totals_and_main_metrics_are_drawn():
    row = {
        "total_loss": 1.0,
        "a/box/total_loss": 2.0,
        "a/box/loss_giou": 1.0,
        "val/teacher/a/box/AP50": 0.3,
        "val/teacher/a/box/AP": 0.1,
        "val/teacher/a/box/AP50/nodule": 0.3,
        "val/teacher/mean": 0.4,
        "student/a/box/AP50": 0.2,
        "student/a/cls/AUROC/No Opacity / Not Normal": 0.2,
    }
    assert set(sort_curves({3: row})) == {
        ("loss", "a", "box"),
        ("val/teacher", "a", "box"),
        ("student", "a", "box"),
    }


def test_running_mean():
    means = smooth([1.0, 2.0, float("nan"), 4.0], keep=0.5)
    expected = [1.0, (0.5 * 1 + 2) / 1.5, (0.5 * 1 + 2) / 1.5, (0.25 * 1 + 0.5 * 2 + 4) / 1.75]
    assert means == pytest.approx(expected)
    assert np.isnan(smooth([float("nan")])).all()
