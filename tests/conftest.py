"""Fixtures for all tests."""

import logging
import shutil

import pytest
import torch

from fx_d2.data.catalog import clear_datasets
from fx_d2.phantoms import write_cohort
from tests.tiny import make_model
from tests.trained import write_run

# The networks here are tiny: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def image_cache(tmp_path_factory):
    """Decoded images go to a folder of the tests, not to the user's; processes that tests start follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FX_D2_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def loggers():
    """A tool that a test runs in this process sets up its log; the next test finds the loggers as they were."""
    found = [logging.getLogger(name) for name in ("fx_d2", "detectron2", "fvcore")]
    before = [(logger.propagate, logger.level, list(logger.handlers)) for logger in found]
    yield
    for logger, (propagate, level, handlers) in zip(found, before, strict=True):
        logger.propagate, logger.handlers = propagate, handlers
        logger.setLevel(level)


@pytest.fixture
def model():
    return make_model()


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Folder with a tiny synthetic cohort: four datasets of 24 images."""
    root = tmp_path_factory.mktemp("datasets")
    write_cohort(root, images={"train": 12, "val": 6, "test": 6}, size=96)
    return root


@pytest.fixture(scope="session")
def trained(cohort, tmp_path_factory):
    """A run as training leaves it: see :func:`tests.trained.write_run`."""
    return write_run(cohort, tmp_path_factory.mktemp("run"))


@pytest.fixture
def fresh_catalog():
    """Nothing that a test registers is left to the next one."""
    clear_datasets()
    yield
    clear_datasets()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, driven by playwright; skips where one of them is missing."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium (apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    flags = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync"
    ).split()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()
