"""Each weight multiplies its own loss, and the denoising is a mean over its groups."""

from dataclasses import replace

import pytest
import torch

from fx_d2.modeling.foundation_x import consistency_loss
from tests.tiny import make_batch, make_model

QUIET = {"denoising_label_noise": 0.0, "denoising_box_noise": 0.0}


def losses_of(model, unit, teacher=None, times=1):
    """With the same draws every time; of the same images several times over."""
    torch.manual_seed(1)
    batch = make_batch(unit, count=4) * times
    return {name: loss.item() for name, loss in model.train()(batch, teacher=teacher).items()}


def test_weights_of_the_box_losses():
    model = make_model(consistency_weight=0.0)
    head = model.heads["box"]
    head.options = replace(head.options, weights=(1.0, 1.0, 1.0), proposal_loss=1.0)
    plain = losses_of(model, "two/box")
    assert len(plain) == 9 and min(plain.values()) > 0
    head.options = replace(head.options, weights=(2.0, 3.0, 5.0), proposal_loss=0.25)
    weights = {"class": 2.0, "box": 3.0, "giou": 5.0}
    expected = {
        name: value * weights[name.split("_")[1]] * (0.25 if name.endswith("_proposal") else 1.0)
        for name, value in plain.items()
    }
    assert losses_of(model, "two/box") == pytest.approx(expected, rel=1e-5)


def test_weights_of_the_mask_losses():
    model = make_model(consistency_weight=0.0)
    head = model.heads["mask"]
    head.dice_weight = head.bce_weight = 1.0
    plain = losses_of(model, "two/mask")
    head.dice_weight, head.bce_weight = 3.0, 0.5
    expected = {"loss_dice": 3 * plain["loss_dice"], "loss_bce": 0.5 * plain["loss_bce"]}
    assert losses_of(model, "two/mask") == pytest.approx(expected, rel=1e-5)


def test_weight_of_the_consistency():
    """Not a half, which is the same as its complement."""
    model = make_model(consistency_weight=0.25)
    teacher = make_model().eval().consistency_features(make_batch("one/cls", count=4))
    own = model.eval().consistency_features(make_batch("one/cls", count=4), "image")
    by_hand = torch.stack([((a - b) ** 2).mean() for a, b in zip(own, teacher, strict=True)]).mean()
    torch.testing.assert_close(consistency_loss(own, teacher), by_hand)
    assert by_hand > 0
    found = losses_of(model, "one/cls", teacher)["loss_consistency"]
    assert found == pytest.approx(0.25 * by_hand.item(), rel=1e-4)


def test_the_denoising_is_a_mean_over_its_groups():
    """Without noise all groups are the same queries, and no group sees another: any number of them has one loss."""
    model, found = make_model(consistency_weight=0.0), []
    head = model.heads["box"]
    for groups in (1, 2, 3):
        head.options = replace(head.options, **QUIET, denoising_groups=groups)
        losses = losses_of(model, "two/box")
        found.append([losses[f"loss_{name}_denoising"] for name in ("class", "box", "giou")])
    assert found[1] == pytest.approx(found[0], rel=1e-4) and found[2] == pytest.approx(found[0], rel=1e-4)


def test_box_losses_are_means_over_the_boxes_of_the_batch():
    model = make_model(consistency_weight=0.0)
    model.heads["box"].options = replace(model.heads["box"].options, **QUIET)
    assert losses_of(model, "two/box", times=2) == pytest.approx(losses_of(model, "two/box"), rel=1e-4)
