"""What a GPU would launch, counted on fake CUDA tensors."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarking.fake_gpu import no_assignment
from benchmarking.launches import Launches, count_launches
from benchmarking.options import Options
from benchmarking.walk import walk_backward
from fx_d2.modeling.detr.matcher import assign
from tests.tiny import make_batch, make_model, tiny_config

# At most so many of a step of the tiny network below. Lower a number when the step launches fewer.
LIMITS = {"cls released": 640, "box released": 1850, "mask released": 925}


@pytest.mark.parametrize("unit", ["two/cls", "two/box", "two/mask"])
def test_the_backward_pass_in_python_is_that_of_the_engine(unit, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # the order of sums does not matter then
    model, batch, found = make_model(drop_path=0.2).double().train(), make_batch(unit), []
    for backward in (torch.Tensor.backward, walk_backward):
        model.zero_grad(set_to_none=True)
        torch.manual_seed(0)
        backward(sum(model(batch, teacher=model.consistency_features(batch)).values()))
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert len(found[0]) > 50
    torch.testing.assert_close(found[1], found[0], atol=1e-10, rtol=1e-7)


def test_launches_bytes_and_operations_by_hand():
    counted = Launches()
    with FakeTensorMode():
        a, b = torch.empty(8, 16, device="cuda"), torch.empty(16, 4, device="cuda", dtype=torch.float32)
        many = [torch.empty(65536, device="cuda") for _ in range(500)]
        with counted.counting():
            product = (a @ b).view(4, 8).t()  # views launch nothing
            product + 1.0
            a + a[:1].expand(8, 16)  # 16 numbers are read for the second
            torch._foreach_mul_(many, 2.0)
            torch.empty(3) + 1  # on the CPU
    # Of one list 110 tensors a launch and 320 pieces: five for the tensors, two for the pieces.
    assert counted.launches == {"mm": 1, "add": 2, "_foreach_mul_": 5}
    assert counted.bytes["mm"] == 4 * (8 * 16 + 16 * 4 + 8 * 4)
    assert counted.bytes["add"] == 4 * (32 + 32) + 4 * (128 + 16 + 128)
    assert counted.flops == 2 * 8 * 16 * 4


def test_the_stand_in_has_the_shape_and_type_of_an_assignment():
    costs = torch.rand(2, 3, 4, 5)
    real, stand_in = assign(costs), no_assignment(costs)
    assert real.shape == stand_in.shape and real.dtype == stand_in.dtype


def test_a_step_launches_no_more_than_it_did(tmp_path):
    overrides = {"DATASETS.FILES": [], "FX.CYCLE.UNITS": ["chexpert/cls", "node21/box", "candid_ptx/mask"]}
    cfg = tiny_config(tmp_path, tmp_path, **overrides, **{"MODEL.BOX.DECODER_LAYERS": 1})
    found = count_launches(cfg, Options(batch=2, kinds=tuple(LIMITS)), warm=False)
    counted = {kind: sum(x.launches.values()) for kind, x in found.items()}
    assert counted.keys() == LIMITS.keys()
    for kind, launches in counted.items():
        assert LIMITS[kind] * 0.9 < launches <= LIMITS[kind], counted
