from __future__ import annotations

from pathlib import Path

import pytest

from benchmarking.published_sizes import PARTS, Sizes, published_sizes
from fx_d2.config import cycle_units, get_fx_cfg
from fx_d2.data.builtin import DATASETS, builtin_records
from fx_d2.schedule import Unit

ROOT = Path(__file__).parents[3]
RECORDS = builtin_records({})


@pytest.mark.parametrize(
    ("unit", "train", "val", "test"),
    [
        ("chexpert/cls", 223_414, 234, 668),
        ("nih_cxr14/cls", 75_276, 11_248, 25_596),  # 0.87 and 0.13 of 86,524
        ("nih_cxr14/box", 0, 0, 880),
        ("shenzhen/cls", 464, 66, 132),  # 0.7, 0.1 and 0.2 of 662; the rest goes to the training part
        ("tbx11k/box", 6_600, 1_800, 0),
        ("chestx_det/mask", 2_723, 302, 553),
        ("rsna_pneumonia/box", 21_348, 2_668, 2_668),
        ("montgomery/mask", 96, 14, 28),
    ],
)
def test_sizes_by_hand(unit, train, val, test):
    assert published_sizes(Unit.parse(unit)) == Sizes(train, val, test)


def test_no_image_is_lost():
    """Sums over the splits are the totals that the publishers give."""
    totals = {"chexpert": 224_316, "nih_cxr14": 112_120, "vindr_cxr": 18_000, "mimic_cxr": 377_110, "node21": 4_882}
    for dataset, total in totals.items():
        sizes = published_sizes(Unit(dataset, "cls"))
        assert sizes.train + sizes.val + sizes.test == total


def test_the_table_agrees_with_the_catalog_and_has_every_dataset():
    assert set(PARTS) == {entry.name for entry in DATASETS}
    for entry in DATASETS:
        sizes = published_sizes(Unit(entry.name, next(iter(RECORDS[entry.name].tasks))))
        for split, images in entry.images.items():
            assert getattr(sizes, split) == images, (entry.name, split)


def test_the_published_cycle_has_sizes():
    cfg = get_fx_cfg()
    cfg.merge_from_file(ROOT / "configs/foundation_x_swin_b.yaml")
    assert all(published_sizes(unit).train > 0 for unit in cycle_units(cfg))


def test_an_unknown_unit_is_named():
    with pytest.raises(ValueError, match="unit chexpert/box: no published size is known; those of .*chexpert/cls"):
        published_sizes(Unit("chexpert", "box"))
