"""A training forward on a GPU that is not there: PyTorch's fake tensors have a device and a shape, and no numbers.

An operation between tensors of two devices fails, and so does one whose result's size or value the processor would have
to wait for. Left out is the place that does wait: the assignment.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fx_d2.modeling import backbone
from fx_d2.modeling.detr import encoder, selection
from fx_d2.modeling.detr.layers import level_positions
from fx_d2.modeling.heads import box
from tests.tiny import make_batch, make_model


@pytest.fixture
def overwritten_parameters():
    """Fake weights in place of a network's; what it keeps of them must not meet a later test's GPU."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(before)
    for make in (backbone.shift_mask, encoder._cells, encoder._centres, selection._unpadded_proposals, level_positions):
        make.forget()


def no_assignment(logits, boxes, targets, *costs):
    assert logits.device.type == boxes.device.type == "cuda"
    assert all(truth.boxes.device.type == truth.labels.device.type == "cuda" for truth in targets)
    return (torch.zeros(3, dtype=torch.int64, device=boxes.device),) * 4


@pytest.mark.parametrize("unit", ["two/cls", "two/box", "two/mask"])
def test_everything_is_on_the_gpu_and_nothing_waits(unit, overwritten_parameters, monkeypatch):
    monkeypatch.setattr(box, "match", no_assignment)
    model, batch = make_model(drop_path=0.1).train(), make_batch(unit)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        model._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
        losses = model(batch, teacher=model.consistency_features(batch))
    assert all(loss.device.type == "cuda" and loss.shape == () for loss in losses.values())
    assert "loss_consistency" in losses
