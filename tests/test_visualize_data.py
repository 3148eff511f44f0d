"""The tool that draws training data, over the synthetic cohort."""

import numpy as np
import pytest
from PIL import Image

from fx_d2.commands import visualize_data

pytestmark = pytest.mark.usefixtures("fresh_catalog")

UNITS = "['phantom_ward/box', 'phantom_emergency/mask', 'phantom_screen/cls']"


@pytest.fixture
def call(cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(cohort))
    config = tmp_path / "config.yaml"
    config.write_text(
        f"DATASETS:\n  FILES: [phantoms/phantoms.yaml]\nINPUT:\n  SIZE: 64\nFX:\n  CYCLE:\n    UNITS: {UNITS}\n"
    )

    def run(*arguments):
        visualize_data.main(["--config-file", str(config), "--output", str(tmp_path / "look"), *arguments])
        return sorted((tmp_path / "look").glob("*.png")), capsys.readouterr().out

    return run


def test_every_unit_is_drawn(call):
    paths, text = call("--images", "1")
    assert [path.name.split("_train_01_")[0] for path in paths] == [
        "phantom_emergency_mask",
        "phantom_screen_cls",
        "phantom_ward_box",
    ]
    assert "phantom_ward/box train: 1 pictures" in text
    for path in paths:
        assert ".png." not in path.name and min(Image.open(path).size) > 500


def test_views_of_one_unit(call):
    paths, _ = call("--unit", "phantom_ward/box", "--source", "mapper", "--images", "1", "--draws", "2")
    assert len(paths) == 1
    first = np.asarray(Image.open(paths[0]))
    assert first.shape[1] > 3 * 300
    again, _ = call("--unit", "phantom_ward/box", "--source", "mapper", "--images", "1", "--draws", "2")
    assert (np.asarray(Image.open(again[0])) == first).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "tset"], "no split 'tset'; did you mean 'test'"),
        (["--unit", "phantom_ward/mask"], "unknown unit 'phantom_ward/mask'"),
        (["--images", "0"], "take 1 or more"),
    ],
)
def test_a_mistake_in_the_call(call, arguments, message):
    with pytest.raises(ValueError, match=message):
        call(*arguments)
