"""Cached tensors: made once, usable in training, and never shared with a traced network."""

import torch

from fx_d2.modeling.tensor_cache import cache_tensors


def test_it_is_made_once_for_the_same_arguments():
    made = []
    scale = cache_tensors(lambda factor, device: made.append(factor) or torch.full((2,), factor, device=device))
    cpu = torch.device("cpu")
    assert scale(2.0, cpu) is scale(2.0, cpu) and scale(3.0, cpu).tolist() == [3.0, 3.0] and made == [2.0, 3.0]
    scale.cache_clear()
    scale(2.0, cpu)
    assert made == [2.0, 3.0, 2.0]


def test_what_an_evaluation_made_can_be_trained_with():
    scale = cache_tensors(lambda device: torch.full((2,), 3.0, device=device))
    with torch.inference_mode():
        scale(torch.device("cpu"))
    x = torch.ones(2, requires_grad=True)
    (scale(torch.device("cpu")) * x).sum().backward()  # the product keeps its factor for the backward pass
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_traced_network_makes_its_own():
    made = []
    scale = cache_tensors(lambda device: made.append(1) or torch.full((2,), 3.0, device=device))
    scale(torch.device("cpu"))
    traced = torch.jit.trace(lambda x: x * scale(x.device), torch.ones(2), check_trace=False)
    assert len(made) == 2 and traced(torch.ones(2)).tolist() == [3.0, 3.0]
