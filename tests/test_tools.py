"""The command-line tools on small inputs; numbers against the published table and a hand-made plan."""

from pathlib import Path

import pytest

import analyze_model
import fill_cache
import time_images
from fx_d2 import get_fx_cfg
from fx_d2.commands import schedule as show_schedule
from fx_d2.engine.build import prepare
from fx_d2.phantoms.trees import write_tree
from tests.tiny import tiny_config

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.usefixtures("fresh_catalog")

# Tensors and parameters of the published Foundation X (Swin-B, 224), where the component is the same as ours.
PUBLISHED = {
    "backbone": (325, 86_741_176),
    "heads.cls.norm": (2, 2_048),
    "heads.cls.branches": (22, 70_725),
    "heads.box.norms": (6, 3_584),
    "heads.box.input_proj": (16, 2_821_120),
    "heads.box.level_embed": (1, 1_024),
    "heads.box.encoder": (96, 7_693_056),
    "heads.box.decoders": (828, 56_836_608),
    "heads.box.selectors": (24, 397_824),
    "heads.mask.pooling": (15, 19_927_040),
    "heads.mask.pyramid": (11, 967_424),
}


def test_swin_b_has_the_published_sizes():
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(ROOT / "configs" / "foundation_x_swin_b.yaml"))
    cfg.MODEL.DEVICE = "meta"  # sizes without memory
    prepare(cfg)
    table = analyze_model.parameter_table(analyze_model.build_model(cfg))
    rows = {cells[0]: cells[1:] for cells in (line.split() for line in table.splitlines()) if len(cells) == 3}
    for name, (tensors, parameters) in PUBLISHED.items():
        assert rows[name] == [str(tensors), f"{parameters:,}"], name
    # Heads of the three datasets with masks, and only theirs: (128 * 9 + 1) * (1 + 13 + 1).
    assert rows["heads.mask.branches"] == ["6", f"{1153 * 15:,}"]


def test_the_plan_of_a_tiny_run(cohort, tmp_path):
    cfg = tiny_config(cohort, tmp_path)
    prepare(cfg)
    lines = [line.split() for line in show_schedule.plan(cfg).splitlines()]
    rows = [cells for cells in lines if "/" in cells[0]]
    # screen/cls 12 images in 3 steps; heart/box 6 then 12; heart/mask has 9 of 12 images: round(4.5) = 4, then 9.
    assert [cells[:5] for cells in rows] == [
        ["phantom_screen/cls", "released", "12", "3", "0-2"],
        ["phantom_heart/box", "locked", "6", "2", "3-4"],
        ["phantom_heart/box", "released", "12", "3", "5-7"],
        ["phantom_heart/mask", "locked", "4", "1", "8-8"],
        ["phantom_heart/mask", "released", "9", "3", "9-11"],
    ]
    assert rows[3][5] == "2"  # a locked mask pass trains one convolution: weight and bias
    assert "2 cycles of 12 iterations = 24 iterations" in show_schedule.plan(cfg)


def test_images_are_timed(tmp_path):
    lines = time_images.table(2, 64, 48, [0, 32], tmp_path).splitlines()
    rows = [line.split() for line in lines[2:]]
    assert [row[:2] for row in rows[::2]] == [["DICOM", "JPEG"], ["DICOM", "plain"], ["MetaImage", "zlib"]]
    first, second = (float(rows[0][index]) for index in (-3, -2))
    assert len(rows) == 6 and first > 0 and second > 0


def test_the_cache_is_filled_ahead(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    write_tree("node21", tmp_path)
    options = ["FX.CYCLE.UNITS", "['node21/cls','node21/box']", "INPUT.CACHE.DIR", str(tmp_path / "cache")]
    assert fill_cache.main(["--splits", "train", "val", "--workers", "0", *options]) == 0
    out = capsys.readouterr().out
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert f"{len(kept)} images read, 0 files not" in out and len(kept) > 5
    (tmp_path / "node21" / "cxr_images" / "proccessed_data" / "images" / "n0001.mha").write_bytes(b"PK\x03\x04")
    assert fill_cache.main(["--workers", "0", *options]) == 1
    assert "a zip archive; unpack it" in capsys.readouterr().out
    with pytest.raises(ValueError, match="INPUT.CACHE.MODE is off"):
        fill_cache.main([*options, "INPUT.CACHE.MODE", "off"])
    with pytest.raises(ValueError, match="has a split exam"):
        fill_cache.main(["--splits", "exam", "--workers", "0", *options])
