"""The cardiothoracic ratio of masks that are drawn by hand; the diameters were counted on paper."""

from itertools import pairwise

import numpy as np
import pytest

from fx_d2.data.labels import CHEXMASK, SCR, VINDR_CXR_ALL
from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.prediction.cardiothoracic import cut_lungs, measure
from fx_d2.prediction.organs import Organs, find_organs, is_anatomy
from fx_d2.schedule import Unit

SHAPE = (100, 200)


def rectangle(rows, columns, shape=SHAPE):
    """First and last row, first and last column, all inside."""
    mask = np.zeros(shape, bool)
    mask[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    return mask


def ellipse(x, y, half_width, half_height, shape=SHAPE):
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    return ((xs - x) / half_width) ** 2 + ((ys - y) / half_height) ** 2 <= 1


def chest(**others):
    """Heart 60 wide (80..139), thorax 160 (20..179)."""
    organs = {
        "heart": rectangle((50, 89), (80, 139)),
        "left_lung": rectangle((10, 79), (120, 179)),
        "right_lung": rectangle((10, 79), (20, 79)),
    }
    return organs | others


def test_rectangles():
    measured = measure(**chest())
    heart, thorax = measured.heart, measured.thorax
    assert (heart.left, heart.right, heart.pixels, heart.y) == (80, 140, 60, 70)
    assert (thorax.left, thorax.right, thorax.pixels, thorax.y) == (20, 180, 160, 10.5)
    assert measured.ratio == 0.375 and measured.flags == () and heart.mm is None


def test_ellipses_and_millimetres():
    """The widest rows of the lungs differ: at row 49.5 the outer edges are at 10 and 190, the diameter is 180."""
    organs = {"heart": ellipse(110, 65, 45, 20), "left_lung": ellipse(155, 50, 35, 40)}
    measured = measure(**organs, right_lung=ellipse(45, 50, 35, 40), spacing=0.5)
    assert (measured.heart.pixels, measured.heart.mm) == (90, 45)
    assert (measured.thorax.pixels, measured.thorax.mm) == (180, 90)
    assert measured.ratio == 0.5 and measured.flags == ()


def test_the_heart_reaches_left_and_right_in_different_rows():
    """A step: rows 40 to 49 hold the columns 70 to 109, rows 50 to 59 the columns 90 to 149; no row holds all 80."""
    heart = rectangle((40, 49), (70, 109)) | rectangle((50, 59), (90, 149))
    measured = measure(**chest(heart=heart))
    assert measured.heart.pixels == 80 and measured.ratio == 0.5
    assert measured.heart.y == 50  # halfway between rows 44.5 and 54.5, middles of pixels added
    for midline in (95, 100, 110):
        right = max(midline - np.flatnonzero(row)[0] for row in heart if row.any())
        left = max(np.flatnonzero(row)[-1] + 1 - midline for row in heart if row.any())
        assert right + left == measured.heart.pixels


def test_the_thorax_is_one_row_of_both_lungs():
    """The right lung is widest at the top, the left one at the bottom; and a row of one lung alone does not count."""
    right = rectangle((10, 39), (20, 79)) | rectangle((40, 69), (40, 79))
    left = rectangle((20, 49), (120, 159)) | rectangle((50, 79), (120, 189))
    measured = measure(**chest(left_lung=left, right_lung=right))
    # Rows 20 to 39: 20 to 159, 140 pixels. Rows 40 to 49: 120. Rows 50 to 69: 40 to 189, 150. 170 in no row.
    assert (measured.thorax.pixels, measured.thorax.y) == (150, 50.5)


def test_left_and_right_may_be_exchanged():
    organs = chest()
    organs["left_lung"], organs["right_lung"] = organs["right_lung"], organs["left_lung"]
    assert measure(**organs) == measure(**chest())


def test_small_islands_are_ignored():
    """Of 2400 pixels of the heart 239 are below a tenth, 240 are not; in neither case do they widen it."""
    clean = chest()
    island = rectangle((95, 98), (5, 64))  # 4 x 60
    measured = measure(**chest(heart=clean["heart"] | island))
    assert measured.heart.pixels == 60
    assert measured.flags == ("The mask of the heart is in pieces: the second has 10% of the area of the first.",)
    island[98, 64] = False
    assert measure(**chest(heart=clean["heart"] | island)) == measure(**clean)
    touching = clean["heart"] | rectangle((90, 90), (140, 143))  # by a corner: it is the heart's
    assert measure(**chest(heart=touching)).heart.pixels == 64


@pytest.mark.parametrize(
    ("others", "flags"),
    [
        ({"heart": rectangle((50, 99), (80, 139))}, ["The heart touches the border"]),
        ({"left_lung": rectangle((10, 79), (120, 199))}, ["The left lung touches the side border"]),
        (
            {"left_lung": rectangle((0, 79), (120, 179))},
            [],
        ),  # a lung may end with the upper border: its sides are there
        ({"heart": rectangle((50, 89), (141, 198))}, ["The heart does not lie between the lungs"]),
        # 70 x 60 pixels are 4200, a third of them 1400: 70 x 19 are fewer, 70 x 20 are not.
        (
            {"left_lung": rectangle((10, 79), (161, 179))},
            ["The left lung has less than a third of the area of the right"],
        ),
        ({"right_lung": rectangle((10, 79), (20, 39))}, []),
        ({"heart": rectangle((50, 89), (80, 118))}, ["A ratio of 0.244 is outside 0.25 to 0.9"]),  # 39 of 160
        ({"heart": rectangle((50, 89), (80, 119))}, []),  # 40
        ({"heart": rectangle((50, 89), (30, 173))}, []),  # 144
        ({"heart": rectangle((50, 89), (30, 174))}, ["A ratio of 0.906 is outside"]),  # 145
    ],
)
def test_what_is_implausible_is_said_and_measured_all_the_same(others, flags):
    measured = measure(**chest(**others))
    assert len(measured.flags) == len(flags) and measured.ratio is not None
    assert all(
        found.startswith(flag) and found.endswith(".") for found, flag in zip(measured.flags, flags, strict=True)
    )


@pytest.mark.parametrize("organ", ["heart", "left_lung", "right_lung"])
def test_an_empty_mask_gives_no_ratio(organ):
    measured = measure(**chest(**{organ: np.zeros(SHAPE, bool)}))
    assert measured.ratio is None and measured.flags == (f"The mask of the {organ.replace('_', ' ')} is empty.",)
    assert (measured.heart is None) == (organ == "heart") != (measured.thorax is None)


def test_lungs_without_a_common_row_give_no_ratio():
    measured = measure(**chest(left_lung=rectangle((0, 4), (120, 179)), right_lung=rectangle((5, 9), (20, 79))))
    assert measured.ratio is None and measured.flags == ("No row of the image holds both lungs.",)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="must be of one size"):
        measure(**chest(heart=np.zeros((100, 201), bool)))


