"""Fingerprints of pictures: copies are recognised, other pictures are not; the search against a plain double loop."""

import cv2
import numpy as np
import pytest

from fx_d2.inspection.fingerprint import CANDIDATE, SAME, SIDE, coarse, fine, thumbnail, thumbnails, without_bars
from fx_d2.inspection.similar import find_similar
from fx_d2.phantoms import draw


def picture(patient: int, dataset: str = "phantom_screen") -> np.ndarray:
    image = draw(dataset, patient, seed=3, size=256).image
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def window(image: np.ndarray, low: float, high: float) -> np.ndarray:
    bottom, top = np.percentile(image, [low, high])
    return (np.clip((image - bottom) / (top - bottom), 0, 1) * 255).astype(np.uint8)


def jpeg(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE)


COPIES = {
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "enlarged": lambda image: cv2.resize(image, (700, 700), interpolation=cv2.INTER_CUBIC),
    "JPEG": jpeg,
    "window": lambda image: window(image, 5, 95),
    "gamma": lambda image: ((image / 255.0) ** 2 * 255).astype(np.uint8),
    "equalised": cv2.equalizeHist,
}


def test_a_thumbnail_holds_ranks():
    # Two grey levels, half each: their mid-ranks are 1/4 and 3/4.
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[:, SIDE // 2 :] = 200
    small = thumbnail(image)
    assert small.shape == (SIDE, SIDE)
    assert set(np.unique(small)) == {round(0.25 * 255), round(0.75 * 255)}
    assert (small[:, 0] == 64).all() and (small[:, -1] == 191).all()


@pytest.mark.parametrize("change", COPIES)
@pytest.mark.parametrize("patient", [0, 7])
def test_a_changed_copy_is_found(change, patient):
    original = picture(patient)
    found = list(find_similar(np.stack([thumbnail(original), thumbnail(COPIES[change](original))])))
    assert [(match.first, match.second, match.how) for match in found] == [(0, 1, "copy")]
    assert SAME <= found[0].correlation <= 1


@pytest.mark.parametrize(
    ("how", "change"),
    [
        ("mirrored", lambda image: image[:, ::-1]),
        ("inverted", lambda image: 255 - image),
        ("mirrored and inverted", lambda image: 255 - image[:, ::-1]),
    ],
)
def test_mirrored_and_inverted_copies_are_found_and_named(how, change):
    original = picture(4)
    pair = np.stack([thumbnail(original), thumbnail(np.ascontiguousarray(change(original)))])
    assert [match.how for match in find_similar(pair)] == [how]


def test_a_strongly_cropped_copy_is_not_found():
    """What the documentation says: a crop by 5 % at each side is another picture."""
    original = picture(4)
    cropped = original[13:-13, 13:-13]
    assert list(find_similar(np.stack([thumbnail(original), thumbnail(cropped)]))) == []


def test_different_patients_are_not_confused():
    small = np.stack([thumbnail(picture(patient)) for patient in range(24)])
    assert list(find_similar(small)) == []


def test_flat_pictures_resemble_nothing():
    small = np.stack([thumbnail(np.full((64, 64), value, np.uint8)) for value in (0, 0, 90)])
    assert not coarse(small).any() and list(find_similar(small)) == []


def test_the_search_finds_what_a_double_loop_finds():
    rng = np.random.default_rng(0)
    small = [thumbnail(picture(patient)) for patient in range(6)]
    # Copies with more and more noise: some just above, some below the threshold.
    for sigma in np.linspace(0, 60, 24):
        noisy = small[0].astype(float) + rng.normal(0, sigma, small[0].shape)
        small.append(thumbnail(np.clip(noisy, 0, 255).astype(np.uint8)))
    small = np.stack(small)
    rough, exact = coarse(small), fine(small)
    expected = {
        (i, j)
        for i in range(len(small))
        for j in range(i + 1, len(small))
        if float(rough[i] @ rough[j]) >= CANDIDATE and float(exact[i] @ exact[j]) >= SAME
    }
    assert 0 < len(expected) < 24 * 25 // 2
    assert {(match.first, match.second) for match in find_similar(small)} == expected


def test_bars_are_taken_off_and_dark_borders_of_the_film_are_not():
    film = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(np.uint8)
    barred = cv2.copyMakeBorder(film, 3, 5, 7, 11, cv2.BORDER_CONSTANT, value=9)
    barred[0, 0] = 13  # compression leaves a few grey levels
    assert (without_bars(barred) == film).all()
    assert without_bars(film).shape == film.shape
    assert without_bars(np.zeros((20, 20), np.uint8)).shape == (20, 20)
    # A small picture on a large empty page is left whole.
    page = np.zeros((100, 100), np.uint8)
    page[:30, :30] = film[:30, :30]
    assert without_bars(page).shape == (100, 100)
    assert len(thumbnails(film)) == 1 and len(thumbnails(barred)) == 2
    assert (thumbnails(barred)[1] == thumbnail(film)).all()
