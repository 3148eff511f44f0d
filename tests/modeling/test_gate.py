"""The region gate: against a loop over boxes and cells, by hand, and where the network uses it."""

import math

import pytest
import torch
from torch import nn

from fx_d2.engine.locking import apply_lock
from fx_d2.modeling import ModelEMA
from fx_d2.modeling.gate import RegionGate
from fx_d2.schedule import Unit
from tests.tiny import SIDE, make_batch, make_model


def slow_factor(boxes, size, shape, gate: RegionGate):
    """One image, boxes cx, cy, w, h in pixels: the published description word by word."""
    (height, width), (rows, columns) = size, shape
    offset = 0.0 if gate.reference else 0.5
    total = [[0.0] * columns for _ in range(rows)]
    usable = False
    for cx, cy, w, h in boxes:
        if w <= 0 or h <= 0:
            continue
        usable = True
        if w * h < 10:
            w = h = 10.0
        w, h = w * math.sqrt(gate.growth), h * math.sqrt(gate.growth)
        x0, x1 = (min(max(x, 0.0), width) * columns / width for x in (cx - w / 2, cx + w / 2))
        y0, y1 = (min(max(y, 0.0), height) * rows / height for y in (cy - h / 2, cy + h / 2))
        sigma = min(1.5 * max(x1 - x0, y1 - y0), columns, rows)
        mask = [[0.0] * columns for _ in range(rows)]
        for i in range(rows):
            for j in range(columns):
                dx = max(x0 - (j + offset), 0.0, j + offset - x1)
                dy = max(y0 - (i + offset), 0.0, i + offset - y1)
                mask[i][j] = math.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
        highest = max(map(max, mask))
        total = [[max(a, b / highest) for a, b in zip(*pair, strict=True)] for pair in zip(total, mask, strict=True)]
    if not usable:
        return torch.ones(rows, columns)
    return 1 - gate.strength + gate.strength * torch.tensor(total)


@pytest.mark.parametrize(
    "gate", [RegionGate("always"), RegionGate("always", 0.8, 0.3, 2.5), RegionGate("always", reference=True)]
)
def test_factors_equal_a_loop_over_boxes_and_cells(gate):
    generator = torch.Generator().manual_seed(0)
    size, shapes = (64, 96), [(16, 24), (2, 3)]
    boxes = torch.rand(4, 5, 4, generator=generator) * torch.tensor([1, 1, 0.4, 0.4])
    boxes[0, 0, 2:] = 0.02  # 1.9 x 1.3 pixels
    boxes[1, 1, 2] = -0.1  # no area
    kept = torch.rand(4, 5, generator=generator) > 0.4
    kept[2] = False
    found = gate.factors(boxes, kept, size, shapes)
    pixels = boxes * torch.tensor([96.0, 64.0, 96.0, 64.0])
    for shape, factor in zip(shapes, found, strict=True):
        for row in range(4):
            expected = slow_factor(pixels[row][kept[row]].tolist(), size, shape, gate)
            torch.testing.assert_close(factor[row], expected, atol=1e-5, rtol=0)


def test_a_mirrored_image_has_the_mirrored_gate():
    boxes = torch.tensor([[[0.3, 0.4, 0.1, 0.2], [0.7, 0.6, 0.3, 0.05]]])
    mirrored = boxes * torch.tensor([-1.0, 1, 1, 1]) + torch.tensor([1.0, 0, 0, 0])
    kept = torch.ones(1, 2, dtype=torch.bool)
    (factor,), (other,) = (RegionGate("always").factors(b, kept, (56, 56), [(7, 7)]) for b in (boxes, mirrored))
    torch.testing.assert_close(other, factor.flip(2))
    assert factor.min() < 0.9  # something to compare


def test_only_boxes_above_the_score_count():
    maps = {"stage1": torch.ones(1, 2, 8, 8)}
    corners = torch.tensor([[[0.0, 0.0, 0.25, 0.25], [0.75, 0.75, 1.0, 1.0]]])
    for scores, best in (([0.9, 0.2], 0), ([0.2, 0.9], 63)):
        detections = {"boxes": corners, "scores": torch.tensor([scores])}
        gated = RegionGate("always").apply(maps, detections, (64, 64))["stage1"]
        assert gated[0, 0].flatten()[best] == 1
        assert gated[0, 1].flatten()[63 - best] < 0.55  # far from the box: almost half is taken away
    nothing = RegionGate("always").apply(maps, {"boxes": corners, "scores": torch.tensor([[0.3, 0.1]])}, (64, 64))
    assert torch.equal(nothing["stage1"], maps["stage1"])


