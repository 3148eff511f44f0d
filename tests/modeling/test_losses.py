"""Losses against values worked out by hand or by literal loops."""

import math

import pytest
import torch

from fx_d2.modeling import reduce
from fx_d2.modeling.detr.boxes import giou
from fx_d2.modeling.detr.targets import BatchTargets, BoxTargets, Pairs
from fx_d2.modeling.foundation_x import consistency_loss
from fx_d2.modeling.losses.box import set_losses
from fx_d2.modeling.losses.classification import binary_cross_entropy, exclusive_cross_entropy
from fx_d2.modeling.losses.mask import mask_losses

NAN = float("nan")


def test_binary_cross_entropy_with_one_row_of_all_three_values():
    logits = torch.tensor([[0.0, 2.0, -1.0]])
    labels = torch.tensor([[1.0, NAN, 0.0]])
    expected = (math.log(2) + math.log(1 + math.exp(-1.0))) / 2
    assert binary_cross_entropy(logits, labels).item() == pytest.approx(expected, abs=1e-6)


def test_soft_labels():
    logits, labels = torch.tensor([[0.5]]), torch.tensor([[0.7]])
    p = 1 / (1 + math.exp(-0.5))
    expected = -0.7 * math.log(p) - 0.3 * math.log(1 - p)
    assert binary_cross_entropy(logits, labels).item() == pytest.approx(expected, abs=1e-6)


def test_exclusive_cross_entropy_leaves_unknown_rows_out():
    logits = torch.tensor([[1.0, 2.0, 0.0], [5.0, 0.0, 0.0]])
    labels = torch.tensor([[0.0, 1.0, 0.0], [NAN, NAN, NAN]])
    expected = -math.log(math.exp(2) / (math.exp(1) + math.exp(2) + 1))
    assert exclusive_cross_entropy(logits, labels).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [binary_cross_entropy, exclusive_cross_entropy])
def test_nothing_known_is_zero_with_a_zero_gradient(loss):
    logits = torch.randn(2, 3, requires_grad=True)
    value = loss(logits, torch.full((2, 3), NAN))
    value.backward()
    assert value.item() == 0 and torch.equal(logits.grad, torch.zeros(2, 3))


def literal_mask_losses(logits, masks, smooth=1.0):
    dices, entropies = [], []
    for k in range(logits.shape[1]):
        inter = p_sum = y_sum = entropy = 0.0
        count = 0
        for z, y in zip(logits[:, k].flatten().tolist(), masks[:, k].flatten().tolist(), strict=True):
            if y == 255:
                continue
            p = 1 / (1 + math.exp(-z))
            inter, p_sum, y_sum, count = inter + p * y, p_sum + p, y_sum + y, count + 1
            entropy -= math.log(p if y else 1 - p)
        if count:
            dices.append(1 - (2 * inter + smooth) / (p_sum + y_sum + smooth))
            entropies.append(entropy / count)
    return sum(dices) / len(dices), sum(entropies) / len(entropies)


def test_mask_losses_by_loop():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5)
    masks = torch.randint(0, 2, (2, 3, 4, 5)).to(torch.uint8)
    masks[0, 1] = 255  # unknown in one image
    masks[:, 2] = 255  # unknown everywhere
    dice, entropy = mask_losses(logits, masks)
    expected = literal_mask_losses(logits, masks)
    assert (dice.item(), entropy.item()) == pytest.approx(expected, abs=1e-5)


def test_flat_dice_is_one_ratio_over_everything():
    torch.manual_seed(0)
    logits, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 2, (2, 3, 4, 4)).to(torch.uint8)
    p, y = logits.sigmoid(), masks.float()
    expected = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
    torch.testing.assert_close(mask_losses(logits, masks, flat_dice=True)[0], expected)


def test_all_masks_unknown_is_zero():
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    dice, entropy = mask_losses(logits, torch.full((1, 2, 3, 3), 255, dtype=torch.uint8))
    (dice + entropy).backward()
    assert dice.item() == entropy.item() == 0 and logits.grad.abs().sum() == 0


def test_set_losses_by_loop():
    torch.manual_seed(0)
    targets = [
        BoxTargets(torch.tensor([1, 0]), torch.rand(2, 4)),
        BoxTargets(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)),
        BoxTargets(torch.tensor([2]), torch.rand(1, 4)),
    ]
    logits, boxes = torch.randn(2, 3, 4, 3), torch.rand(2, 3, 4, 4)
    # (layer, image, query, target), in the places that an assignment gives: the query of each box.
    pairs = [(0, 0, 3, 0), (0, 0, 1, 1), (0, 2, 2, 0), (1, 0, 0, 1), (1, 0, 2, 0), (1, 2, 1, 0)]
    assigned = torch.tensor([[[3, 1, -1], [-1, -1, -1], [2, -1, -1]], [[2, 0, -1], [-1, -1, -1], [1, -1, -1]]])
    truths = BatchTargets.pad(targets, 3)
    of_layers = set_losses(logits, boxes, truths, Pairs.of_assignment(assigned), torch.tensor(3.0))
    losses = {name: value.sum() for name, value in of_layers.items()}
    assert of_layers["class"].shape == (2,)
    truth = torch.zeros_like(logits)
    box_loss = giou_loss = 0.0
    for layer, image, query, target in pairs:
        truth[layer, image, query, targets[image].labels[target]] = 1
        a, b = boxes[layer, image, query], targets[image].boxes[target]
        box_loss += (a - b).abs().sum().item()
        giou_loss += 1 - giou(a, b).item()
    p = logits.sigmoid()
    focal = torch.where(truth == 1, -0.25 * (1 - p) ** 2 * p.log(), -0.75 * p**2 * (1 - p).log())
    assert losses["class"].item() == pytest.approx(focal.sum().item() / 3, rel=1e-5)
    assert losses["box"].item() == pytest.approx(box_loss / 3, rel=1e-5)
    assert losses["giou"].item() == pytest.approx(giou_loss / 3, rel=1e-5)


def test_the_number_of_boxes_is_shared_by_processes_and_micro_batches(monkeypatch):
    assert reduce.boxes_per_process(torch.tensor(5)) == 5 and reduce.boxes_per_process(torch.tensor(0)) == 1
    monkeypatch.setattr(reduce.comm, "get_world_size", lambda: 3)
    with reduce.MicroBatches(2).part(0, record=True):
        assert reduce.boxes_per_process(torch.tensor(5)).item() == pytest.approx(5 / 6)


def test_consistency_is_the_mean_of_the_means_and_stops_at_the_teacher():
    s1, s2 = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    t1, t2 = torch.tensor([0.0, 0.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    loss = consistency_loss((s1, s2), (t1, t2))
    assert loss.item() == pytest.approx(((1 + 4) / 2 + 9) / 2)
    loss.backward()
    assert t1.grad is None and t2.grad is None
    torch.testing.assert_close(s1.grad, torch.tensor([0.5, 1.0]))
