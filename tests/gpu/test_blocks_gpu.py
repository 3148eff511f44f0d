"""The kernels between a Swin block's products on a GPU: a whole backbone beside the plain one."""

import pytest
import torch

from fx_d2.modeling import backbone, fused
from tests.gpu.steps import needs_gpu

pytestmark = needs_gpu
pytest.importorskip("triton")


def run(net, images, drop):
    torch.manual_seed(drop)
    maps = list(net(images).values())
    torch.manual_seed(2)
    total = sum((x.float() * torch.randn(x.shape, device="cuda")).sum() for x in maps)
    return [x.float() for x in maps], [x.float() for x in torch.autograd.grad(total, list(net.parameters()))]


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "bf16"])
def test_a_backbone_is_the_plain_one(mixed, monkeypatch):
    torch.manual_seed(0)
    net = backbone.FXSwin(embed_dim=64, depths=(2, 2, 3, 2), num_heads=(2, 4, 8, 16), drop_path_rate=0.3).cuda().train()
    for name, parameter in net.named_parameters():
        if name.endswith("bias") or "norm" in name:
            torch.nn.init.normal_(parameter, 0.5, 0.2)
    images = torch.randn(5, 3, 120, 96, device="cuda")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)  # of the patches' convolution
    with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
        found, again = run(net, images, 1), run(net, images, 1)
        monkeypatch.setattr(fused, "on_gpu", lambda x: False)
        plain = run(net, images, 1)
    exact = run(net, images, 1)
    for mine, other in zip(found[0] + found[1], again[0] + again[1], strict=True):
        assert torch.equal(mine, other)
    # No further from float32 than the plain path, whose rounding is another.
    for mine, other, right in zip(found[0] + found[1], plain[0] + plain[1], exact[0] + exact[1], strict=True):
        errors = [float((x - right).norm() / right.norm()) for x in (mine, other)]
        assert errors[0] < 2 * errors[1] + 1e-4
