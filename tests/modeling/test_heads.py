"""What the heads return, in original pixels, and batch norm's corner case."""

import pytest
import torch
from torch import nn

from fx_d2.modeling.heads.box import BoxOptions
from fx_d2.modeling.heads.instances import boxes_to_original, masks_to_original, present_instances
from fx_d2.modeling.heads.mask import adaptive_avg_pool2d
from fx_d2.modeling.norm import BatchNorm2d
from tests.tiny import CLASSES, SIDE, make_batch, make_model


def test_boxes_come_back_from_a_letterbox():
    # A 200 x 100 (w x h) image in a 64 square: scale 0.32, content 64 x 32, 16 rows of padding above.
    entry = {"image": torch.zeros(1, 64, 64), "height": 100, "width": 200, "content": (0.0, 16.0, 64.0, 48.0)}
    box = torch.tensor([[50 * 0.32, 20 * 0.32 + 16, 150 * 0.32, 80 * 0.32 + 16]]) / 64
    torch.testing.assert_close(boxes_to_original(box, entry).tensor, torch.tensor([[50.0, 20.0, 150.0, 80.0]]))
    outside = torch.tensor([[-0.1, 0.0, 1.2, 1.0]])
    assert boxes_to_original(outside, entry).tensor.tolist() == [[0.0, 0.0, 200.0, 100.0]]


def test_masks_come_back_from_a_letterbox():
    entry = {"image": torch.zeros(1, 8, 8), "height": 8, "width": 16, "content": (0.0, 2.0, 8.0, 6.0)}
    logits = torch.full((1, 8, 8), -1.0)
    logits[0, 2:6, :4] = 1.0
    original = masks_to_original(logits, entry)[0]
    assert original.shape == (8, 16)
    assert (original[:, :7] > 0).all() and (original[:, 9:] < 0).all()


def test_present_instances_per_class_and_per_component():
    masks = torch.zeros(3, 6, 6)
    masks[0, :2, :2], masks[0, 4:, 4:] = 0.8, 0.6
    masks[2, 3, :] = 0.5
    by_class = present_instances(masks, 0.5, components=False)
    assert by_class.pred_classes.tolist() == [0, 2]
    torch.testing.assert_close(by_class.scores, torch.tensor([0.7, 0.5]))
    assert by_class.pred_boxes.tensor.tolist() == [[0, 0, 6, 6], [0, 3, 6, 4]]
    parts = present_instances(masks, 0.5, components=True)
    assert parts.pred_classes.tolist() == [0, 0, 2]
    assert parts.pred_boxes.tensor[:2].tolist() == [[0, 0, 2, 2], [4, 4, 6, 6]]
    empty = present_instances(torch.zeros(2, 4, 4), 0.5, components=False)
    assert len(empty) == 0 and empty.pred_masks.shape == (0, 4, 4)


@pytest.mark.parametrize("layout", ["per_dataset", "shared"])
@pytest.mark.parametrize("dataset", list(CLASSES))
def test_inference_shapes(layout, dataset):
    model = make_model(layout).eval()
    classes = len(CLASSES[dataset].names)
    with torch.no_grad():
        scores = model(make_batch(f"{dataset}/cls"))[0]["scores"]
        boxes = model(make_batch(f"{dataset}/box"))[0]["instances"]
        masks = model(make_batch(f"{dataset}/mask"))[0]
    assert scores.shape == (classes,) and 0 <= scores.min() and scores.max() <= 1
    if CLASSES[dataset].exclusive:
        assert scores.sum().item() == pytest.approx(1, abs=1e-5)
    assert boxes.image_size == (100, 80)
    assert len(boxes) == min(300, 12 * classes) and (boxes.scores.diff() <= 0).all()
    assert boxes.pred_classes.max() < classes
    assert masks["masks"].shape == (classes, 100, 80)
    assert masks["instances"].image_size == (100, 80)


def test_detections_are_the_best_pairs_of_query_and_class():
    model = make_model().eval()
    head, batch = model.heads["box"], make_batch("two/box")
    nn.init.normal_(head.branches["two"].class_head.weight)
    with torch.no_grad():
        encoded = model.encode(batch, model.unit_of(batch))
        out = head.decode(encoded, "two")
        actual = head.inference(encoded, "two", batch)[1]["instances"]
    pairs = sorted(
        ((out.logits[-1, 1, q, k].sigmoid().item(), q, k) for q in range(12) for k in range(3)), reverse=True
    )
    assert actual.pred_classes.tolist() == [k for _, _, k in pairs]
    cx, cy, w, h = out.decoded.boxes[-1, 1, pairs[0][1]].tolist()
    expected = [(cx - w / 2) * 80, (cy - h / 2) * 100, (cx + w / 2) * 80, (cy + h / 2) * 100]
    expected = [min(max(v, 0), limit) for v, limit in zip(expected, (80, 100, 80, 100), strict=True)]
    assert actual.pred_boxes.tensor[0].tolist() == pytest.approx(expected, abs=1e-3)


def test_encoder_memory_does_not_depend_on_the_denoising():
    model = make_model().train()
    batch = make_batch("one/box")
    unit = model.unit_of(batch)
    first = model.encode(batch, unit).memory
    model(batch)
    assert torch.equal(first, model.encode(batch, unit).memory)


@pytest.mark.parametrize("unit", ["one/cls", "two/cls", "one/box", "two/box", "one/mask", "two/mask"])
def test_one_image_trains(unit):
    """A batch of one: no variance in the pooled 1x1 map, no box, no known label."""
    model = make_model().train()
    losses = model(make_batch(unit, count=1))
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)


def test_batch_norm_equals_torch_and_survives_a_single_value():
    torch.manual_seed(0)
    ours, theirs = BatchNorm2d(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(ours(x), theirs(x))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    single = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(ours(single), theirs.eval()(single))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_bad_options():
    with pytest.raises(ValueError, match="LAYOUT"):
        BoxOptions(layout="sharde")
    with pytest.raises(ValueError, match="multiple of 32"):
        BoxOptions(dim=100)


@pytest.mark.parametrize("task", ["cls", "box", "mask"])
def test_tensors_are_the_outputs_on_the_input_square(task):
    """An image as large as the input: what is exported equals what comes back in original pixels."""
    model = make_model().eval()
    batch = [{**entry, "height": SIDE, "width": SIDE} for entry in make_batch(f"two/{task}")]
    head = model.heads[task]
    with torch.no_grad():
        actual = head.tensors(model.encode(batch, model.unit_of(batch)), "two", SIDE)
        outputs = model(batch)
    for row, output in enumerate(outputs):
        if task == "box":
            instances = output["instances"]
            torch.testing.assert_close(instances.pred_boxes.tensor, (actual["boxes"][row] * SIDE).clamp(0, SIDE))
            assert instances.scores.equal(actual["scores"][row])
            assert instances.pred_classes.equal(actual["classes"][row])
        else:
            key = {"cls": "scores", "mask": "masks"}[task]
            torch.testing.assert_close(output[key], actual[key][row])


@pytest.mark.parametrize("shape", [(7, 7), (2, 5), (12, 12), (1, 3)])
def test_adaptive_avg_pool2d_equals_that_of_pytorch(shape):
    x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    for side in (1, 2, 4, 6):
        torch.testing.assert_close(adaptive_avg_pool2d(x, side), nn.functional.adaptive_avg_pool2d(x, side))
