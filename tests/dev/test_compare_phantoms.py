"""The compass between real and synthetic radiographs, on pictures whose statistics are known."""

import cv2
import numpy as np
import pytest

from compare_phantoms import discriminate, main, real_images, statistics


def test_statistics_of_a_wave():
    """A cosine of 12 pixels about 0.5 with amplitude 0.25; its power is the square of that over 2."""
    across = np.arange(256)
    image = np.tile(255 * (0.5 + 0.25 * np.cos(2 * np.pi * across / 12)), (256, 1)).round().astype(np.uint8)
    found = statistics(image)
    assert found["mean"] == pytest.approx(0.5, abs=0.01) and found["deviation"] == pytest.approx(
        0.25 / 2**0.5, abs=0.01
    )
    assert found["percentile 99"] == pytest.approx(0.75, abs=0.01) and found["black share"] == 0
    bands = {name: value for name, value in found.items() if name.startswith("spectrum")}
    assert max(bands, key=bands.get) == "spectrum 8-16" and sorted(bands.values())[-2] < bands["spectrum 8-16"] - 2
    # The steepest step of the wave: amplitude times 2 pi / 12, smoothed by Sobel's kernel, which takes neighbours.
    assert found["edge percentile 99"] == pytest.approx(0.25 * np.sin(2 * np.pi / 12), abs=0.01)


def test_halves():
    image = np.zeros((256, 256), np.uint8)
    image[:128, :64] = 255
    found = statistics(image)
    assert found["upper minus lower"] == pytest.approx(0.25) and found["left minus right"] == pytest.approx(0.25)
    assert found["white share"] == pytest.approx(0.125) and found["black share"] == pytest.approx(0.875)


def test_a_discriminant_finds_what_differs_and_nothing_else():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(400, 5)), np.arange(400) % 2
    assert discriminate(values, labels) == pytest.approx(0.5, abs=0.08)
    values[labels == 1, 3] += 2
    # Two normal distributions two deviations apart: AUROC is Phi(2 / sqrt 2) = 0.921.
    assert discriminate(values, labels) == pytest.approx(0.921, abs=0.03)


def test_a_table_of_a_folder(tmp_path, capsys, monkeypatch):
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.random.default_rng(number).integers(0, 256, (64, 48), np.uint8))
    monkeypatch.setattr("sys.argv", ["compare_phantoms.py", "--real", str(tmp_path), "--images", "6"])
    main()
    text = capsys.readouterr().out
    assert "| all together" in text and "6 images" in text
    first = text.splitlines()[2].split("|")
    assert float(first[-2]) in (0.0, 1.0)  # noise is told from radiographs by one number
    with pytest.raises(ValueError, match="no image in"):
        real_images([tmp_path / "none"])
