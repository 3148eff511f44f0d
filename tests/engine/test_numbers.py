"""Numbers gone wrong, micro-batches, and units so small or empty that a division by zero is near."""

import json
import shutil

import cv2
import pytest
import torch
from detectron2.structures import Boxes, Instances

import replay_batch
from fx_d2.checkpoint import safe_load
from fx_d2.engine.build import build_trainer, prepare
from fx_d2.engine.final_evaluation import evaluate_and_report
from fx_d2.engine.nonfinite import pack_entry, unpack_entry
from fx_d2.modeling.reduce import MicroBatches
from tests.engine.runs import assert_same, read_metrics, short_config
from tests.tiny import make_batch, make_model

pytestmark = pytest.mark.usefixtures("fresh_catalog")
QUIET = {"FX.EVAL.CYCLES": 0, "FX.CYCLE.COUNT": 1}


def build(cohort, folder, **overrides):
    cfg = short_config(cohort, folder, **{**QUIET, **overrides})
    prepare(cfg)
    torch.manual_seed(0)
    return cfg, build_trainer(cfg, resume=False)


def poison(trainer, iterations, key="image"):
    """Makes the pixels of some batches not finite; the files keep their names."""

    def spoiled(batches):
        for number, batch in enumerate(batches):
            if number in iterations:
                for entry in batch:
                    entry[key] = entry[key].float() * float("inf")
            yield batch

    trainer.batches = spoiled(trainer.batches)


def test_stop_names_everything_and_keeps_the_batch(cohort, tmp_path):
    cfg, trainer = build(cohort, tmp_path)
    poison(trainer, {7})
    with pytest.raises(FloatingPointError) as error:
        trainer.train(0, trainer.max_iter)
    path = tmp_path / "nonfinite" / "iteration_0000007_process_0.pth"
    message = str(error.value)
    assert message.startswith(
        "loss is not finite at iteration 7 (cycle 1/1 phantom_heart/mask released 1/2): loss_dice nan"
    )
    assert ".png" in message and str(path) in message and "tools/dev/replay_batch.py" in message
    assert json.loads((tmp_path / "heartbeat.json").read_text())["state"] == "failed"
    stored = safe_load(path)
    assert stored["files"] == [entry["file_name"] for entry in stored["batch"]]
    found = replay_batch.replay(cfg, stored)
    assert found["module"] == "backbone.patch_embed.proj" and found["gradients"]
    # Without the poison the same step is sound: what went wrong is in the batch.
    for entry in stored["batch"]:
        entry["image"] = torch.zeros_like(entry["image"])
    assert replay_batch.replay(cfg, stored)["module"] is None


@pytest.mark.parametrize(("iteration", "place"), [(3, "locked 2/2"), (4, "released 1/2")])
def test_a_box_step_with_numbers_that_no_matching_takes(cohort, tmp_path, iteration, place):
    """The Hungarian matching refuses costs that are not finite, and knows neither unit nor image."""
    cfg, trainer = build(cohort, tmp_path)
    poison(trainer, {iteration})
    with pytest.raises(FloatingPointError) as error:
        trainer.train(0, trainer.max_iter)
    path = tmp_path / "nonfinite" / f"iteration_{iteration:07d}_process_0.pth"
    unit = f"iteration {iteration} (cycle 1/1 phantom_heart/box {place})"
    assert unit in str(error.value) and ".png" in str(error.value) and str(path) in str(error.value)
    stored = safe_load(path)
    assert replay_batch.replay(cfg, stored)["module"] == "backbone.patch_embed.proj"


def test_skip_leaves_no_trace_and_counts(cohort, tmp_path):
    cfg, trainer = build(
        cohort, tmp_path, **{"FX.NONFINITE.POLICY": "skip", "FX.NONFINITE.LIMIT": 3, "FX.LOG_PERIOD": 1}
    )
    before = {}

    def remember():
        state = {"model": trainer.student.state_dict(), "optimizer": trainer.optimizer.state_dict()["state"]}
        before[trainer.iter] = {name: value.clone() for name, value in state["model"].items()}

    step = trainer.run_step
    trainer.run_step = lambda: (step(), remember())
    poison(trainer, {4, 7, 8})
    trainer.train(0, trainer.max_iter)
    assert_same(before[3], before[4])
    assert_same(before[6], before[7])
    assert_same(before[6], before[8])
    assert trainer.skipped == 3
    assert [line["skipped_steps"] for line in read_metrics(tmp_path) if "skipped_steps" in line] == [1, 2, 3]
    cfg.FX.NONFINITE.LIMIT = 1
    trainer = build_trainer(cfg, resume=False)
    poison(trainer, {7, 8})
    with pytest.raises(FloatingPointError, match="2 such steps, FX.NONFINITE.LIMIT is 1"):
        trainer.train(0, trainer.max_iter)


def test_a_gradient_alone_is_found(cohort, tmp_path):
    _, trainer = build(cohort, tmp_path)
    parameter = trainer.student.heads["cls"].norm.bias
    parameter.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(FloatingPointError, match="gradient is not finite at iteration 0 .*gradient norm nan"):
        trainer.train(0, 1)


@pytest.mark.parametrize("unit", ["one/cls", "one/box", "one/mask"])
def test_a_kept_batch_comes_back(unit):
    for entry in make_batch(unit):
        back = unpack_entry(pack_entry(entry))
        assert back.keys() == entry.keys()
        for key, value in entry.items():
            if key == "instances":
                assert torch.equal(back[key].gt_boxes.tensor, value.gt_boxes.tensor)
                assert torch.equal(back[key].gt_classes, value.gt_classes)
            else:
                torch.testing.assert_close(back[key], value, equal_nan=True) if torch.is_tensor(value) else None