def test_the_published_code_converts_boxes_twice():
    """Corners 0, 0, .8, .9: centre .4, .45, size .8, .9; taken for corners: centre .6, .675, size .4, .45."""
    maps, scores = {"stage1": torch.ones(1, 1, 20, 20)}, torch.tensor([[0.9]])
    corners = torch.tensor([[[0.0, 0.0, 0.8, 0.9]]])
    gate = RegionGate("train", reference=True)
    found = gate.apply(maps, {"boxes": corners, "scores": scores}, (64, 64))["stage1"][0, 0]
    expected = slow_factor([(0.6 * 64, 0.675 * 64, 0.4 * 64, 0.45 * 64)], (64, 64), (20, 20), gate)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    small = torch.tensor([[[0.5, 0.5, 0.6, 0.6]]])  # w < cx: it is lost, and so is the gate
    assert (gate.apply(maps, {"boxes": small, "scores": scores}, (64, 64))["stage1"] == 1).all()


def gated_model(when: str, **options):
    """A network that sees boxes: scores of all kinds, and boxes of half the size of the image."""
    model = make_model(gate=RegionGate(when, **options))
    for branch in model.heads["box"].branches.values():
        nn.init.normal_(branch.class_head.weight)
        nn.init.constant_(branch.class_head.bias, -1.0)
    return model


def by_hand(model, batch, dataset):
    """The gated encoding from parts that are called one by one."""
    maps = model.backbone(model.normalise(torch.stack([entry["image"] for entry in batch]), "mask"))
    head = model.heads["box"]
    detections = head.tensors(head.encode(maps), dataset, SIDE)
    assert (detections["scores"] > 0.3).any() and (detections["scores"] < 0.3).any()
    return model.heads["mask"].encode(model.gate.apply(maps, detections, (SIDE, SIDE)))


@pytest.mark.parametrize("when", ["off", "train", "always"])
def test_when_the_gate_works(when):
    model, plain, batch = gated_model(when).eval(), gated_model("off").eval(), make_batch("two/mask")
    with torch.no_grad():
        gated, ungated = by_hand(model, batch, "two"), plain.encode(batch, Unit("two", "mask"))
        used = model.encode(batch, Unit("two", "mask")), model.encode(batch, Unit("two", "mask"), training=True)
        for entry in batch:
            entry["image_teacher"] = entry["image"]
        _, compared = model.consistency_features(batch)  # of the teacher: part of a training step
    assert (gated["fused"] - ungated["fused"]).abs().max() > 1e-3
    for encoded, active in zip(used, (when == "always", when != "off"), strict=True):
        torch.testing.assert_close(encoded["fused"], (gated if active else ungated)["fused"])
    expected = nn.functional.normalize((gated if when != "off" else ungated)["fused"], dim=1)
    torch.testing.assert_close(compared, expected)
    assert model.gates([Unit("two", "mask"), Unit("two", "box")]) == (
        {"two/mask": "two/box"} if when == "always" else {}
    )


def test_one_pass_of_the_backbone_and_no_gradient_through_boxes():
    model, batch, runs = gated_model("train").train(), make_batch("two/mask"), []
    model.backbone.register_forward_hook(lambda *_: runs.append(1))
    sum(model(batch).values()).backward()
    assert len(runs) == 1
    assert all(parameter.grad is None for parameter in model.heads["box"].parameters())
    assert model.backbone.patch_embed.proj.weight.grad.abs().sum() > 0


def test_student_and_teacher_use_their_own_boxes():
    student = gated_model("train").eval()
    teacher = ModelEMA(student)
    batch = make_batch("two/mask")
    for entry in batch:
        entry["image_teacher"] = entry["image"]
    own = teacher.model.consistency_features(batch)[1]
    with torch.no_grad():
        for branch in student.heads["box"].branches.values():
            branch.class_head.bias.fill_(-20.0)  # the student sees no box any more
        assert torch.equal(teacher.model.consistency_features(batch)[1], own)
        assert not torch.allclose(student.consistency_features(batch)[1], own, atol=1e-3)


def test_a_locked_pass_takes_its_boxes_from_frozen_parts():
    model, batch, unit = gated_model("train"), make_batch("two/mask"), Unit("two", "mask")
    apply_lock(model, model.trainable_parts(unit, "head"))
    assert not any(m.training for part in (model.backbone, model.heads["box"]) for m in part.modules())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"heads.mask.branches.two.weight", "heads.mask.branches.two.bias"}


@pytest.mark.parametrize("reference", [False, True])
def test_boxes_are_found_on_pixels_normalised_for_boxes(reference):
    model, batch = gated_model("always", reference=reference).eval(), make_batch("two/mask")
    model.pixel_mean_box.fill_(40.0)
    model.pixel_statistics = {**model.pixel_statistics, "box": ((40.0 / 255,), (0.25,))}
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.encode(batch, Unit("two", "mask"))
    images = torch.stack([entry["image"] for entry in batch])
    expected = [model.normalise(images, task) for task in (["mask"] if reference else ["mask", "box"])]
    assert len(seen) == len(expected)
    for ours, theirs in zip(seen, expected, strict=True):
        assert torch.equal(ours, theirs)
