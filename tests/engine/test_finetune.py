"""Fine-tuning from a checkpoint: what loads, what is new, what trains, and from how few images."""

import logging
from pathlib import Path

import pytest
import torch

from fx_d2.engine.build import build_schedule, build_trainer, prepare
from tests.tiny import tiny_config

pytestmark = pytest.mark.usefixtures("fresh_catalog")


def start(cfg):
    Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    prepare(cfg)
    return build_trainer(cfg, resume=False)


@pytest.fixture
def pretrained(cohort, tmp_path):
    """A checkpoint of a network that knows two datasets (not trained: the start is random enough)."""
    cfg = tiny_config(
        cohort, tmp_path / "pretrained", **{"FX.CYCLE.UNITS": ["phantom_screen/cls", "phantom_heart/box"]}
    )
    torch.manual_seed(7)
    trainer = start(cfg)
    path = tmp_path / "pretrained.pth"
    torch.save({"model": trainer.student.state_dict(), "classes": {}}, path)
    return path


def finetuning(cohort, tmp_path, weights, **overrides):
    values = {
        "FX.CYCLE.UNITS": ["phantom_emergency/box", "phantom_screen/cls"],
        "FX.CYCLE.COUNT": 1,
        "FX.EVAL.CYCLES": 0,
        "FX.EVAL.BEST": "student/mean",
        "MODEL.WEIGHTS": str(weights),
        **overrides,
    }
    return tiny_config(cohort, tmp_path / "finetuned", **values)


def test_a_new_dataset_has_fresh_heads_and_the_log_names_them(cohort, tmp_path, pretrained, caplog):
    stored = torch.load(pretrained)["model"]
    with caplog.at_level(logging.INFO, logger="fx_d2"):
        student = start(finetuning(cohort, tmp_path, pretrained)).student
    fresh = [name for name in student.state_dict() if ".phantom_emergency." in name]
    for name, tensor in student.state_dict().items():
        assert name in fresh or torch.equal(tensor, stored[name]), name
    (warning,) = [r.getMessage() for r in caplog.records if "are new" in r.getMessage()]
    assert warning.startswith(f"{len(fresh)} tensors are new, with their random start: {fresh[0]}")
    table = next(r.getMessage() for r in caplog.records if r.getMessage().startswith("weights loaded"))
    assert "box decoder phantom_emergency" in table and "box decoder phantom_heart" not in table
    # What the file has beyond it is listed below, with the reason.
    unused = sum(1 for name in stored if ".phantom_heart." in name)
    assert f"{unused} (" in table.splitlines()[-1]


TRAINED = {
    "full": ("backbone.", "heads.box.", "heads.cls."),
    "head": ("heads.box.branches.", "heads.box.decoders.", "heads.box.selectors.", "heads.cls.branches."),
    "backbone": ("backbone.",),
}


@pytest.mark.parametrize("mode", list(TRAINED))
def test_one_key_says_what_trains(cohort, tmp_path, pretrained, mode):
    cfg = finetuning(cohort, tmp_path, pretrained, **{"FX.FINETUNE": mode})
    trainer = start(cfg)
    assert [s.plan.train for s in trainer.schedule.passes] == [{"full": "path"}.get(mode, mode)] * 2
    # All images, once.
    assert [s.images for s in trainer.schedule.passes] == [11, 12]
    before = {name: tensor.clone() for name, tensor in trainer.student.named_parameters()}
    trainer.train(0, trainer.max_iter)
    changed = {name for name, tensor in trainer.student.named_parameters() if not torch.equal(tensor, before[name])}
    assert all(name.startswith(TRAINED[mode]) for name in changed)
    for prefix in TRAINED[mode]:
        assert any(name.startswith(prefix) for name in changed), prefix


def test_few_images(cohort, tmp_path, pretrained):
    cfg = finetuning(cohort, tmp_path, pretrained, **{"DATASETS.FEW_SHOT": 3, "FX.FINETUNE": "full"})
    prepare(cfg)
    schedule = build_schedule(cfg)
    assert [s.images for s in schedule.passes] == [3, 3]
    cfg = finetuning(cohort, tmp_path, pretrained, **{"DATASETS.FEW_SHOT": 13})
    with pytest.raises(ValueError, match="DATASETS.FEW_SHOT asks for 13 training images, phantom_emergency/box has 11"):
        build_schedule(cfg)


def test_backbone_of_the_file_alone(cohort, tmp_path, pretrained):
    stored = torch.load(pretrained)["model"]
    student = start(finetuning(cohort, tmp_path, pretrained, **{"MODEL.WEIGHTS_PART": "backbone"})).student
    for name, tensor in student.state_dict().items():
        same = name in stored and torch.equal(tensor, stored[name])
        # Norms, biases and the first sampling offsets start alike in every network.
        constant = tensor.unique().numel() == 1 or name.endswith("sampling_offsets.bias")
        assert same if name.startswith("backbone.") else (not same or constant), name
