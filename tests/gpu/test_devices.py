"""Every fast path against the plain one on each device: bfloat16, one DDP process, memory.

The CUDA cases skip without a GPU; ``tools/dev/gpu_check.sh`` runs them where there is one.
"""

from functools import partial

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from fx_d2.engine import processes
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.precision import Precision
from fx_d2.modeling import ModelEMA
from fx_d2.modeling.detr.sampling import ms_deform_attn, sample_levels
from fx_d2.schedule import Unit
from tests.gpu.steps import gradients, needs_gpu
from tests.tiny import make_batch, make_model

DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]
UNITS = ("two/cls", "two/box", "two/mask")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("unit", UNITS)
def test_bfloat16_stays_near_float32(unit, device):
    """Loss within 2 %; the gradient's direction within a cosine of 0.95 (a mantissa has 8 bits).

    At 128 pixels: of 64 the boxes' fourth level is one cell, where two values make a group to normalise, and rounding
    decides how far apart they are (cosine 0.76 with PyTorch 2.11).
    """
    model = make_model().to(device).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0.0
    loss, plain = gradients(model, unit, Precision(device, False, "bfloat16"), side=128)
    rough_loss, rough = gradients(model, unit, Precision(device, True, "bfloat16"), side=128)
    assert rough_loss == pytest.approx(loss, rel=0.02)
    assert torch.nn.functional.cosine_similarity(plain, rough, dim=0) > 0.95


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("unit", ("two/box", "two/mask"))
def test_a_locked_pass_builds_no_graph_below_its_head(unit, device):
    """Nothing of backbone and shared parts is saved for a backward pass: their output has no gradient."""
    model = make_model().to(device).train()
    apply_lock(model, model.trainable_parts(Unit.parse(unit), "head"))
    encoded = model.encode(make_batch(unit), Unit.parse(unit))
    tensors = [encoded.memory] if unit.endswith("box") else list(encoded.values())
    assert not any(tensor.requires_grad for tensor in tensors)
    assert sum(model(make_batch(unit)).values()).requires_grad


@pytest.mark.parametrize("device", DEVICES)
def test_the_teacher_builds_no_graph(device):
    teacher = ModelEMA(make_model().to(device)).model
    for unit in UNITS:
        assert not any(feature.requires_grad for feature in teacher.consistency_features(make_batch(unit)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("unit", UNITS)
def test_recomputed_layers_give_the_same_gradients(unit, device, deterministic):
    """Activation checkpointing (MODEL.SWIN.CHECKPOINT, MODEL.BOX.CHECKPOINT) is a choice of time and memory alone.

    With the kernels of FX.DETERMINISTIC: the others' sums on a GPU differ from run to run by more than is allowed here.
    """
    model = make_model(drop_path=0.3).to(device).train()
    exact = Precision(device, False, "bfloat16")
    loss, plain = gradients(model, unit, exact)
    layers = [module for module in model.modules() if hasattr(module, "use_checkpoint")]
    assert len(layers) == 4  # backbone, encoder, a decoder for each of the two datasets
    for module in layers:
        module.use_checkpoint = True
    again, recomputed = gradients(model, unit, exact)
    assert again == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(recomputed, plain, atol=1e-5, rtol=1e-4)


@needs_gpu
def test_one_ddp_process_is_the_bare_network(tmp_path, monkeypatch):
    """With the options of a run, wrapped anew for each lock; the gradients lie in the buffers that would be sent."""
    monkeypatch.setattr(processes, "create_ddp_model", partial(DistributedDataParallel, device_ids=[0]))
    torch.distributed.init_process_group("nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = make_model().cuda().train()
        exact = Precision("cuda", False, "bfloat16")
        for train in ("path", "head", "path"):
            apply_lock(model, model.trainable_parts(Unit.parse("two/box"), train))
            _, plain = gradients(model, "two/box", exact)
            model.zero_grad(set_to_none=True)
            _, actual = gradients(model, "two/box", exact, processes.wrap_distributed(model))
            torch.testing.assert_close(actual, plain, atol=1e-4, rtol=1e-3)
    finally:
        torch.distributed.destroy_process_group()


@needs_gpu
def test_sampling_needs_less_memory_than_grid_sample():
    shapes, b, queries, heads, d, points = ((28, 28), (14, 14)), 2, 300, 8, 32, 4
    tokens, levels = sum(h * w for h, w in shapes), len(shapes)
    value = torch.randn(b, tokens, heads, d, device="cuda", requires_grad=True)
    locations = torch.rand(b, queries, heads, levels, points, 2, device="cuda", requires_grad=True)
    weights = torch.rand(b, queries, heads, levels, points, device="cuda", requires_grad=True)
    allocated = []
    for sample in (ms_deform_attn, sample_levels):
        before = torch.cuda.memory_allocated()
        out = sample(value, shapes, locations, weights)
        allocated.append(torch.cuda.memory_allocated() - before)
        del out
    assert allocated[0] < allocated[1] / 4
