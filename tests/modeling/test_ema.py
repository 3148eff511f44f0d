"""The teacher equals the average computed by hand, buffers included."""

import torch

from fx_d2.modeling import ModelEMA
from tests.tiny import make_batch, make_model


def test_update_by_hand_over_three_passes():
    student = make_model().train()
    teacher = ModelEMA(student)
    assert not teacher.initialised
    teacher.copy_from(student)
    assert teacher.initialised
    expected = {name: value.clone() for name, value in student.state_dict().items()}
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for momentum, unit in ((0.8, "one/mask"), (0.5, "two/cls"), (0.9, "two/mask")):
        optimizer.zero_grad()
        sum(student(make_batch(unit)).values()).backward()
        optimizer.step()
        teacher.update(student, momentum)
        for name, value in student.state_dict().items():
            if value.is_floating_point():
                expected[name] = momentum * expected[name] + (1 - momentum) * value
            else:
                expected[name] = value.clone()
    for name, value in teacher.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)
    moved = teacher.model.state_dict()["heads.mask.pyramid.fusion.1.running_mean"]
    assert moved.abs().sum() > 0  # batch statistics are averaged, not left at their start


def test_teacher_never_trains():
    teacher = ModelEMA(make_model())
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
