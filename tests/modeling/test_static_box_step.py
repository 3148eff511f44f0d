"""A box step does the same whatever its number of boxes, and is the method: against a slow loop over images."""

import itertools
from dataclasses import replace

import pytest
import torch
from detectron2.structures import Boxes, Instances
from scipy.optimize import linear_sum_assignment
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fx_d2.engine.optimizer import clip_gradients
from fx_d2.modeling.detr import denoising
from fx_d2.modeling.detr.boxes import giou, to_centre, to_corners
from fx_d2.modeling.detr.denoising import NoiseSamples
from tests.tiny import SIDE, make_batch, make_model


def with_boxes(counts):
    """A batch with so many boxes in its images."""
    batch, generator = make_batch("two/box", count=len(counts)), torch.Generator().manual_seed(3)
    for entry, count in zip(batch, counts, strict=True):
        low = torch.rand(count, 2, generator=generator) * 30
        corners = torch.cat([low, low + 8 + torch.rand(count, 2, generator=generator) * 20], 1)
        classes = torch.randint(0, 3, (count,), generator=generator)
        entry["instances"] = Instances((SIDE, SIDE), gt_boxes=Boxes(corners), gt_classes=classes)
    return batch


class Operators(TorchDispatchMode):
    """Every operator with the shapes and types of its tensors, in order."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if torch.is_tensor(leaf)]
        self.found.append((str(func), [(tuple(t.shape), t.dtype) for t in tensors]))
        return out


def operators(model, counts):
    """Of both parts of a step on the device, backward pass and clipping included."""
    batch = with_boxes(counts)
    truth, teacher = model.truth(batch), model.consistency_features(batch)
    model.zero_grad(set_to_none=True)
    with Operators() as first:
        step = model.begin(batch, truth)
    decision = model.decide(step)
    with Operators() as second:
        losses = model.finish(step, decision, teacher)
        sum(losses.values()).backward()
        clip_gradients(model, 0.1)
    return first.found + second.found


def test_operators_and_shapes_do_not_follow_the_boxes():
    model = make_model(drop_path=0.1).train()
    model.heads["box"].options = replace(model.heads["box"].options, denoising_queries=100)  # as published
    operators(model, (1, 1, 1))  # fills the caches
    expected = operators(model, (0, 0, 0))
    assert len(expected) > 1000
    for counts in ((1, 1, 1), (5, 0, 2), (20, 20, 20)):
        assert operators(model, counts) == expected
    assert operators(model, (21, 0, 0)) != expected  # the next size


def test_a_batch_without_a_box_moves_the_label_embedding_by_nothing():
    """As in DINO: it has a gradient, of zero; the denoising has losses, of zero."""
    model = make_model().train()
    losses = model(with_boxes((0, 0)))
    sum(losses.values()).backward()
    assert [losses[f"loss_{name}_denoising"].item() for name in ("class", "box", "giou")] == [0.0] * 3
    assert losses["loss_class"] > 0 and losses["loss_box"] == losses["loss_giou"] == 0
    assert model.heads["box"].branches["two"].label_embed.weight.grad.eq(0).all()


# ---- the method, image by image ---------------------------------------------------------------------------------


class OneImage:
    """The noised queries of an image and nothing else, in the order group, sign, box."""

    def __init__(self, boxes, labels, width, groups, draws, options, classes):
        rows = []
        for group, sign, place in itertools.product(range(groups), range(2), range(width)):
            slot = (2 * group + sign) * width + place
            box, label = torch.full((4,), 0.5), None
            if place < len(labels):
                label, new = int(labels[place]), int(draws.new_label[slot])
                label = new if draws.label[slot] < 0.5 * options.denoising_label_noise else label
                x0, y0, x1, y1 = to_corners(boxes[place]).tolist()
                w, h = boxes[place, 2:].tolist()
                far = (draws.corner[slot] + sign) * draws.sign[slot] * options.denoising_box_noise
                moved = [x0 + far[0] * w / 2, y0 + far[1] * h / 2, x1 + far[2] * w / 2, y1 + far[3] * h / 2]
                box = to_centre(torch.tensor([min(max(float(v), 0.0), 1.0) for v in moved]))
            rows.append((box, label, place if sign == 0 and label is not None else None))
        self.boxes = torch.stack([box for box, _, _ in rows])[None]
        self.labels = torch.zeros(1, len(rows))  # for its shape
        self.label_of = [label for _, label, _ in rows]
        self.target_of = [target for _, _, target in rows]
        self.per_group = 2 * width

    def content(self, embedding):
        zero = torch.zeros(embedding.embedding_dim)
        return torch.stack([zero if k is None else embedding.weight[k] for k in self.label_of])[None]

    def attention_mask(self, queries):
        n = len(self.label_of)
        mask = torch.zeros(n, n + queries, dtype=torch.bool)
        for i, j in itertools.product(range(n), range(n)):
            mask[i, j] = i // self.per_group != j // self.per_group
        return mask


def losses_of_pairs(logits, boxes, truth, pairs, into, weight=1.0):
    """Adds focal, L1 and GIoU losses of one layer of one image, logits (Q, K), pairs (query, target)."""
    true_boxes, labels = truth
    positive = {(query, int(labels[target])) for query, target in pairs}
    for q, k in itertools.product(range(logits.shape[0]), range(logits.shape[1])):
        p = logits[q, k].sigmoid()
        log, log_not = torch.nn.functional.logsigmoid(logits[q, k]), torch.nn.functional.logsigmoid(-logits[q, k])
        focal = -0.25 * (1 - p) ** 2 * log if (q, k) in positive else -0.75 * p**2 * log_not
        into["class"] = into["class"] + weight * focal
    for query, target in pairs:
        into["box"] = into["box"] + 5 * weight * (boxes[query] - true_boxes[target]).abs().sum()
        into["giou"] = into["giou"] + 2 * weight * (1 - giou(boxes[query], true_boxes[target]))


def assigned_pairs(logits, boxes, truth):
    true_boxes, labels = truth
    costs = torch.zeros(len(logits), len(labels))
    for q, t in itertools.product(range(len(logits)), range(len(labels))):
        p = logits[q, labels[t]].sigmoid()
        focal = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()
        distance = (boxes[q] - true_boxes[t]).abs().sum()
        costs[q, t] = 2 * focal + 5 * distance - 2 * giou(boxes[q], true_boxes[t])
    return list(zip(*linear_sum_assignment(costs.detach().numpy()), strict=True))


def slow_losses(model, batch, draws):
    head, counts = model.heads["box"], [len(entry["instances"]) for entry in batch]
    width = max(counts)
    groups = max(1, head.options.denoising_queries // width)
    found = {suffix: dict.fromkeys(("class", "box", "giou"), 0.0) for suffix in ("", "_proposal", "_denoising")}
    for image, entry in enumerate(batch):
        boxes, labels = to_centre(entry["instances"].gt_boxes.tensor / SIDE), entry["instances"].gt_classes
        own = NoiseSamples(*(part[image] for part in (draws.label, draws.new_label, draws.corner, draws.sign)))
        noise = OneImage(boxes, labels, width, groups, own, head.options, 3)
        out = head.decode(model.encode([entry], model.unit_of(batch)), "two", noise)
        n, truth = len(noise.label_of), (boxes, labels)
        for logits, predicted in zip(out.logits[:, 0], out.decoded.boxes[:, 0], strict=True):
            pairs = [(q, t) for q, t in enumerate(noise.target_of) if t is not None]
            # Slots without a box have a class to learn, too: none.
            losses_of_pairs(logits[:n], predicted[:n], truth, pairs, found["_denoising"], 1 / groups)
            pairs = assigned_pairs(logits[n:], predicted[n:], truth)
            losses_of_pairs(logits[n:], predicted[n:], truth, pairs, found[""])
        proposals = out.selection.logits[0], out.selection.boxes[0]
        losses_of_pairs(*proposals, truth, assigned_pairs(*proposals, truth), found["_proposal"])
    count = max(1, sum(counts))
    return {f"loss_{name}{suffix}": x / count for suffix, part in found.items() for name, x in part.items()}


@pytest.mark.parametrize("counts", [(0, 1, 3), (2,)])
def test_losses_and_gradients_of_a_loop_over_images(counts, monkeypatch):
    """With the same draws; four noised pairs and three boxes leave slots that must not count.

    In float64, but for the sampling: in float32 the backbone's gradients are sums over boxes that cancel, and are 1e-4
    apart by their order alone.
    """
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    model, batch = make_model(consistency_weight=0.0).double().train(), with_boxes(counts)
    for parameter in model.heads["box"].parameters():
        if parameter.dim() > 1:  # heads that start at zero would hide gradients
            torch.nn.init.normal_(parameter, std=0.1)
    torch.manual_seed(0)
    draws = NoiseSamples.random(len(batch), 8, 3, torch.device("cpu"))
    monkeypatch.setattr(denoising.NoiseSamples, "random", lambda batch, count, classes, device: draws)
    found = model(batch)
    sum(found.values()).backward()
    actual = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    expected = slow_losses(model, batch, draws)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)
    sum(expected.values()).backward()
    for name, parameter in model.named_parameters():
        if name in actual:
            scale = parameter.grad.abs().max().clamp(min=1.0)
            torch.testing.assert_close(actual[name] / scale, parameter.grad / scale, atol=2e-6, rtol=1e-5, msg=name)
        else:
            assert parameter.grad is None
