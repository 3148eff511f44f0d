"""What each kind of pass changes with the reference switches on, by the published description; both layouts."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from fx_d2.checkpoint.reference import reference_config
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import build_optimizer
from fx_d2.schedule import Unit
from tests.published import SIZES, tiny_published

SIDE = 64
TRUNK = ("backbone.",)
LAYOUTS = ("foundation_x", "foundation_x_plus")


def decoder(layout: str) -> str:
    return "heads.box.decoders.candid_ptx." if layout == "foundation_x" else "heads.box.decoders.shared."


def branch(*parts: str) -> tuple[str, ...]:
    return tuple(f"heads.box.branches.candid_ptx.{part}" for part in parts)


# In Foundation X the output heads and content queries are in no optimizer group: only refinement trains.
BRANCH = {
    "foundation_x": branch("refine_head"),
    "foundation_x_plus": branch("content_queries", "class_head", "box_head"),
}


def expected(layout: str, task: str, train: str) -> tuple[str, ...]:
    if task == "cls":
        head, path = ("heads.cls.branches.candid_ptx.",), (*TRUNK, "heads.cls.norm.")
    elif task == "mask":
        head, path = ("heads.mask.branches.candid_ptx.",), (*TRUNK, "heads.mask.pooling.", "heads.mask.pyramid.")
    else:
        own = (decoder(layout),)
        head, path = BRANCH[layout], (*TRUNK, "heads.box.norms.", "heads.box.encoder.")
        head, path = (head + own, path) if layout == "foundation_x" else (head, path + own)
    return head if train == "head" else head + path


def batch(task: str) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    entries = []
    for i in range(2):
        image = torch.randint(0, 256, (1, SIDE, SIDE), dtype=torch.uint8, generator=generator)
        entry = {"image": image, "unit": f"candid_ptx/{task}", "height": SIDE, "width": SIDE}
        if task == "cls":
            entry["labels"] = torch.tensor([float(i)])
        elif task == "mask":
            entry["masks"] = torch.randint(0, 2, (1, SIDE, SIDE), generator=generator).to(torch.uint8)
        else:
            entry["instances"] = Instances((SIDE, SIDE), gt_boxes=Boxes([[8.0, 8.0, 40.0, 30.0]]))
            entry["instances"].gt_classes = torch.zeros(1, dtype=torch.int64)
        entries.append(entry)
    return entries


@pytest.mark.parametrize("train", ["head", "path"])
@pytest.mark.parametrize("task", ["cls", "box", "mask"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_passes(layout, task, train):
    cfg = reference_config(layout, SIZES)
    model = tiny_published(layout)
    for parameter in model.parameters():  # all positive would saturate it
        parameter.data.sub_(0.6).mul_(0.3) if parameter.dim() > 1 else parameter.data.mul_(0.5)
    optimizer = build_optimizer(cfg, model)
    apply_lock(model, model.trainable_parts(Unit("candid_ptx", task), train), training=cfg.FX.REFERENCE_LOCK)
    assert all(module.training for module in model.modules())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    teacher = tiny_published(layout, seed=1).consistency_features(batch(task))
    losses = model(batch(task), teacher=teacher)
    sum(losses.values()).backward()
    optimizer.step()
    parameters = dict(model.named_parameters())
    changed = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    inside = expected(layout, task, train)
    stray = {name for name in changed & set(parameters) if not name.startswith(inside)}
    assert stray == set()
    still = {name for name in set(parameters) - changed if name.startswith(inside)}
    assert still == set()
    # Batch statistics drift in a Locked pass, too.
    drifted = {name for name in changed if "running_mean" in name}
    assert bool(drifted) == (task == "mask")


def test_gradients_of_idle_tensors_count_in_the_published_clipping():
    cfg, model = reference_config("foundation_x", SIZES), tiny_published("foundation_x")
    optimizer = build_optimizer(cfg, model)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    apply_lock(model, model.trainable_parts(Unit("candid_ptx", "box"), "head"), training=True)
    sum(model(batch("box")).values()).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is not None and id(p) not in held}
    assert "heads.box.level_embed" in idle and "heads.box.input_proj.0.0.weight" in idle
    assert "heads.box.memory_projections.candid_ptx.weight" in idle


def test_groups_of_the_published_training():
    cfg, model = reference_config("foundation_x_plus", SIZES), tiny_published("foundation_x_plus")
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {g["name"]: [names[id(p)] for p in g["params"]] for g in build_optimizer(cfg, model).param_groups}
    assert set(groups) == {"backbone", "box", "mask"}
    assert any(name.startswith("heads.cls.branches.") for name in groups["backbone"])
    assert any(name.startswith("heads.box.norms.") for name in groups["backbone"])
    trained = {name for group in groups.values() for name in group}
    idle = {".".join(name.split(".")[:3]) for name in names.values() if name not in trained}
    assert idle == {"heads.box.level_embed", "heads.box.input_proj", "heads.box.branches"}
