"""The population behind the preset pretraining: truth is exact, knobs keep their ranges, nothing depends on order."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
import yaml
from pycocotools import mask as coco_mask

from fx_d2.phantoms import PRESETS, write_cohort
from fx_d2.phantoms.population import DATASETS, draw, ranges
from fx_d2.phantoms.population.disease import FINDINGS, sample_names
from fx_d2.phantoms.population.patient import sample_patient, sample_pose

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FIRST = {"synthetic_chest": 40, "synthetic_clinic": 24, "synthetic_ward": 12}


@pytest.fixture(scope="module")
def pictures():
    """(dataset, patient) -> Radiograph."""
    return {(d, p): draw(d, p, size=160) for d, count in FIRST.items() for p in range(count)}


def instance(picture, name):
    (mask,) = (mask for n, mask in picture.instances if n == name)
    return mask


def whole(picture):
    """Whether both lungs lie in the picture with a pixel to spare."""
    lungs = picture.mask("Left Lung") | picture.mask("Right Lung")
    return not (lungs[0].any() or lungs[-1].any() or lungs[:, 0].any() or lungs[:, -1].any())


def test_same_arguments_same_bytes_in_any_order(pictures):
    for dataset, patient in sorted(pictures)[::-9]:
        first, again = pictures[dataset, patient], draw(dataset, patient, size=160)
        assert np.array_equal(first.image, again.image) and first.labels == again.labels
        assert [n for n, _ in first.instances] == [n for n, _ in again.instances]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first.instances, again.instances, strict=True))


def test_other_seed_dataset_patient_and_image_differ():
    keys = [("synthetic_chest", 0, 0, 0), ("synthetic_chest", 0, 0, 1), ("synthetic_chest", 1, 0, 0)]
    keys += [("synthetic_chest", 0, 1, 0), ("synthetic_ward", 0, 0, 0)]
    assert len({draw(*key, size=64).image.tobytes() for key in keys}) == len(keys)


def test_cardiothoracic_ratio_of_the_masks_is_the_sampled_one(pictures):
    seen = 0
    for picture in pictures.values():
        assert ("Cardiomegaly" in picture.labels) == (picture.patient.ctr > ranges.ENLARGED)
        if not whole(picture):
            continue
        seen += 1
        heart = np.flatnonzero(picture.mask("Heart").any(axis=0))
        lungs = np.flatnonzero((picture.mask("Left Lung") | picture.mask("Right Lung")).any(axis=0))
        width = lungs[-1] - lungs[0] + 1
        assert abs(picture.patient.ctr * width - (heart[-1] - heart[0] + 1)) <= 2  # one pixel at each of two borders
    assert seen > 20


def test_left_is_the_patients_left(pictures):
    for picture in pictures.values():
        for what in ("Lung", "Lung Field", "Clavicle"):
            left, right = (np.nonzero(picture.mask(f"{side} {what}"))[1].mean() for side in ("Left", "Right"))
            assert right < left
        heart = np.nonzero(picture.mask("Heart"))[1].mean()
        lungs = picture.mask("Left Lung") | picture.mask("Right Lung")
        assert heart > np.nonzero(lungs.any(axis=0))[0].mean()  # the apex points to the left


def test_fields_are_lungs_without_heart_and_lungs_reach_behind_it(pictures):
    for picture in pictures.values():
        heart = picture.mask("Heart")
        for side in ("Left", "Right"):
            lung, field = picture.mask(f"{side} Lung"), picture.mask(f"{side} Lung Field")
            assert not (field & ~lung).any() and (field & heart).sum() <= 0.01 * field.sum()
        assert (picture.mask("Left Lung") & heart).sum() > 0.03 * heart.sum()
        assert not (picture.mask("Left Lung") & picture.mask("Right Lung")).any()


def test_findings_lie_in_one_lung_field(pictures):
    count = 0
    for picture in pictures.values():
        fields = [picture.mask(f"{side} Lung Field") for side in ("Left", "Right")]
        for name, mask in picture.instances:
            if name in FINDINGS:
                count += 1
                assert mask.any() and name in picture.labels
                assert sorted(int((mask & ~field).sum()) for field in fields)[0] == 0
    assert count > 40


def test_opacities_are_brighter_and_air_is_darker_than_the_lung_around(pictures):
    signs = {"Nodule": 1, "Mass": 1, "Consolidation": 1, "Effusion": 1, "Pneumothorax": -1}
    found = []
    for picture in pictures.values():
        fields = picture.mask("Left Lung Field") | picture.mask("Right Lung Field")
        others = np.any([m for n, m in picture.instances if n in FINDINGS] or [np.zeros_like(fields)], axis=0)
        for name, mask in picture.instances:
            if name in signs:
                ring = cv2.dilate(mask.astype(np.uint8), np.ones((13, 13), np.uint8)).astype(bool) & fields & ~others
                if ring.sum() > 30:
                    found.append(signs[name] * (picture.image[mask].mean() - picture.image[ring].mean()))
    assert len(found) > 15 and np.mean(np.array(found) > 0) > 0.8


def test_every_knob_keeps_its_range_and_uses_it():
    for table in (ranges.BODY, ranges.UPRIGHT, ranges.BEDSIDE, ranges.EXPOSURE, ranges.DISEASE, *ranges.LOOKS.values()):
        rng = np.random.default_rng(0)
        draws = [vars(ranges.sample(rng, table)) for _ in range(200)]
        for name, (low, high) in table.items():
            values = np.array([draw[name] for draw in draws])
            assert low <= high and values.min() >= low and values.max() <= high
            assert np.ptp(values) >= 0.9 * (high - low)


def test_a_later_table_stands_for_an_earlier_one():
    knobs = ranges.sample(np.random.default_rng(0), {"a": (0, 1), "b": (5, 5)}, {"a": (7, 8)})
    assert 7 <= knobs.a <= 8 and knobs.b == 5


def test_the_population_is_mixed():
    rng = np.random.default_rng(1)
    patients = [sample_patient(rng, bool(n % 2)) for n in range(400)]
    assert np.mean([p.age < 16 for p in patients]) == pytest.approx(ranges.CHILDREN, abs=0.06)
    assert np.mean([p.female for p in patients]) == pytest.approx(ranges.FEMALE, abs=0.08)
    assert all(p.enlarged == bool(n % 2) for n, p in enumerate(patients))
    assert all(p.body.breast == 0 for p in patients if not p.female or p.age < 12)
    names = [sample_names(rng) for _ in range(600)]
    assert np.mean([not found and not enlarged for found, enlarged in names]) == pytest.approx(ranges.HEALTHY, abs=0.06)
    assert {name for found, _ in names for name in found} == set(FINDINGS)
    assert max(len(found) + enlarged for found, enlarged in names) == ranges.MOST_FINDINGS
    poses = [sample_pose(rng, patients[0], supine) for supine in (False, True) for _ in range(50)]
    assert all(0.3 < pose.scale <= 0.96 for pose in poses)


def test_cohort_on_disk_says_what_was_drawn(tmp_path):
    path = write_cohort(tmp_path, images={"train": 2, "val": 1, "test": 1}, size=64, preset="pretraining")
    assert path == tmp_path / "phantoms_pretraining" / "phantoms.yaml"
    declared = yaml.safe_load(path.read_text())["datasets"]
    assert list(declared) == list(DATASETS) == list(PRESETS["pretraining"].datasets) and len(declared) >= 4
    views = set()
    for name, recipe in DATASETS.items():
        assert list(declared[name]["tasks"]) == list(recipe.tasks)
        with (path.parent / name / "patients.csv").open() as file:
            views |= {row["view"] for row in csv.DictReader(file)}
        for task in {"box", "mask"} & set(recipe.tasks):
            content = json.loads(
                (path.parent / name / {"box": "boxes_coco.json", "mask": "masks_coco.json"}[task]).read_text()
            )
            names = {c["id"]: c["name"] for c in content["categories"]}
            for image in content["images"]:
                patient, number = image["file_name"][:-4].split("_")
                picture = draw(name, int(patient), int(number), size=64)
                truth = [(n, m) for n, m in picture.instances if n in recipe.tasks[task] and m.any()]
                stored = [a for a in content["annotations"] if a["image_id"] == image["id"]]
                assert [names[a["category_id"]] for a in stored] == [n for n, _ in truth]
                for annotation, (_, mask) in zip(stored, truth, strict=True):
                    x, y, w, h = (int(v) for v in annotation["bbox"])
                    assert mask[y : y + h, x : x + w].sum() == mask.sum()
                    assert mask[:, x].any() and mask[:, x + w - 1].any() and mask[y].any() and mask[y + h - 1].any()
                    if task == "mask":
                        assert np.array_equal(coco_mask.decode(annotation["segmentation"]), mask)
    assert views == {"PA", "AP"}
    pairs = declared["synthetic_fields"]["tasks"]["mask"]["lateral_pairs"]
    assert pairs == [["Left Lung Field", "Right Lung Field"], ["Left Clavicle", "Right Clavicle"]]


def test_unknown_preset_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no preset 'small'; there are quickstart, pretraining"):
        write_cohort(tmp_path, preset="small")
