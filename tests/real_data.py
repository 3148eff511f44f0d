"""Where the shared real radiographs lie, for the tests that use them; they skip where there are none."""

from __future__ import annotations

from pathlib import Path

REAL = Path(__file__).parents[2] / "shared" / "real_cxr"
