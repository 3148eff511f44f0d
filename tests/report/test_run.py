"""A run's files as the report reads them, resumed and damaged ones too."""

import json

from fx_d2.report.run import read_metrics


def test_the_later_line_of_an_iteration_wins(tmp_path, caplog):
    first = [{"iteration": i, "a/cls/total_loss": float(i), "lr": 1.0} for i in (0, 20, 40)]
    resumed = [{"iteration": i, "a/cls/total_loss": 10.0 + i} for i in (20, 40)]
    path = tmp_path / "metrics.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*first, *resumed]) + '{"iteration": 60, "a/c')
    rows = read_metrics(path)
    assert {i: row["a/cls/total_loss"] for i, row in rows.items()} == {0: 0.0, 20: 30.0, 40: 50.0}
    assert rows[20]["lr"] == 1.0
    assert "1 lines cannot be read" in caplog.text
