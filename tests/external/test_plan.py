"""The file of an external validation, and its mistakes."""

import pytest

from fx_d2.data.catalog import register_datasets
from fx_d2.data.errors import DataError
from fx_d2.external.plan import Plan
from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.schedule import Unit

pytestmark = pytest.mark.usefixtures("fresh_catalog")
HEADS = {Unit("net", "mask"): UnitClasses(("Left Lung", "Right Lung")), Unit("net", "cls"): UnitClasses(("Mass",))}


def load(tmp_path, scores):
    path = tmp_path / "plan.yaml"
    path.write_text(f"external:\n  scores:\n    {scores}\n")
    return Plan.load(str(path))


def test_one_class_or_several(tmp_path, cohort):
    plan = load(
        tmp_path,
        "phantom_heart/mask: {head: net/mask, classes: {Left Lung: Left Lung, Heart: [Right Lung, Left Lung]}}",
    )
    (pairing,) = plan.pairings
    assert pairing.truth == Unit("phantom_heart", "mask") and pairing.head == Unit("net", "mask")
    assert pairing.classes == {"Left Lung": ("Left Lung",), "Heart": ("Right Lung", "Left Lung")}
    pairing.check(register_datasets([cohort / "phantoms" / "phantoms.yaml"]), HEADS)


@pytest.mark.parametrize(
    "scores, message",
    [
        (
            "phantom_hart/mask: {head: net/mask, classes: {Heart: Left Lung}}",
            "no dataset 'phantom_hart'; did you mean 'phantom_heart'",
        ),
        (
            "phantom_screen/mask: {head: net/mask, classes: {Heart: Left Lung}}",
            "phantom_screen has no mask; it has cls",
        ),
        (
            "phantom_heart/mask: {head: nut/mask, classes: {Heart: Left Lung}}",
            "no unit 'nut/mask'; did you mean 'net/mask'",
        ),
        ("phantom_heart/mask: {head: net/mask, classes: {Hart: Left Lung}}", "phantom_heart/mask has no class 'Hart'"),
        (
            "phantom_heart/mask: {head: net/mask, classes: {Heart: Left Lumg}}",
            "net/mask has no class 'Left Lumg'; did you mean 'Left Lung'",
        ),
        (
            "phantom_heart/mask: {head: net/cls, classes: {Heart: Mass}}",
            "net/cls is of another task than phantom_heart/mask",
        ),
        ("phantom_heart/mask: {head: net, classes: {Heart: Mass}}", "head: unit 'net' is not of the form"),
        ("phantom_heart: {head: net/mask, classes: {Heart: Mass}}", "unit 'phantom_heart' is not of the form"),
        ("phantom_heart/mask: {head: net/mask, classes: {Heart: []}}", "a list of names is needed"),
        ("phantom_heart/mask: {head: net/mask}", "key 'classes' is missing"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path, cohort, scores, message):
    with pytest.raises(DataError, match=message) as error:
        for pairing in load(tmp_path, scores).pairings:
            pairing.check(register_datasets([cohort / "phantoms" / "phantoms.yaml"]), HEADS)
    assert str(tmp_path / "plan.yaml") in str(error.value)


def test_the_packaged_plan_is_read(tmp_path):
    plan = Plan.load("external/synthetic.yaml")
    assert {pairing.truth.task for pairing in plan.pairings} == {"cls", "box", "mask"}
    assert plan.files == ("real_lungs.yaml",)