def test_one_mask_of_both_lungs_is_cut_at_the_heart():
    organs = chest()
    both = organs["left_lung"] | organs["right_lung"]
    left, right = cut_lungs(both, organs["heart"])
    assert (left == organs["left_lung"]).all() and (right == organs["right_lung"]).all()
    # Joined by a bridge they are cut at 109.5, the middle of the columns 80 to 139.
    left, right = cut_lungs(both | rectangle((10, 12), (80, 119)), organs["heart"])
    assert np.flatnonzero(left.any(axis=0))[0] == 110 and np.flatnonzero(right.any(axis=0))[-1] == 109
    # One lung alone is not taken for two.
    assert measure(organs["heart"], *cut_lungs(organs["right_lung"], organs["heart"])).ratio is None
    empty = np.zeros(SHAPE, bool)
    left, right = cut_lungs(both, empty)
    assert left[20, 179] and right[20, 20] and not (left & right).any()
    assert not any(mask.any() for mask in cut_lungs(empty, organs["heart"]))


MASK = Unit("ward", "mask")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (CHEXMASK, Organs(0, 1, 2)),
        (SCR, Organs(2, 0, 1)),
        (("right_lung", "heart", "LEFT LUNG"), Organs(1, 2, 0)),
        (("lung_left", "lung_right", "Cardiac silhouette"), Organs(2, 0, 1)),
        (("rightLung", "leftLung", "Whole Heart"), Organs(2, 1, 0)),
        (("L Lung Field", "R Lung Field", "Heart shadow"), Organs(2, 0, 1)),
        (("Nodule", "Lungs", "Heart"), Organs(2, 1, 1)),
        (("Whole lung", "Heart", "Left lung"), Organs(1, 0, 0)),
        (("Both lungs", "Heart", "Left lung", "Right lung"), Organs(1, 2, 3)),
        (("Left Lung", "Right Lung"), None),
        (("Left Lung", "Heart"), None),
        (("Heart", "Left Upper Lung", "Right Upper Lung", "Lung Opacity", "Lung Lesion"), None),
        (("Left Heart", "Heart failure", "Lungs"), None),
        (VINDR_CXR_ALL, None),
    ],
)
def test_names_of_organs(names, expected):
    assert find_organs({MASK: UnitClasses(tuple(names))}) == ({} if expected is None else {MASK: expected})


@pytest.mark.parametrize("name", ["Heart", "Left Lung Field", "Ribs", "R10", "right_clavicle", "Diaphragm"])
def test_names_of_anatomy(name):
    assert is_anatomy(name)


@pytest.mark.parametrize("name", ["Rib Fracture", "Lung Opacity", "Clavicle fracture", "Mask", "14", ""])
def test_names_of_findings_are_no_anatomy(name):
    assert not is_anatomy(name)


def test_boxes_and_organs_of_two_heads_are_not_measured():
    heads = {Unit("a", "mask"): ("Heart",), Unit("b", "mask"): ("Lungs",), Unit("b", "box"): CHEXMASK}
    assert find_organs({unit: UnitClasses(names) for unit, names in heads.items()}) == {}


def test_the_ratio_grows_with_the_heart():
    ratios = [measure(**chest(heart=ellipse(110, 65, half, 20))).ratio for half in range(25, 70)]
    assert all(after - before == pytest.approx(2 / 160) for before, after in pairwise(ratios))
