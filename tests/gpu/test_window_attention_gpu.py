"""The window attention's kernels on a GPU: numbers of the plain path, the same twice, and recorded in a graph."""

import pytest
import torch

from fx_d2.engine.cuda_graphs import CudaGraphs
from fx_d2.modeling.backbone import SwinBlock
from tests.gpu.steps import needs_gpu

pytestmark = needs_gpu
pytest.importorskip("triton")

# window, heads, width of a head, side of the map
CASES = [(7, 4, 32, 14), (7, 2, 24, 20), (12, 2, 32, 24), (7, 2, 64, 7)]


def make_block(window: int, heads: int, d: int) -> SwinBlock:
    torch.manual_seed(0)
    block = SwinBlock(heads * d, window, heads, True, 1.0)
    for parameter in block.attn.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return block


def run(block: SwinBlock, x: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
    x = x.detach().requires_grad_()
    out = block.attend(x)
    return [out, *torch.autograd.grad(out, [x, *block.attn.parameters()], gradient.to(out.dtype))]


@pytest.mark.parametrize(("window", "heads", "d", "side"), CASES)
def test_the_gpu_gives_the_cpus_numbers(window, heads, d, side):
    block = make_block(window, heads, d)
    x, gradient = torch.randn(3, side, side, heads * d), torch.randn(3, side, side, heads * d)
    plain = run(block, x, gradient)
    block.cuda()
    exact = run(block, x.cuda(), gradient.cuda())
    with torch.autocast("cuda", torch.bfloat16):
        rough = run(block, x.cuda(), gradient.cuda())
    for expected, found, rounded in zip(plain, exact, rough, strict=True):
        torch.testing.assert_close(found.cpu(), expected, atol=2e-4, rtol=2e-4)
        cosine = torch.nn.functional.cosine_similarity(rounded.float().cpu().flatten(), expected.flatten(), dim=0)
        assert cosine > 0.999


def test_two_runs_agree_bit_for_bit_and_a_graph_with_them():
    block = make_block(7, 4, 32).cuda()
    x, gradient = torch.randn(8, 14, 14, 128).cuda(), torch.randn(8, 14, 14, 128).cuda()
    graphs = CudaGraphs(x.device)
    with graphs.stream():
        first, second = run(block, x, gradient), run(block, x, gradient)
        replay, recorded = graphs.record(lambda: run(block, x, gradient))
        replay()
    torch.cuda.synchronize()
    for tensors in zip(first, second, recorded, strict=True):
        assert torch.equal(tensors[0], tensors[1]) and torch.equal(tensors[0], tensors[2])
