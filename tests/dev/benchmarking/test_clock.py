"""The clock's arithmetic on made-up times; nothing here depends on how fast a machine is."""

import pytest
import torch

from benchmarking import clock
from benchmarking.machine import describe, matrix_product

CPU = torch.device("cpu")


def test_cases_take_turns_after_the_warmup():
    seen = []
    times = clock.interleave({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2, CPU, warmup=1)
    assert seen == ["a", "b"] * 3
    assert [len(times[name]) for name in "ab"] == [2, 2]


def test_ratio_pairs_the_rounds():
    # Quotients 2, 3, 1: a slow second round hits both cases and changes nothing.
    assert clock.ratio([2.0, 30.0, 1.0], [1.0, 10.0, 1.0]) == 2.0


def test_processor_time_is_refused_for_a_gpu():
    with pytest.raises(ValueError, match="--clock wall"):
        clock.check_clock("cpu", torch.device("cuda"))
    with pytest.raises(ValueError, match="wall, cpu"):
        clock.check_clock("sundial", CPU)


def test_the_product_is_a_product():
    work, flops = matrix_product(CPU, torch.float32, side=4)
    assert work().shape == (4, 4) and flops == 128
    assert describe(CPU)["torch"] == torch.__version__
