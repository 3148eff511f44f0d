"""Left taken for right, on masks and boxes drawn by hand."""

import numpy as np
import pytest

from fx_d2.evaluation.regions import split_regions
from fx_d2.evaluation.sides import count_exchanged
from fx_d2.evaluation.tables import BoxTable, ImageRow, MaskTable

PAIRS = [("Left Lung", "Right Lung")]
CLASSES = ("Heart", "Left Lung", "Right Lung")


def regions(**columns):
    """Regions of classes from column ranges of a picture of 10 x 20."""
    rows = []
    for name, (start, stop) in columns.items():
        mask = np.zeros((10, 20), bool)
        mask[2:8, start:stop] = True
        rows += split_regions(mask, CLASSES.index(name.replace("_", " ")))
    return rows


@pytest.mark.parametrize(
    "predicted, expected",
    [
        ({"Left_Lung": (11, 18), "Right_Lung": (1, 8)}, (0, 2)),
        ({"Left_Lung": (1, 8), "Right_Lung": (11, 18)}, (2, 2)),
        (
            {"Left_Lung": (5, 18), "Right_Lung": (4, 18)},
            (1, 2),
        ),  # the right one has 4 columns of its own, 7 of the left
        ({"Left_Lung": (12, 20)}, (0, 1)),
        ({"Heart": (1, 8)}, (0, 0)),
    ],
)
def test_masks(predicted, expected):
    truth = regions(Left_Lung=(11, 18), Right_Lung=(1, 8), Heart=(7, 12))
    table = MaskTable([ImageRow("a", None, 10, 20)], CLASSES, [truth], [regions(**predicted)])
    assert count_exchanged(table, PAIRS) == expected


def test_without_the_partner_in_the_truth_nothing_can_be_said():
    table = MaskTable(
        [ImageRow("a", None, 10, 20)], CLASSES, [regions(Left_Lung=(11, 18))], [regions(Left_Lung=(1, 8))]
    )
    assert count_exchanged(table, PAIRS) == (0, 0)
    assert count_exchanged(table, [("Left Arm", "Right Arm")]) == (0, 0)


def test_of_boxes_the_surest_of_a_class_counts():
    images = [ImageRow("a", None, 100, 200), ImageRow("b", None, 100, 200)]
    left, right = [110, 10, 80, 80], [10, 10, 80, 80]
    truth = np.array([[k, *box, category, 0] for k in (0, 1) for box, category in ((left, 1), (right, 2))], float)
    predictions = np.array(
        [
            [0, *left, 1, 0.9],
            [0, *right, 1, 0.2],  # less sure: does not count
            [0, *right, 2, 0.8],
            [1, *right, 1, 0.7],  # exchanged
            [1, *left, 1, 0.6],
        ]
    )
    assert count_exchanged(BoxTable(images, CLASSES, truth, predictions), PAIRS) == (1, 3)
