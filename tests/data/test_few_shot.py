"""A few training images, chosen by the seed."""

import pytest

from fx_d2.data.few_shot import few_shot

RECORDS = [{"image_id": f"image {i}", "file_name": f"{i}.png", "unit": "one/cls"} for i in range(40)]


def test_fewer_are_a_part_of_more_whatever_else_a_record_holds():
    three, twelve = few_shot(RECORDS, 3, seed=1), few_shot(RECORDS, 12, seed=1)
    assert len(three) == 3 and len(twelve) == 12
    assert all(record in twelve for record in three)
    others = [{"image_id": record["image_id"], "annotations": []} for record in reversed(RECORDS)]
    assert {r["image_id"] for r in few_shot(others, 12, seed=1)} == {r["image_id"] for r in twelve}
    assert twelve == [record for record in RECORDS if record in twelve]


def test_another_seed_chooses_others():
    chosen = {tuple(r["image_id"] for r in few_shot(RECORDS, 6, seed)) for seed in range(5)}
    assert len(chosen) == 5


def test_none_and_too_many():
    assert few_shot(RECORDS, 0, seed=0) == RECORDS
    with pytest.raises(ValueError, match="DATASETS.FEW_SHOT asks for 41 training images, one/cls has 40"):
        few_shot(RECORDS, 41, seed=0)
