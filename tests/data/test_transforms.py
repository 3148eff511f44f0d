"""Geometry and photometry against OpenCV's own resampling, hand-made values and slow loops."""

import math

import cv2
import numpy as np
import pytest

from fx_d2.data.augmentation import Geometry, Photometry
from fx_d2.data.transforms import AffineTransform, move_boxes, shrink_mask


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def smooth(height, width):
    return cv2.GaussianBlur(noise(height, width), (0, 0), 5)


def difference(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype == np.uint8
    return int(np.abs(a.astype(int) - b.astype(int)).max())


WILD = Geometry(size=96, crop_area=(0.4, 1.0), rotation=20.0, scale=(0.8, 1.2), shift=0.1, flip=0.5)


# ---- images ---------------------------------------------------------------------------------------------------


def test_everything_off_changes_nothing():
    image = noise(64, 64)
    transform = Geometry(size=64).draw(np.random.default_rng(0), 64, 64)
    assert np.array_equal(transform.matrix, np.eye(2, 3))
    view = transform.apply_image(image)
    assert np.array_equal(view, image) and not np.shares_memory(view, image)


def test_halving_averages_two_by_two_pixels():
    image = noise(64, 128)
    view = Geometry(size=64).plain(128, 128).apply_image(np.concatenate([image, image]))
    blocks = np.concatenate([image, image]).reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(view - blocks).max() <= 1


@pytest.mark.parametrize(
    ("shape", "size", "method"),
    [
        ((128, 128), 64, cv2.INTER_AREA),
        ((300, 201), 64, cv2.INTER_AREA),
        ((100, 90), 80, cv2.INTER_LINEAR),
        ((50, 40), 96, cv2.INTER_LINEAR),
    ],
)
def test_resize_equals_opencv(shape, size, method):
    image = noise(*shape)
    view = Geometry(size=size).plain(*shape).apply_image(image)
    assert difference(view, cv2.resize(image, (size, size), interpolation=method)) <= 1


@pytest.mark.parametrize("side", [40, 64, 150])
def test_flip_equals_flipping_the_resized_image(side):
    image = noise(side, side)
    geometry = Geometry(size=64, flip=1.0)
    transform = geometry.draw(np.random.default_rng(0), side, side)
    assert transform.mirrored and not geometry.plain(side, side).mirrored
    assert difference(transform.apply_image(image), geometry.plain(side, side).apply_image(image)[:, ::-1]) <= 1


def test_outside_of_the_source_is_black():
    white = np.full((50, 50), 255, np.uint8)
    right = AffineTransform([[1, 0, 20], [0, 1, 0]], (50, 50), (50, 50)).apply_image(white)
    assert (right[:, :20] == 0).all() and (right[:, 20:] == 255).all()


def test_warp_follows_the_matrix_pixel_by_pixel():
    """Against a slow loop: every input pixel centre is taken back and interpolated by hand."""
    image = smooth(40, 50).astype(float)
    transform = AffineTransform([[0.9, -0.2, 7.3], [0.15, 1.1, -4.2]], (45, 45), (40, 50))
    view = transform.apply_image(image.astype(np.uint8))
    inverse = np.linalg.inv(np.vstack([transform.matrix, [0, 0, 1]]))
    checked = 0
    for row in range(45):
        for column in range(45):
            x, y = (inverse @ (column + 0.5, row + 0.5, 1))[:2] - 0.5
            if not (0 <= x < 49 and 0 <= y < 39):
                continue
            i, j = int(y), int(x)
            v, u = y - i, x - j
            top = image[i, j] * (1 - u) + image[i, j + 1] * u
            bottom = image[i + 1, j] * (1 - u) + image[i + 1, j + 1] * u
            assert abs(view[row, column] - (top * (1 - v) + bottom * v)) <= 1.5
            checked += 1
    assert checked > 1000


def test_wrong_source_size_is_refused():
    with pytest.raises(ValueError, match="height, width"):
        Geometry(size=32).plain(10, 12).apply_image(noise(12, 10))


# ---- letterbox ------------------------------------------------------------------------------------------------


# 60 * 64/100 = 38.4 -> 38 columns from (64-38)//2 = 13 on; 30 * 64/90 = 21.3 -> 21 rows from (64-21)//2 = 21 on.
@pytest.mark.parametrize(("shape", "content"), [((100, 60), (13, 0, 51, 64)), ((30, 90), (0, 21, 64, 42))])
def test_letterbox_is_the_resized_image_in_the_middle(shape, content):
    x0, y0, x1, y1 = content
    geometry = Geometry(size=64, letterbox=True)
    assert geometry.content(*shape) == content
    image = noise(*shape)
    view = geometry.plain(*shape).apply_image(image)
    method = cv2.INTER_AREA if max(shape) / 64 > 1.5 else cv2.INTER_LINEAR
    expected = cv2.resize(image, (x1 - x0, y1 - y0), interpolation=method)
    # The outermost pixel may blend with the padding where the image was not averaged first.
    assert difference(view[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1], expected[1:-1, 1:-1]) <= 1
    view[y0:y1, x0:x1] = 0
    assert not view.any()


@pytest.mark.parametrize("letterbox", [True, False])
def test_content_takes_boxes_back_to_the_original(letterbox):
    height, width = 120, 70
    geometry = Geometry(size=64, letterbox=letterbox)
    boxes = np.array([[5.0, 8.0, 33.0, 99.0], [0, 0, width, height]])
    moved, kept = move_boxes(geometry.plain(height, width), boxes)
    x0, y0, x1, y1 = geometry.content(height, width)
    back = (moved - (x0, y0, x0, y0)) / (np.array([x1 - x0, y1 - y0] * 2) / (width, height, width, height))
    assert kept.all() and np.allclose(back, boxes)
    assert np.allclose(moved[1], (x0, y0, x1, y1))


# ---- views ----------------------------------------------------------------------------------------------------


def test_image_boxes_and_masks_move_together():
    """Filled rectangles: their warped mask, their warped picture and their moved box agree, view after view."""
    height, width = 200, 160
    rng = np.random.default_rng(3)
    for _ in range(40):
        x0, y0 = rng.integers(20, 60, 2)
        x1, y1 = x0 + rng.integers(30, 60), y0 + rng.integers(30, 60)
        mask = np.zeros((height, width), np.uint8)
        mask[y0:y1, x0:x1] = 1
        transform = WILD.draw(rng, height, width)
        moved = transform.apply_segmentation(mask)
        assert moved.shape == (96, 96) and set(np.unique(moved)) <= {0, 1}
        picture = transform.apply_image(mask * 200)
        assert ((moved == 1) != (picture > 100)).mean() < 0.002
        box, _ = move_boxes(transform, np.array([[x0, y0, x1, y1]], float))
        rows, columns = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
        if len(rows):
            # A rotated corner is a sharp tip: pixels reach it to about a pixel and a half.
            hull = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            assert np.abs(hull - box[0]).max() <= 2.0, (hull, box)


def test_a_marker_is_found_where_the_point_went():
    rng = np.random.default_rng(5)
    image = np.zeros((220, 180), np.uint8)
    image[100:106, 80:86] = 255
    for _ in range(30):
        transform = WILD.draw(rng, 220, 180)
        (x, y) = transform.apply_coords(np.array([[83.0, 103.0]]))[0]
        view = transform.apply_image(image).astype(float)
        if not (4 < x < 92 and 4 < y < 92):
            continue
        rows, columns = np.mgrid[:96, :96] + 0.5
        assert math.hypot((view * columns).sum() / view.sum() - x, (view * rows).sum() / view.sum() - y) < 0.15


def test_inverse_undoes_coordinates():
    transform = WILD.draw(np.random.default_rng(1), 70, 90)
    points = np.array([[0.0, 0.0], [90.0, 70.0], [12.5, 33.0]])
    assert np.allclose(transform.inverse().apply_coords(transform.apply_coords(points)), points)
    assert transform.inverse().output_size == (70, 90)


def test_crops_have_the_drawn_area_and_stay_in_the_image():
    rng = np.random.default_rng(0)
    geometry = Geometry(size=64, crop_area=(0.3, 1.0))
    shares, ratios = [], []
    for _ in range(400):
        window = geometry.draw(rng, 100, 200).inverse().apply_coords(np.array([[0.0, 0.0], [64.0, 64.0]]))
        assert (window >= -1e-9).all() and (window <= np.array([200, 100]) + 1e-9).all()
        w, h = (window[1] - window[0]) / (200, 100)
        shares.append(w * h)
        ratios.append(w / h)
    assert 0.3 <= min(shares) < 0.33 and 0.97 < max(shares) <= 1 + 1e-9
    assert abs(np.mean(shares) - 0.65) < 0.03  # the mean of a uniform draw from 0.3..1
    assert 0.75 <= min(ratios) and max(ratios) <= 4 / 3 and abs(np.log(ratios).mean()) < 0.03


def test_rotation_scale_and_shift_are_in_range():
    rng = np.random.default_rng(0)
    geometry = Geometry(size=100, rotation=10.0, scale=(0.9, 1.2), shift=0.05)
    angles, scales, shifts = [], [], []
    for _ in range(300):
        matrix = geometry.draw(rng, 100, 100).matrix
        angles.append(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])))
        scales.append(math.sqrt(np.linalg.det(matrix[:, :2])))
        shifts.append(matrix @ (50, 50, 1) - 50)
    assert -10 <= min(angles) < -9 and 9 < max(angles) <= 10
    assert 0.9 <= min(scales) < 0.92 and 1.18 < max(scales) <= 1.2
    assert 4.5 < np.abs(shifts).max() <= 5 + 1e-9


