"""The meta-architecture: one unit a batch, consistency, published sizes."""

import math

import pytest
import torch

from fx_d2.modeling import ModelEMA
from fx_d2.modeling.foundation_x import consistency_loss
from tests.tiny import make_batch, make_model

UNITS = ["one/cls", "one/box", "two/mask"]


def test_a_batch_holds_one_known_unit(model):
    with pytest.raises(ValueError, match="one unit"):
        model(make_batch("one/cls") + make_batch("one/box"))
    batch = make_batch("one/cls")
    for entry in batch:
        entry["unit"] = "three/cls"
    with pytest.raises(ValueError, match="no branch for unit three/cls"):
        model(batch)


def test_normalisation_of_grey_images(model):
    batch = make_batch("one/cls")
    images = model.normalise(torch.stack([entry["image"] for entry in batch]), "cls")
    assert images.shape == (3, 3, 64, 64)
    expected = (batch[1]["image"][0].float() / 255 - 0.5) / 0.25
    torch.testing.assert_close(images[1, 2], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("unit", UNITS)
def test_losses_are_mixed_by_the_weight(unit):
    batch = make_batch(unit)
    plain, mixed = make_model(consistency_weight=0.0), make_model(consistency_weight=0.25)
    targets = make_model().eval().consistency_features(batch)
    torch.manual_seed(1)
    task = plain.train()(batch)
    torch.manual_seed(1)
    both = mixed.train()(batch, teacher=targets)
    assert set(both) == set(task) | {"loss_consistency"}
    for name, value in task.items():
        torch.testing.assert_close(both[name], 0.75 * value)


@pytest.mark.parametrize("unit", ["one/cls", "two/cls", "one/box", "two/box", "one/mask", "two/mask"])
@pytest.mark.parametrize("layout", ["per_dataset", "shared"])
def test_consistency_reaches_the_student(unit, layout):
    """With the task's weight at 0 the student moves toward the teacher, through its backbone."""
    student = make_model(layout, consistency_weight=1.0)
    teacher = ModelEMA(student)
    with torch.no_grad():
        for parameter in teacher.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = make_batch(unit)
    for entry in batch:  # the same view, so that the distance can go to zero
        entry["image_teacher"] = entry["image"]
    targets = teacher.model.consistency_features(batch)
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.02)
    distances = []
    for _ in range(6):
        losses = student(batch, teacher=targets)
        distances.append(losses["loss_consistency"].item())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        assert student.backbone.patch_embed.proj.weight.grad.abs().sum() > 0
        optimizer.step()
    assert distances[-1] < distances[0]
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_compared_features(model):
    """cls: pooled vector; box: encoder tokens; mask: unit-length stage-4 and fused maps."""
    model.eval()
    (pooled,) = model.consistency_features(make_batch("one/cls"))
    (memory,) = model.consistency_features(make_batch("one/box"))
    deep, fused = model.consistency_features(make_batch("one/mask"))
    assert pooled.shape == (3, 64)
    assert memory.shape == (3, 8 * 8 + 4 * 4 + 2 * 2 + 1, 64)
    assert deep.shape == (3, 64, 2, 2) and fused.shape == (3, 8, 16, 16)
    for feature in (deep, fused):
        norms = feature.norm(dim=1)
        assert ((norms - 1).abs() < 1e-4).logical_or(norms < 1e-4).all()
    assert consistency_loss((pooled,), (pooled,)).item() == 0


def test_teacher_sees_its_own_view(model):
    batch = make_batch("one/cls")
    own = model.eval().consistency_features(batch)[0]
    for entry in batch:
        entry["image"], entry["image_teacher"] = entry["image_teacher"], entry["image"]
    with torch.no_grad():
        torch.testing.assert_close(own, model.encode(batch, model.unit_of(batch)))
    for entry in batch:
        del entry["image_teacher"]
    assert model.consistency_features(batch)[0].shape == own.shape  # a plain Detectron2 batch works


def test_every_parameter_belongs_to_some_pass(model):
    """Head and path of all units together are the whole network; the head is disjoint from the path."""
    names = {name for name, _ in model.named_parameters()}

    def below(parts):
        return {name for name in names if any(name == part or name.startswith(part + ".") for part in parts)}

    covered = set()
    for unit in model.classes:
        head, path = below(model.trainable_parts(unit, "head")), below(model.trainable_parts(unit, "path"))
        assert head < path
        covered |= path
    assert covered == names


def test_losses_weighed_by_a_learned_uncertainty():
    plain, weighed, batch = make_model(), make_model(uncertainty=True), make_batch("two/mask")
    weighed.heads["mask"].log_variance.data.fill_(0.7)
    torch.manual_seed(1)
    expected = plain.train()(batch)
    torch.manual_seed(1)
    losses = weighed.train()(batch)
    assert losses.pop("loss_uncertainty").item() == pytest.approx(0.5 * 0.35)  # the task's half of the weight
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], math.exp(-0.7) * value)
    sum(losses.values()).backward()
    assert weighed.heads["mask"].log_variance.grad.item() < 0  # a large loss asks for a larger variance
    test_every_parameter_belongs_to_some_pass(weighed)
    assert "heads.mask.log_variance" not in weighed.trainable_parts(weighed.unit_of(batch), "head")
