"""pydicom is silent while files are read, in several threads, too, and speaks again afterwards."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fx_d2.data.formats.quiet import quiet_pydicom
from fx_d2.data.images import read_image
from fx_d2.phantoms.writing import write_dicom


def test_threads_restore_warnings_and_log_level(tmp_path):
    write_dicom(tmp_path / "x", np.eye(64, dtype=np.uint16) * 4000, 12, "jpeg2000")
    log = logging.getLogger("pydicom")
    level, filters = log.level, list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(read_image, [tmp_path / "x"] * 60))
    assert all(np.array_equal(image, images[0]) for image in images)
    assert log.level == level and warnings.filters == filters


def test_silence_ends_with_an_error(recwarn, caplog):
    log = logging.getLogger("pydicom")
    try:
        with quiet_pydicom():
            with quiet_pydicom():
                warnings.warn("inside", stacklevel=1)
            log.error("inside")
            raise KeyError
    except KeyError:
        pass
    warnings.warn("outside", stacklevel=1)
    log.error("outside")
    assert [str(each.message) for each in recwarn] == ["outside"] and caplog.messages == ["outside"]
