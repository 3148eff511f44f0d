"""Outlines pixel by pixel, distances between all pairs of their points."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fx_d2.evaluation.surface import distance_metrics, mask_distances, outline


def literal_outline(mask):
    height, width = mask.shape
    points = []
    for r in range(height):
        for c in range(width):
            around = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
            outside = [not (0 <= y < height and 0 <= x < width) or not mask[y, x] for y, x in around]
            if mask[r, c] and any(outside):
                points.append((r, c))
    return np.array(points, float)


def literal_metrics(a, b):
    table = cdist(a, b)
    there, back = table.min(axis=1), table.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return hd95, (there.sum() + back.sum()) / (len(there) + len(back))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [None, (0.2, 0.2), (0.5, 0.125)])
def test_against_all_pairs(seed, spacing):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, 17, 23)) < (0.15, 0.9)[seed % 2]
    masks[0, :5] = False
    outlines = [literal_outline(mask) for mask in masks]
    for mask, points in zip(masks, outlines, strict=True):
        assert outline(mask).tolist() == points.tolist()
    values = mask_distances(*masks, spacing)
    assert values[:2] == pytest.approx(literal_metrics(*outlines))
    if spacing is None:
        assert np.isnan(values[2:]).all()
    else:
        assert values[2:] == pytest.approx(literal_metrics(*(points * spacing for points in outlines)))


def test_known_distances():
    a, b = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    a[5:10, 5:10] = True
    assert mask_distances(a, a, (0.1, 0.1)) == (0, 0, 0, 0)
    b[5:10, 8:13] = True  # three columns to the right
    assert mask_distances(a, b)[0] == 3.0
    point, other = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    point[0, 0] = other[3, 4] = True
    assert mask_distances(point, other, (2.0, 0.5)) == pytest.approx((5, 5, np.hypot(6, 2), np.hypot(6, 2)))
    assert np.isnan(mask_distances(a, np.zeros_like(a), (1, 1))).all()
    assert np.isnan(mask_distances(np.zeros_like(a), np.zeros_like(a))).all()


def test_five_percent_of_far_points_do_not_move_the_percentile():
    line = np.array([[0, column] for column in range(100)], float)
    far = np.concatenate([line, [[50, 50]] * 4])
    assert distance_metrics(line, far)[0] == pytest.approx(0)
    assert distance_metrics(line, np.concatenate([line, [[50, 50]] * 10]))[0] == pytest.approx(50)


def test_monai_agrees():
    metrics = pytest.importorskip("monai.metrics", reason="MONAI is not installed; the loops above say the same")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(9)
    masks = torch.as_tensor(rng.random((2, 1, 1, 24, 31)) < 0.4)
    ours = mask_distances(masks[0, 0, 0].numpy(), masks[1, 0, 0].numpy())
    arguments = {"include_background": True, "spacing": None}
    theirs = metrics.compute_hausdorff_distance(masks[0], masks[1], percentile=95, **arguments)
    assert ours[0] == pytest.approx(float(theirs))
    assd = metrics.compute_average_surface_distance(masks[0], masks[1], symmetric=True, **arguments)
    assert ours[1] == pytest.approx(float(assd))
