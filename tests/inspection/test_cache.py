"""The memory of measured files."""

import pytest

from fx_d2.data.errors import DataError
from fx_d2.inspection.cache import MeasureCache


def test_a_value_counts_while_its_stamp_is_the_same(tmp_path):
    cache = MeasureCache(tmp_path / "new" / "cache.sqlite")
    cache.write("image", [("a.png", "1", b"A"), ("b.png", "1", b"B")])
    cache.write("mask", [("a.png", "1", b"M")])
    again = MeasureCache(cache.path)
    assert again.read("image", {"a.png": "1", "b.png": "2", "c.png": "1"}) == {"a.png": b"A"}
    again.write("image", [("b.png", "2", b"BB")])
    assert cache.read("image", {"b.png": "2"}) == {"b.png": b"BB"}
    assert cache.read("mask", {"a.png": "1"}) == {"a.png": b"M"}


def test_a_file_that_is_no_cache_is_named(tmp_path):
    path = tmp_path / "cache.sqlite"
    path.write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(DataError, match=r"cache\.sqlite: cannot be used as cache .*delete it"):
        MeasureCache(path)