def test_views_keep_the_given_centres():
    rng = np.random.default_rng(2)
    geometry = Geometry(size=80, crop_area=(0.2, 0.6), scale=(0.8, 1.5), shift=0.2, flip=0.5)
    moved_some = False
    for _ in range(200):
        centres = rng.uniform(0, 1, (3, 2)) * (150, 120)
        state = rng.bit_generator.state
        free = geometry.draw(rng, 120, 150).apply_coords(centres)
        rng.bit_generator.state = state
        held = geometry.draw(rng, 120, 150, centres).apply_coords(centres)
        assert (held >= -1e-6).all() and (held <= 80 + 1e-6).all()
        if ((free >= 0) & (free <= 80)).all():
            assert np.allclose(held, free)  # nothing to correct, nothing changed
        else:
            moved_some = True
    assert moved_some


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"size": 0}, "SIZE"),
        ({"crop_area": (0.0, 1.0)}, "CROP_AREA"),
        ({"crop_area": (0.5, 1.5)}, "CROP_AREA"),
        ({"scale": (1.2, 0.8)}, "SCALE"),
        ({"flip": 1.5}, "FLIP"),
        ({"shift": -0.1}, "SHIFT"),
        ({"rotation": -1}, "ROTATION"),
    ],
)
def test_impossible_draws_are_refused(options, key):
    with pytest.raises(ValueError, match=f"INPUT.{key}"):
        Geometry(**{"size": 32, **options})


