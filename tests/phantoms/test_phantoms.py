"""The synthetic cohort: patients are reproducible and truth matches what is visible."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fx_d2.phantoms import DATASETS, draw
from fx_d2.phantoms.findings import ENLARGED_CTR, NORMAL_CTR
from fx_d2.phantoms.recipes import images_of, sample_patient


@pytest.fixture(scope="module")
def pictures():
    """(dataset, patient) -> Radiograph for one deck of each dataset at a quarter of the usual area."""
    return {(d, p): draw(d, p, size=128) for d in DATASETS for p in range(len(DATASETS[d].deck))}


def test_image_depends_on_nothing_but_its_name(pictures):
    for dataset, patient in reversed(sorted(pictures)[::9]):
        again, first = draw(dataset, patient, size=128), pictures[dataset, patient]
        assert np.array_equal(again.image, first.image)
        assert again.labels == first.labels
        assert [n for n, _ in again.instances] == [n for n, _ in first.instances]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(again.instances, first.instances, strict=True))


def test_other_seed_dataset_patient_and_image_give_other_pictures():
    keys = [("phantom_screen", *rest) for rest in ((0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0))]
    images = [draw(*key, size=64).image for key in [*keys, ("phantom_ward", 0, 0, 0)]]
    for number, image in enumerate(images):
        assert not any(np.array_equal(image, other) for other in images[:number])


def test_second_image_of_a_patient_shows_the_same_patient():
    first, second = (draw("phantom_heart", 3, number, size=128) for number in range(2))
    assert first.labels == second.labels and np.array_equal(first.patient.heart, second.patient.heart)
    assert first.mask("Heart").sum() == pytest.approx(second.mask("Heart").sum(), rel=0.2)
    counts = [images_of(0, "phantom_heart", patient) for patient in range(300)]
    assert set(counts) == {1, 2} and 0.08 < counts.count(2) / 300 < 0.28


def test_types_and_sizes(pictures):
    kinds = {d: (pictures[d, 0].image.dtype, pictures[d, 0].image.shape) for d in DATASETS}
    assert kinds == {
        "phantom_screen": (np.uint8, (128, 128)),
        "phantom_ward": (np.uint8, (128, 128)),
        "phantom_heart": (np.uint16, (128, 128)),
        "phantom_emergency": (np.uint8, (128, 144)),
    }
    assert pictures["phantom_heart", 0].image.max() > 255


def test_left_is_the_patients_left(pictures):
    for picture in pictures.values():
        left, heart, right = (np.nonzero(picture.mask(name))[1].mean() for name in ("Left Lung", "Heart", "Right Lung"))
        assert right < heart < left


def test_right_dome_is_higher():
    """y of the diaphragm half way between midline and chest wall, on the contours; y grows downwards."""
    for patient in range(40):
        anatomy, _ = sample_patient(0, "phantom_screen", patient)
        middle = {}
        for side, lung in anatomy.lungs.items():
            u = np.abs(lung[:, 0]) / anatomy.half_width
            middle[side] = lung[(u > 0.4) & (u < 0.6), 1].max()
        assert middle["Right"] < middle["Left"]


def test_cardiothoracic_ratio_measured_on_the_masks(pictures):
    for (dataset, patient), picture in pictures.items():
        heart = np.flatnonzero(picture.mask("Heart").any(axis=0))
        lungs = np.flatnonzero((picture.mask("Left Lung") | picture.mask("Right Lung")).any(axis=0))
        measured = np.ptp(heart) / np.ptp(lungs)
        assert measured == pytest.approx(picture.patient.ctr, abs=0.04), (dataset, patient)
        assert ("Cardiomegaly" in picture.labels) == (picture.patient.ctr > 0.55)


def test_no_ratio_between_normal_and_enlarged():
    ratios = np.array([sample_patient(0, dataset, patient)[0].ctr for dataset in DATASETS for patient in range(40)])
    normal = (ratios >= NORMAL_CTR[0]) & (ratios <= NORMAL_CTR[1])
    enlarged = (ratios >= ENLARGED_CTR[0]) & (ratios <= ENLARGED_CTR[1])
    assert (normal | enlarged).all() and enlarged.any() and normal.any()
    assert NORMAL_CTR[1] <= 0.50 and ENLARGED_CTR[0] > 0.55


def test_labels_are_the_card_of_the_deck(pictures):
    for dataset, recipe in DATASETS.items():
        drawn = [sorted(pictures[dataset, p].labels) for p in range(len(recipe.deck))]
        assert sorted(drawn) == sorted(sorted(set(card)) for card in recipe.deck)


def test_each_emergency_mask_is_frequent(pictures):
    shown = [pictures[key].labels for key in pictures if key[0] == "phantom_emergency"]
    for name in DATASETS["phantom_emergency"].tasks["mask"]:
        assert np.mean([name in labels for labels in shown]) >= 0.4


def test_findings_lie_in_the_lung_fields(pictures):
    for picture in pictures.values():
        lungs = picture.mask("Left Lung") | picture.mask("Right Lung")
        for name, mask in picture.instances:
            if name in ("Nodule", "Consolidation", "Effusion", "Pneumothorax"):
                assert (mask & ~lungs).sum() <= 0.02 * mask.sum()
        assert not (picture.mask("Left Lung") & picture.mask("Right Lung")).any()
        assert (lungs & picture.mask("Heart")).sum() < 0.02 * lungs.sum()


def test_nodules_are_round_and_of_the_stated_size(pictures):
    nodules = [mask for picture in pictures.values() for name, mask in picture.instances if name == "Nodule"]
    assert len(nodules) >= 10
    for mask in nodules:
        radius = 256 / 128 * np.sqrt(mask.sum() / np.pi)
        assert 8 <= radius <= 21  # 10 to 18 pixels at 256, times the zoom
        height, width = (np.ptp(axis) + 1 for axis in np.nonzero(mask))
        assert 0.6 < height / width < 1.7


@pytest.mark.parametrize(
    ("name", "brighter"), [("Nodule", True), ("Consolidation", True), ("Effusion", True), ("Pneumothorax", False)]
)
def test_findings_differ_from_the_lung_around_them(pictures, name, brighter):
    """Truth must be visible: compare with the ring of lung around it."""
    differences = []
    for picture in pictures.values():
        lungs = (picture.mask("Left Lung") | picture.mask("Right Lung")).astype(np.uint8)
        lungs = cv2.erode(lungs, np.ones((3, 3), np.uint8)).astype(bool)
        top = np.iinfo(picture.image.dtype).max
        for found, mask in picture.instances:
            if found == name:
                ring = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool) & ~mask & lungs
                differences.append((picture.image[mask & lungs].mean() - picture.image[ring].mean()) / top)
    differences = np.array(differences) * (1 if brighter else -1)
    assert len(differences) >= 4
    assert (differences > 0.02).mean() >= 0.95 and np.median(differences) > 0.06


def test_exposure_is_a_radiograph(pictures):
    """Air outside is black, lungs are darker than the heart, the abdomen is bright."""
    for picture in pictures.values():
        grey = picture.image / np.iinfo(picture.image.dtype).max
        heart, lung = grey[picture.mask("Heart")].mean(), grey[picture.mask("Right Lung")].mean()
        assert heart > lung + 0.15
        assert grey[-6:, grey.shape[1] // 2 - 10 : grey.shape[1] // 2 + 10].mean() > 0.6
        assert np.quantile(grey, 0.01) < 0.15
