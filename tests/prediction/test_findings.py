"""Harmonised findings: means and spreads by hand, the shipped mapping against the published class names."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from fx_d2.data.builtin import builtin_records
from fx_d2.data.errors import DataError
from fx_d2.data.user_datasets import load_user_datasets
from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.phantoms import write_cohort
from fx_d2.prediction.findings import FindingMap
from fx_d2.schedule import Unit

NIH, SIIM, BOX = Unit("nih_cxr14", "cls"), Unit("siim_acr", "cls"), Unit("siim_acr", "box")
CLASSES = {
    NIH: UnitClasses(("Pneumothorax", "Hernia")),
    SIIM: UnitClasses(("Pneumothorax",)),
    BOX: UnitClasses(("Pneumothorax",)),
}


def boxes(*scores):
    instances = Instances((10, 10))
    instances.pred_boxes = Boxes(torch.zeros(len(scores), 4))
    instances.scores = torch.tensor(scores)
    instances.pred_classes = torch.zeros(len(scores), dtype=torch.int64)
    return {"instances": instances}


def test_agreement_of_the_heads():
    outputs = {
        NIH: {"scores": torch.tensor([0.9, 0.25])},
        SIIM: {"scores": torch.tensor([0.5])},
        BOX: boxes(0.3, 0.75, 0.1),
    }
    pneumothorax, hernia = FindingMap.load().join(CLASSES, outputs)
    assert pneumothorax.name == "Pneumothorax" and hernia.name == "Hernia (nih_cxr14)"
    assert pneumothorax.heads == pytest.approx({"nih_cxr14/cls": 0.9, "siim_acr/cls": 0.5})
    assert pneumothorax.boxes == {"siim_acr/box": 0.75}
    # Mean of 0.9 and 0.5, and their distance from it.
    assert (pneumothorax.mean, pneumothorax.spread, pneumothorax.count) == pytest.approx((0.7, 0.2, 2))
    assert (pneumothorax.low, pneumothorax.high) == pytest.approx((0.5, 0.9))
    assert (hernia.mean, hernia.spread, hernia.count) == pytest.approx((0.25, 0.0, 1))


def test_a_finding_without_image_level_heads_has_no_mean():
    (finding,) = FindingMap.load().join(CLASSES, {BOX: boxes()})
    assert finding.mean is None and finding.spread is None and finding.low is None and finding.count == 0
    assert finding.boxes == {"siim_acr/box": 0.0}


def test_two_classes_of_a_head_that_mean_one_finding():
    mapping = FindingMap({"Air": {"nih_cxr14": ("Pneumothorax", "Hernia")}})
    (finding,) = mapping.join(CLASSES, {NIH: {"scores": torch.tensor([0.1, 0.6])}})
    assert finding.heads == pytest.approx({"nih_cxr14/cls": 0.6})


def test_the_shipped_mapping_names_real_classes_only(cohort, tmp_path):
    """Every class of the published datasets is spelt as published; the phantoms' as their YAML declares them."""
    mapping = FindingMap.load()
    phantoms = load_user_datasets(cohort / "phantoms" / "phantoms.yaml")
    images = {"train": 1, "val": 1, "test": 1}
    population = load_user_datasets(write_cohort(tmp_path, images=images, size=64, preset="pretraining"))
    known = builtin_records({}) | phantoms | population
    assert len(known) == 15 + 4 + 5
    for finding, datasets in mapping.findings.items():
        for dataset, labels in datasets.items():
            classes = {name for task in known[dataset].tasks.values() for name in task.classes}
            assert set(labels) <= classes, (finding, dataset)
    pneumothorax = mapping.findings["Pneumothorax"]
    assert {"chexpert", "nih_cxr14", "mimic_cxr", "siim_acr", "candid_ptx", "chestx_det"} <= set(pneumothorax)
    assert mapping.name("nih_cxr14", "Effusion") == mapping.name("vindr_cxr", "Pleural effusion") == "Pleural Effusion"


def write(tmp_path, text):
    path = tmp_path / "findings.yaml"
    path.write_text(text)
    return path


def test_a_users_mapping_takes_the_place_of_the_shipped_one(tmp_path):
    mapping = FindingMap.load(write(tmp_path, "findings:\n  Collapse: {nih_cxr14: [Pneumothorax, Atelectasis]}\n"))
    mapping.check(CLASSES)
    assert mapping.name("nih_cxr14", "Pneumothorax") == "Collapse"
    assert mapping.name("siim_acr", "Pneumothorax") == "Pneumothorax (siim_acr)"
    assert list(mapping.table(CLASSES)) == ["Collapse", "Hernia (nih_cxr14)", "Pneumothorax (siim_acr)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finding: {}\n", "unknown key 'finding'; did you mean 'findings'"),
        ("findings: {A: [x]}\n", "findings.A: a mapping is needed"),
        ("findings: {A: {nih_cxr14: 3}}\n", "3 is not text"),
        (
            "findings: {A: {nih_cxr14: Mass}, B: {nih_cxr14: Mass}}\n",
            "'Mass' of nih_cxr14 stands under 'A' and under 'B'",
        ),
        ("findings: {A: {nih_cxr14: Pneumotorax}}\n", "no class 'Pneumotorax'; did you mean 'Pneumothorax'"),
    ],
)
def test_mistakes_in_a_mapping(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        FindingMap.load(write(tmp_path, text)).check(CLASSES)
    with pytest.raises(DataError, match="is not there"):
        FindingMap.load(tmp_path / "gone.yaml")