# ---- boxes ----------------------------------------------------------------------------------------------------


def test_boxes_are_clipped_and_lost_below_a_quarter():
    transform = AffineTransform([[1, 0, -50], [0, 1, 0]], (100, 100), (100, 200))
    boxes = np.array(
        [
            [60, 10, 90, 30],  # inside
            [40, 10, 80, 30],  # 30 of 40 columns visible
            [20, 10, 60, 30],  # exactly a quarter
            [19, 10, 59.9, 30],  # a little less
            [0, 0, 40, 40],  # outside
            [60, 50, 60.9, 90],  # thinner than a pixel
        ],
        float,
    )
    moved, kept = move_boxes(transform, boxes)
    assert kept.tolist() == [True, True, True, False, False, False]
    assert np.array_equal(moved[:3], [[10, 10, 40, 30], [0, 10, 30, 30], [0, 10, 10, 30]])


def test_no_box_stays_no_box():
    moved, kept = move_boxes(WILD.draw(np.random.default_rng(0), 50, 50), np.zeros((0, 4)))
    assert moved.shape == (0, 4) and kept.shape == (0,)


# ---- shrinking -------------------------------------------------------------------------------------------------


def ellipse(rng, height, width):
    rows, columns = np.mgrid[:height, :width]
    y, x, b, a = (rng.uniform(low, high) for low, high in ((0, height), (0, width), (2, height / 2), (2, width / 2)))
    return ((rows - y) / b) ** 2 + ((columns - x) / a) ** 2 < 1


def test_a_mask_by_hand():
    """Three pixels to two: each target pixel covers one and a half."""
    mask = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]], bool)
    # Columns (0, 1/3, ...): the middle one counts a third for each side; rows alike.
    across = np.array([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    expected = np.rint(255 * across @ mask @ across.T)
    assert np.array_equal(shrink_mask(mask, (2, 2)), expected.astype(np.uint8))
    assert expected.tolist() == [[85.0, 142.0], [28.0, 85.0]]


@pytest.mark.parametrize("size", [(100, 75), (97, 61), (50, 50), (3, 2), (200, 40), (33, 150)])
def test_masks_are_shrunk_as_opencv_shrinks_them(size):
    """Anywhere, across the border; whole sides kept. At a tie (parts of whole pixels) sums may round the other way."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = ellipse(rng, 150, 200)
        expected = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
        found = shrink_mask(mask, size)
        assert found.dtype == np.uint8 and np.abs(found.astype(int) - expected).max() <= 1
        assert (found != expected).mean() < 1e-2


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_and_a_full_mask(value):
    assert (shrink_mask(np.full((40, 30), value), (13, 11)) == 255 * value).all()
    assert (shrink_mask(np.full((40, 30), value), (30, 40)) == 255 * value).all()


def test_only_a_side_that_shrinks_much_is_averaged():
    transform = AffineTransform([[0.7, 0, 0], [0, 0.5, 0]], (200, 420), (400, 600))
    assert transform._shrunk_size(noise(400, 600)) == (600, 200)


# ---- photometry -----------------------------------------------------------------------------------------------


def test_photometry_off_is_the_identity():
    assert np.array_equal(Photometry().draw(np.random.default_rng(0)), np.arange(256))


def test_photometry_follows_its_formula():
    table = Photometry(0.1, 0.2, 0.3).draw(np.random.default_rng(7))
    assert table.dtype == np.uint8 and (np.diff(table.astype(int)) >= 0).all()
    rng = np.random.default_rng(7)
    gamma, contrast, brightness = 1 + rng.uniform(-0.3, 0.3), 1 + rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.1)
    for level in range(256):
        value = ((level / 255) ** gamma - 0.5) * contrast + 0.5 + brightness
        assert table[level] == round(255 * min(1.0, max(0.0, value)))


def test_photometry_refuses_an_inversion():
    with pytest.raises(ValueError, match="INPUT.CONTRAST"):
        Photometry(contrast=1.0)
