"""A few training images of a dataset, chosen by the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def few_shot(records: Sequence[dict], count: int, seed: int) -> list[dict]:
    """``count`` of the records, in their order; all of them where ``count`` is 0.

    An image's rank is a hash of seed and ``image_id``: the tasks of one dataset get the same images, and fewer images
    are a part of more (3 of the 6, 6 of the 12).

    Raises:
        ValueError: there are fewer records.
    """
    if not count:
        return list(records)
    if count > len(records):
        unit = records[0].get("unit", "the unit")
        raise ValueError(f"DATASETS.FEW_SHOT asks for {count} training images, {unit} has {len(records)}")

    def rank(record: dict) -> bytes:
        return hashlib.sha256(f"{seed}/{record['image_id']}".encode()).digest()

    chosen = {record["image_id"] for record in sorted(records, key=rank)[:count]}
    return [record for record in records if record["image_id"] in chosen]
