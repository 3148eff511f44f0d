"""The parts of DINO against literal loops and hand-made values."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from fx_d2.modeling.detr.attention import DeformableAttention
from fx_d2.modeling.detr.boxes import giou, to_centre, to_corners
from fx_d2.modeling.detr.decoder import Decoder
from fx_d2.modeling.detr.denoising import NoiseSamples, make_denoising, noise_boxes
from fx_d2.modeling.detr.layers import Sizes, box_layers, box_positions, inverse_sigmoid, map_positions
from fx_d2.modeling.detr.matcher import assign, costs_to_assign, match_costs
from fx_d2.modeling.detr.padding import Levels
from fx_d2.modeling.detr.sampling import ms_deform_attn
from fx_d2.modeling.detr.selection import QuerySelector, grid_proposals
from fx_d2.modeling.detr.targets import BatchTargets, BoxTargets


def bilinear(image: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """Value of (h, w, d) at continuous x, y in 0..1; pixel centres at (i + 0.5) / size, zero outside."""
    h, w, _ = image.shape
    px, py = x * w - 0.5, y * h - 0.5
    x0, y0 = math.floor(px), math.floor(py)
    total = torch.zeros(image.shape[2])
    for i, j in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        if 0 <= i < h and 0 <= j < w:
            total += image[i, j] * (1 - abs(py - i)) * (1 - abs(px - j))
    return total


def test_ms_deform_attn_by_loop():
    torch.manual_seed(0)
    shapes, b, queries, heads, d, points = ((3, 5), (2, 2)), 2, 4, 2, 3, 2
    tokens = sum(h * w for h, w in shapes)
    value = torch.randn(b, tokens, heads, d)
    locations = torch.rand(b, queries, heads, 2, points, 2) * 1.4 - 0.2  # some fall outside
    weights = torch.rand(b, queries, heads, 2 * points).softmax(-1).view(b, queries, heads, 2, points)
    out = ms_deform_attn(value, shapes, locations, weights)
    for i, q, head in itertools.product(range(b), range(queries), range(heads)):
        expected, start = torch.zeros(d), 0
        for level, (h, w) in enumerate(shapes):
            image = value[i, start : start + h * w, head].view(h, w, d)
            start += h * w
            for p in range(points):
                x, y = locations[i, q, head, level, p].tolist()
                expected += weights[i, q, head, level, p] * bilinear(image, x, y)
        torch.testing.assert_close(out[i, q, head * d : (head + 1) * d], expected, atol=1e-5, rtol=1e-4)


def test_deformable_attention_starts_as_rays():
    attention = DeformableAttention(8, 4, 1, 2)
    offsets = attention.sampling_offsets.bias.view(4, 1, 2, 2)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(offsets[:, 0, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(offsets[:, 0, 1], 2 * expected, atol=1e-6, rtol=0)


def test_giou_by_hand():
    a = to_centre(torch.tensor([0.0, 0.0, 0.4, 0.4]))
    b = to_centre(torch.tensor([0.2, 0.2, 0.6, 0.6]))
    # intersection 0.04, union 0.28, hull 0.36
    torch.testing.assert_close(giou(a, b), torch.tensor(0.04 / 0.28 - 0.08 / 0.36), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(giou(a, a), torch.tensor(1.0), atol=1e-5, rtol=0)
    apart = to_centre(torch.tensor([0.8, 0.8, 1.0, 1.0]))
    torch.testing.assert_close(giou(a, apart), torch.tensor(-(1 - 0.2) / 1.0), atol=1e-5, rtol=1e-5)
    # Boxes of 0.0005, areas 2.5e-7: DETR's 1e-6 counts. The same one, then two with a gap of as much between them.
    tiny = torch.tensor([0.5, 0.5, 0.0005, 0.0005])
    beside = torch.tensor([0.501, 0.5, 0.0005, 0.0005])
    torch.testing.assert_close(giou(tiny, tiny), torch.tensor(0.2), atol=1e-3, rtol=0)
    torch.testing.assert_close(giou(tiny, beside), torch.tensor(-2.5 / (7.5 + 10)), atol=1e-3, rtol=0)
    boxes = torch.rand(3, 4)
    torch.testing.assert_close(to_centre(to_corners(boxes)), boxes)


def test_matcher_by_brute_force():
    torch.manual_seed(0)
    layers, queries, classes = 2, 5, 3
    targets = [
        BoxTargets(torch.tensor([0, 2]), torch.rand(2, 4)),
        BoxTargets(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)),
        BoxTargets(torch.tensor([1]), torch.rand(1, 4)),
    ]
    logits, boxes = torch.randn(layers, 3, queries, classes), torch.rand(layers, 3, queries, 4)
    assigned = assign(costs_to_assign(logits, boxes, BatchTargets.pad(targets, 3), 2.0, 5.0, 2.0))
    assert assigned.shape == (layers, 3, 3)
    for layer, (image, truth) in itertools.product(range(layers), enumerate(targets)):
        count = len(truth.labels)

        def cost(q, t, layer=layer, image=image, truth=truth):
            p = logits[layer, image, q, truth.labels[t]].sigmoid().item()
            focal = 0.25 * (1 - p) ** 2 * -math.log(p + 1e-8) - 0.75 * p**2 * -math.log(1 - p + 1e-8)
            box = boxes[layer, image, q]
            return 2 * focal + 5 * (box - truth.boxes[t]).abs().sum().item() - 2 * giou(box, truth.boxes[t]).item()

        best = min(
            itertools.permutations(range(queries), count), key=lambda qs: sum(cost(q, t) for t, q in enumerate(qs))
        )
        assert assigned[layer, image].tolist() == [*best] + [-1] * (3 - count)


def test_a_single_box_takes_what_the_hungarian_method_gives_it():
    """Ties included, and costs that are not finite."""
    costs = torch.randint(0, 4, (6, 50, 3, 12)).float()
    costs[:, ::7, 0, 5:7] = -1e30
    costs[:, ::2, 1:] = float("inf")  # every other image has one box
    costs[:, 1::2, 2] = float("inf")
    found = assign(costs)
    for layer, image in itertools.product(range(6), range(50)):
        count = 1 + image % 2
        assert found[layer, image, :count].tolist() == linear_sum_assignment(costs[layer, image, :count])[1].tolist()
    assert (found[:, ::2, 1:] == -1).all() and (found[:, 1::2, 2] == -1).all()


def test_more_boxes_than_queries():
    """Each query gets the box of least cost; the others get none."""
    truth = BatchTargets.pad([BoxTargets(torch.zeros(5, dtype=torch.int64), torch.rand(5, 4))], 5)
    boxes = truth.boxes[None, :, [3, 0]]
    assert assign(costs_to_assign(torch.zeros(1, 1, 2, 1), boxes, truth, 0.0, 1.0, 0.0)).tolist() == [
        [[1, -1, -1, 0, -1]]
    ]


def test_the_truth_is_filled_up_to_a_few_sizes():
    targets = [BoxTargets(torch.full((count,), 7), torch.rand(count, 4)) for count in (3, 0, 1)]
    for fewest, size in ((20, 20), (3, 3), (2, 4), (1, 4)):
        truth = BatchTargets.pad(targets, fewest)
        assert truth.boxes.shape == (3, size, 4)
        assert truth.valid.tolist() == [[place < count for place in range(size)] for count in (3, 0, 1)]
        assert truth.labels.tolist() == [[7 * (place < count) for place in range(size)] for count in (3, 0, 1)]
        assert torch.equal(truth.boxes[0, :3], targets[0].boxes) and truth.boxes[~truth.valid].eq(0).all()


def test_matching_costs_in_numbers():
    """Focal cost of the true class: a query that is sure of it (p = 0.75) costs less than one that is not (0.5)."""
    logits = torch.tensor([[0.0, 5.0], [math.log(3), 5.0]])[None, None]
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.4]])[None, None]
    truth = BatchTargets.pad([BoxTargets(torch.tensor([0]), torch.tensor([[0.5, 0.5, 0.2, 0.2]]))], 1)
    # 0.25 (1 - p)^2 (-ln p) - 0.75 p^2 (-ln (1 - p)): 0.0433217 - 0.1299650, 0.0044950 - 0.5848429
    expected = torch.tensor([[[[-0.0866434, -0.5803478]]]])
    torch.testing.assert_close(match_costs(logits, boxes, truth, 1.0, 0.0, 0.0), expected, atol=1e-6, rtol=0)
    # A query that is certain in float32: the logarithm is that of 1e-8, 0.75 * -18.4206807 and 0.25 * 18.4206807.
    certain = match_costs(torch.tensor([[[[200.0, 0.0], [-200.0, 0.0]]]]), boxes, truth, 1.0, 0.0, 0.0)
    torch.testing.assert_close(certain, torch.tensor([[[[-13.8155106, 4.6051702]]]]), atol=1e-5, rtol=0)
    # |0.4 - 0.2| of the heights, then 1 - half of the area
    expected = torch.tensor([[[[0.0, 0.2]]]])
    torch.testing.assert_close(match_costs(logits, boxes, truth, 0.0, 1.0, 0.0), expected, atol=1e-6, rtol=0)
    expected = torch.tensor([[[[-1.0, -0.5]]]])
    torch.testing.assert_close(match_costs(logits, boxes, truth, 0.0, 0.0, 1.0), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_query_that_is_not_finite_is_matched_so_that_the_losses_say_so(value):
    targets = [BoxTargets(torch.tensor([0, 1]), torch.rand(2, 4)), BoxTargets(torch.tensor([1]), torch.rand(1, 4))]
    boxes = torch.rand(1, 2, 4, 4)
    boxes[0, 1, 2] = float(value)
    logits = torch.zeros(1, 2, 4, 2)
    logits[0, 0, 3] = float("nan")
    found = assign(costs_to_assign(logits, boxes, BatchTargets.pad(targets, 2), 2.0, 5.0, 2.0))[0].tolist()
    assert 3 in found[0] and len(set(found[0]) - {-1}) == 2
    assert found[1] == [2, -1]


def test_denoising_layout():
    torch.manual_seed(0)
    targets = [
        BoxTargets(torch.tensor([0, 1]), torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.3, 0.3, 0.1, 0.1]])),
        BoxTargets(torch.tensor([2]), torch.tensor([[0.6, 0.4, 0.3, 0.3]])),
    ]
    noise = make_denoising(BatchTargets.pad(targets, 4), num_classes=3, queries=5, label_noise=0.0, box_noise=0.0)
    assert (noise.groups, noise.width) == (2, 2)  # 5 // 2 boxes
    # Ten slots, of which two groups fill eight.
    assert noise.labels[0].tolist()[:8] == [0, 1] * 4 and noise.labels[1].tolist()[:8:2] == [2] * 4
    assert noise.used.tolist() == [[True, True] * 4 + [False] * 2, [True, False] * 4 + [False] * 2]
    # An unused slot is a box at the middle with empty content.
    assert noise.boxes[1, 1::2].eq(0.5).all() and noise.boxes[:, 8:].eq(0.5).all()
    embedding = torch.nn.Embedding(3, 4)
    content = noise.content(embedding)
    assert content[1, 1::2].eq(0).all() and torch.equal(content[1, 0], embedding.weight[2])
    # Without noise all copies of a box are the box itself.
    torch.testing.assert_close(noise.boxes[0, 5], targets[0].boxes[1], atol=1e-5, rtol=0)
    query, target, used = noise.pairs(layers=2)
    assert query.shape == target.shape == used.shape == (2, 2, 10)
    # Positives come first in each group of 2 * width.
    for layer in range(2):
        pairs = [(i, query[layer, i, m].item(), target[layer, i, m].item()) for _, i, m in used.nonzero().tolist()]
        assert set(pairs) == {(0, 0, 0), (0, 1, 1), (0, 4, 0), (0, 5, 1), (1, 0, 0), (1, 4, 0)}
    blocked = noise.attention_mask(3)
    assert blocked.shape == (10, 13)
    for i, j in itertools.product(range(10), range(13)):
        group_i, group_j = (k // 4 if k < 10 else None for k in (i, j))
        assert blocked[i, j].item() == (group_j is not None and group_i != group_j)


@pytest.mark.parametrize(
    ("count", "queries", "groups", "slots", "number"),
    [(0, 5, 0, 10, 5), (1, 5, 0, 10, 5), (4, 5, 0, 10, 1), (5, 5, 0, 16, 1), (7, 5, 0, 16, 1), (2, 5, 3, 24, 3)],
)
def test_denoising_slots_follow_the_places_and_not_the_boxes(count, queries, groups, slots, number):
    """``number``: groups of a batch whose fullest image has ``count`` boxes."""
    truth = BoxTargets(torch.zeros(count, dtype=torch.int64), torch.rand(count, 4))
    noise = make_denoising(BatchTargets.pad([truth], 4), 3, queries, 0.5, 1.0, groups=groups)
    assert noise.labels.shape == (1, slots) and noise.boxes.shape == (1, slots, 4)
    assert noise.groups == number and noise.used.sum() == 2 * number * count


def test_noise_bounds():
    torch.manual_seed(0)
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.1]).expand(1, 5000, 4)
    samples = NoiseSamples.random(1, 5000, 3, boxes.device)
    half = torch.tensor([0.1, 0.05, 0.1, 0.05])
    truth = to_corners(boxes)
    for negative, low, high in ((0.0, 0.0, 1.0), (1.0, 1.0, 2.0)):
        noised = noise_boxes(boxes, torch.full((1, 5000), negative), samples, 1.0)
        # Corners may swap places, so the unordered pair is compared.
        moved = (to_corners(noised.clone()) - truth).abs() / half
        if negative == 0:
            assert moved.max() <= high + 1e-4
        assert moved.mean() > 0.3 + low * 0.5


def test_label_noise_rate():
    torch.manual_seed(0)
    targets = BatchTargets.pad([BoxTargets(torch.zeros(1, dtype=torch.int64), torch.tensor([[0.5, 0.5, 0.1, 0.1]]))])
    noise = make_denoising(targets, num_classes=1000, queries=20000, label_noise=0.5, box_noise=1.0)
    assert abs((noise.labels != 0).float().mean().item() - 0.25) < 0.01


def test_positions_by_formula():
    encoding = map_positions(torch.zeros(1, 2, 3, dtype=torch.bool), 8, 20.0)[0]
    assert encoding.shape == (6, 8)
    for row, column in itertools.product(range(2), range(3)):
        y, x = 2 * math.pi * (row + 1) / 2, 2 * math.pi * (column + 1) / 3
        expected = [f(p / 20 ** (2 * i / 4)) for p in (y, x) for i in range(2) for f in (math.sin, math.cos)]
        np.testing.assert_allclose(encoding[3 * row + column].numpy(), expected, atol=1e-5)
    box = torch.tensor([0.1, 0.2, 0.3, 0.4])
    encoding = box_positions(box, 8)
    assert encoding.shape == (16,)
    np.testing.assert_allclose(encoding[0].item(), math.sin(2 * math.pi * 0.2), atol=1e-6)  # y first
    np.testing.assert_allclose(encoding[4].item(), math.sin(2 * math.pi * 0.1), atol=1e-6)


def test_inverse_sigmoid():
    x = torch.tensor([0.0, 0.25, 0.5, 1.0])
    expected = [math.log(0.001 / 1), math.log(1 / 3), 0.0, math.log(1 / 0.001)]
    np.testing.assert_allclose(inverse_sigmoid(x).numpy(), expected, atol=1e-5)


def test_selection_takes_the_best_tokens():
    torch.manual_seed(0)
    shapes = ((4, 4), (2, 2))
    proposals, inside = (x[0] for x in grid_proposals(shapes, None, 0.05, torch.device("cpu")))
    assert inside.all()
    torch.testing.assert_close(proposals.sigmoid()[5], torch.tensor([1.5 / 4, 1.5 / 4, 0.05, 0.05]))
    torch.testing.assert_close(proposals.sigmoid()[17], torch.tensor([0.75, 0.25, 0.1, 0.1]))
    selector = QuerySelector(8, 0.05)
    memory = torch.randn(2, 20, 8)
    score = torch.nn.Linear(8, 3)
    selection = selector(memory, Levels(shapes), score, box_layers(8), 6)
    everything = score(selector.norm(selector.linear(memory)))
    for image in range(2):
        best = everything[image].max(1).values.argsort(descending=True)[:6]
        torch.testing.assert_close(selection.logits[image], everything[image, best])
        # The box head starts at zero.
        torch.testing.assert_close(selection.boxes[image], proposals.sigmoid()[best])
        assert selection.index[image].tolist() == best.tolist()
    assert selector(memory, Levels(shapes), score, box_layers(8), 900).logits.shape == (2, 20, 3)


def test_decoder_looks_forward_twice():
    """The second layer's box loss reaches the first layer's refinement; its sampling does not."""
    torch.manual_seed(0)
    decoder = Decoder(2, Sizes(16, 2, 1, 2, 16))
    head = box_layers(16)
    torch.nn.init.normal_(head.layers[-1].weight, std=0.1)
    content, boxes = torch.randn(1, 3, 16), torch.rand(1, 3, 4) * 0.5 + 0.2
    out = decoder(content, boxes, torch.randn(1, 4, 16), Levels(((2, 2),)), head, head)
    states, predictions = out.states, out.boxes
    assert states.shape == (2, 1, 3, 16) and predictions.shape == (2, 1, 3, 4)
    # Prediction l = sigmoid(head(state_l) + logit(reference_{l-1})).
    torch.testing.assert_close(predictions[0], (head(states[0]) + inverse_sigmoid(boxes)).sigmoid())
    gradient = torch.autograd.grad(predictions[1].sum(), decoder.layers[0].ffn.linear2.weight)[0]
    assert gradient.abs().sum() > 0


def test_the_gradient_of_giou_is_that_in_float64():
    torch.manual_seed(0)
    a, b, found = torch.rand(200, 4), torch.rand(200, 4), []
    for dtype in (torch.float32, torch.float64):
        x = a.clone().to(dtype).requires_grad_()
        giou(x, b.to(dtype)).sum().backward()
        found.append(x.grad.double())
    torch.testing.assert_close(*found, atol=2e-5, rtol=2e-5)
