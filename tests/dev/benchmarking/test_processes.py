"""Two processes of a tiny network send what they are said to send."""

import pytest

from benchmarking.options import Options
from benchmarking.processes import process_rows
from tests.tiny import tiny_config


def test_rows_of_two_processes(tmp_path):
    overrides = {"DATASETS.FILES": [], "FX.CYCLE.UNITS": ["tbx11k/cls", "candid_ptx/mask"]}
    cfg = tiny_config(tmp_path, tmp_path, **overrides)
    locked, released = process_rows(cfg, Options(batch=2, repeats=1, kinds=("mask",)))
    assert (locked["kind"], released["kind"]) == ("mask locked", "mask released")
    # One convolution of 3 x 3 for one class, and a bias.
    assert locked["MB sent"] == pytest.approx(4e-6 * (9 * cfg.MODEL.SWIN.EMBED_DIM + 1))
    assert locked["MB sent"] < 0.1 * released["MB sent"] < 0.1 * locked["wrapped once: MB sent"]
    assert locked["seconds"] > 0 and locked["a lock: seconds"] > 0
