"""The tool behind the evidence of docs/data_checks.md, on a few phantoms."""

import sys

import pytest

import measure_fingerprints


def test_copies_are_recognised_and_phantoms_told_apart(cohort, monkeypatch, capsys):
    folder = cohort / "phantoms" / "phantom_ward" / "images"
    monkeypatch.setattr(sys, "argv", ["measure_fingerprints.py", str(folder)])
    chosen = ("224 x 224", "gamma 2", "cropped by 5 %", "black bars added")
    monkeypatch.setattr(measure_fingerprints, "CHANGES", {name: measure_fingerprints.CHANGES[name] for name in chosen})
    measure_fingerprints.main()
    text = capsys.readouterr().out
    rows = {line[:16].strip(): line.split()[-3] for line in text.splitlines() if line.startswith(chosen)}
    assert rows == {"224 x 224": "0", "gamma 2": "0", "cropped by 5 %": "24", "black bars added": "0"}
    # 24 images: 24 * 23 / 2 pairs.
    assert "276 pairs of 24 fingerprints of 24 images" in text and "0 taken for copies" in text


def test_a_single_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["measure_fingerprints.py", str(tmp_path)])
    with pytest.raises(ValueError, match="at least two images"):
        measure_fingerprints.main()