@pytest.mark.parametrize("unit", ["one/cls", "two/cls", "one/box", "one/mask"])
@pytest.mark.parametrize("parts", [2, 3])
def test_micro_batches_give_the_gradient_of_the_batch(unit, parts):
    """Losses and gradients against one pass over the whole batch: unknown labels, images without boxes, Dice."""
    batch, teacher = make_batch(unit, count=5), make_model().eval()
    model = make_model()
    model.heads["box"].options = model.heads["box"].options.__class__(
        **{**vars(model.heads["box"].options), "denoising_queries": 0}  # its pairs are drawn per forward pass
    )
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.Dropout | torch.nn.Dropout2d):
            module.eval()
    targets = [teacher.consistency_features(batch[part::parts]) for part in range(parts)]
    losses = model(batch, teacher=teacher.consistency_features(batch))
    sum(losses.values()).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)

    micro, means = MicroBatches(parts), {}
    for part in range(parts):
        with torch.no_grad(), micro.part(part, record=True):
            model(batch[part::parts], teacher=targets[part])
    for part in range(parts):
        with micro.part(part):
            of_part = model(batch[part::parts], teacher=targets[part])
        (sum(of_part.values()) / parts).backward()
        for name, value in of_part.items():
            means[name] = means.get(name, 0) + value.detach() / parts
    for name, value in losses.items():
        torch.testing.assert_close(means[name], value.detach(), rtol=1e-4, atol=1e-6, msg=name)
    for name, p in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(p.grad, expected[name], rtol=1e-3, atol=2e-5, msg=lambda t, n=name: f"{n}: {t}")


def test_accumulation_trains_as_the_large_batch(cohort, tmp_path):
    exact = {"MODEL.BOX.DENOISING.QUERIES": 0, "MODEL.MASK.DROPOUT": 0.0, "MODEL.SWIN.DROP_PATH_RATE": 0.0}
    exact |= {"FX.CYCLE.UNITS": ["phantom_screen/cls", "phantom_heart/box"], "SOLVER.BASE_LR": 1e-4}
    states = []
    for parts in (1, 2):
        _, trainer = build(cohort, tmp_path / str(parts), **exact, **{"SOLVER.ACCUMULATE": parts})
        trainer.train(0, trainer.max_iter)
        states.append(trainer.student.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=3e-5, rtol=0, msg=lambda t, n=name: f"{n}: {t}")


def degenerate(kind):
    """A batch of a unit that has almost nothing."""
    unit = {"unknown": "one/cls", "no_boxes": "one/box", "unknown_masks": "one/mask"}.get(kind, f"one/{kind}")
    batch = make_batch(unit, count=1)
    for entry in batch:
        if kind == "unknown":
            entry["labels"][:] = float("nan")
        elif kind == "no_boxes":
            entry["instances"] = Instances(
                (64, 64), gt_boxes=Boxes(torch.zeros(0, 4)), gt_classes=torch.zeros(0).long()
            )
        elif kind == "unknown_masks":
            entry["masks"][:] = 255
    return batch


@pytest.mark.parametrize("kind", ["cls", "box", "mask", "unknown", "no_boxes", "unknown_masks"])
def test_one_image_with_nothing_known_trains(kind):
    model = make_model()
    batch = degenerate(kind)
    losses = model(batch, teacher=make_model().eval().consistency_features(batch))
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_dataset_of_one_image_a_split_trains_and_is_evaluated(cohort, tmp_path):
    """One image a split, smaller than the batch: one known label, no box, no mask."""
    images = sorted((cohort / "phantoms").rglob("*.png"))[:3]
    (tmp_path / "images").mkdir()
    names = {split: f"{split}.png" for split in ("train", "val", "test")}
    for image, (split, name) in zip(images, names.items(), strict=True):
        shutil.copy(image, tmp_path / "images" / name)
        (tmp_path / f"{split}.txt").write_text(name + "\n")
    (tmp_path / "labels.csv").write_text("image,Mass,Nodule\ntrain.png,1,-1\nval.png,1,\ntest.png,1,\n")
    height, width = cv2.imread(str(images[0])).shape[:2]
    listed = [{"id": i, "file_name": name, "height": height, "width": width} for i, name in enumerate(names.values())]
    coco = {"images": listed, "annotations": [], "categories": [{"id": 1, "name": "Mass"}]}
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    tasks = "{cls: {file: labels.csv, classes: [Mass, Nodule]}, box: {file: coco.json}, mask: {file: coco.json}}"
    lists = ", ".join(f"{split}: {split}.txt" for split in names)
    (tmp_path / "lone.yaml").write_text(f"datasets: {{lone: {{images: images, splits: {{{lists}}}, tasks: {tasks}}}}}")
    units = {"DATASETS.FILES": [str(tmp_path / "lone.yaml")], "FX.CYCLE.UNITS": ["lone/cls", "lone/box", "lone/mask"]}
    cfg, trainer = build(cohort, tmp_path / "run", **units, **{"FX.EVAL.CYCLES": 1, "FX.LOG_PERIOD": 1})
    trainer.train(0, trainer.max_iter)
    lines = read_metrics(tmp_path / "run")
    assert len(lines) == 5  # one step a pass
    text = (tmp_path / "run" / "metrics.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    # One outcome only: undefined, which is not stored as a number.
    assert not any("AUROC" in key for line in lines for key in line)
    results = evaluate_and_report(cfg, trainer.student, trainer.teacher, trainer.precision, trainer.max_iter)
    assert results["student"]["lone"]["cls"]["AUROC"] is None
