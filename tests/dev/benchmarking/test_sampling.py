"""The compared implementations get the box head's sizes and the same work."""

import torch

from benchmarking import sampling
from fx_d2 import get_fx_cfg

CPU = torch.device("cpu")


def test_sizes_are_those_of_the_box_head():
    cfg = get_fx_cfg()
    shapes = sampling.level_shapes(cfg.INPUT.SIZE)
    assert shapes == ((28, 28), (14, 14), (7, 7), (4, 4))
    value, locations, weights = sampling.random_inputs(cfg, 2, 5, CPU)
    assert value.shape == (2, 1045, 8, 32) and value.dtype == torch.float32
    assert locations.shape == (2, 5, 8, 4, 4, 2) and locations.min() < 0 and locations.max() > 1
    torch.testing.assert_close(weights.sum((-1, -2)), torch.ones(2, 5, 8))
    cfg.SOLVER.AMP.ENABLED = True
    assert sampling.random_inputs(cfg, 1, 5, CPU)[0].dtype == torch.bfloat16


def test_all_implementations_sample_the_same():
    cfg = get_fx_cfg()
    cfg.INPUT.SIZE = 64
    value, *others = sampling.random_inputs(cfg, 2, 5, CPU)
    results = [f(value, sampling.level_shapes(64), *others) for f in sampling.implementations(CPU).values()]
    assert len(results) == 2
    torch.testing.assert_close(*results, atol=1e-6, rtol=1e-5)
