"""Every back end gives what pycocotools gives."""

import numpy as np
import pytest

from fx_d2.evaluation import coco
from tests.evaluation.cases import make_set, random_regions

EMPTY = make_set([], [], [], np.zeros((0, 4)))
ONE = make_set([0], [0], [0.0], np.array([[5.0, 5, 50, 50]]))


@pytest.fixture(autouse=True)
def forget_the_choice():
    coco.load_back_end.cache_clear()
    yield
    coco.load_back_end.cache_clear()


def fast():
    return pytest.importorskip("hotcoco", reason="the fast COCO back end is not installed (pip install fx_d2[fast])")


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_fast_back_end_is_equal_to_the_last_bit(seed, masks):
    fast()
    rng = np.random.default_rng(seed)
    images, classes = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    truth, predictions = random_regions(rng, images, classes, 18, 60, ties=seed % 2 == 1, masks=masks)
    areas = list(coco.AREAS)
    slow = coco.precision(truth, predictions, images, classes, areas, "pycocotools")
    assert slow.shape == (11, 101, classes, 4) and (slow > 0).any()
    np.testing.assert_array_equal(coco.precision(truth, predictions, images, classes, areas, "hotcoco"), slow)


@pytest.mark.parametrize("name", coco.BACK_ENDS)
@pytest.mark.parametrize(
    ("truth", "predictions", "expected"),
    [(EMPTY, EMPTY, -1), (EMPTY, ONE, -1), (ONE, EMPTY, 0)],
    ids=["none", "predicted", "true"],
)
def test_nothing_true_nothing_predicted(name, truth, predictions, expected, capfd):
    pytest.importorskip(name)
    values = coco.precision(truth, predictions, 3, 2, name=name)
    assert set(values[:, :, 0].ravel()) == {expected} and set(values[:, :, 1].ravel()) == {-1}
    assert capfd.readouterr().out == ""


def test_more_than_a_hundred_detections_on_an_image():
    fast()
    rng = np.random.default_rng(1)
    truth, predictions = random_regions(rng, 2, 1, 12, 300)
    values = [coco.precision(truth, predictions, 2, 1, name=name) for name in coco.BACK_ENDS]
    np.testing.assert_array_equal(*values)


def test_the_choice_of_the_back_end(monkeypatch, caplog):
    import importlib

    real = importlib.import_module

    def without_fast(name, *args):
        if name == "hotcoco":
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(coco.importlib, "import_module", without_fast)
    with caplog.at_level("INFO", "fx_d2"):
        assert coco.back_end_name().startswith("pycocotools ")
    assert "COCO evaluation by pycocotools" in caplog.text
    with pytest.raises(ModuleNotFoundError, match="install one of none_such"):
        coco.load_back_end("none_such")
