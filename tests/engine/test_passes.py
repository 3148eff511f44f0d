"""Lock-Release end to end: which tensors and optimizer states each kind of pass changes, bit by bit."""

import pytest
import torch

from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import parameter_groups
from fx_d2.schedule import Unit
from tests.tiny import make_batch, make_model

BACKBONE = ["backbone"]
BOX_SHARED = ["heads.box.norms", "heads.box.input_proj", "heads.box.level_embed", "heads.box.encoder"]
# (layout, unit, pass) -> what the pass trains, by the table in the README.
EXPECTED = {
    ("per_dataset", "one/cls", "head"): ["heads.cls.branches.one"],
    ("per_dataset", "one/cls", "path"): [*BACKBONE, "heads.cls.norm", "heads.cls.branches.one"],
    ("per_dataset", "two/box", "head"): [
        "heads.box.branches.two",
        "heads.box.decoders.two",
        "heads.box.selectors.two",
    ],
    ("per_dataset", "two/box", "path"): [
        *BACKBONE,
        *BOX_SHARED,
        "heads.box.branches.two",
        "heads.box.decoders.two",
        "heads.box.selectors.two",
    ],
    ("shared", "two/box", "head"): ["heads.box.branches.two"],
    ("shared", "two/box", "path"): [
        *BACKBONE,
        *BOX_SHARED,
        "heads.box.branches.two",
        "heads.box.decoders.shared",
        "heads.box.selectors.shared",
    ],
    ("per_dataset", "one/mask", "head"): ["heads.mask.branches.one"],
    ("per_dataset", "one/mask", "path"): [
        *BACKBONE,
        "heads.mask.pooling",
        "heads.mask.pyramid",
        "heads.mask.branches.one",
    ],
}


def optimizer_for(model):
    groups = parameter_groups(model, lr=1e-2, backbone_multiplier=1.0, weight_decay=0.1)
    return torch.optim.AdamW(groups, fused=True)


def step(model, optimizer, unit, seed, teacher=None):
    optimizer.zero_grad(set_to_none=True)
    sum(model(make_batch(unit, count=4, seed=seed), teacher=teacher).values()).backward()
    optimizer.step()


@pytest.mark.parametrize(("layout", "unit", "train"), list(EXPECTED))
def test_exactly_the_documented_tensors_change(layout, unit, train):
    model = make_model(layout, drop_path=0.1)
    optimizer = optimizer_for(model)
    # Everything has moments and a history, as in the middle of a run.
    for warm in ("one/cls", "two/cls", "one/box", "two/box", "one/mask", "two/mask"):
        apply_lock(model, model.trainable_parts(Unit.parse(warm), "path"))
        for seed in range(2):
            step(model, optimizer, warm, seed)

    apply_lock(model, model.trainable_parts(Unit.parse(unit), train))
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    moments = {
        name: {key: value.clone() for key, value in optimizer.state[p].items()}
        for name, p in model.named_parameters()
        if p in optimizer.state
    }
    teacher = make_model(layout).eval().consistency_features(make_batch(unit, count=4)) if train == "path" else None
    for seed in range(3):
        step(model, optimizer, unit, seed, teacher)

    allowed = EXPECTED[layout, unit, train]
    parameters = dict(model.named_parameters())
    for name, value in model.state_dict().items():
        inside = any(name == part or name.startswith(part + ".") for part in allowed)
        changed = not torch.equal(value, tensors[name])
        # A tensor inside may stand still only where its gradient is exactly zero by construction.
        assert changed == inside or (inside and _may_rest(name)), f"{name}: changed {changed}, trained {inside}"
        if name in parameters and not inside and name in moments:
            for key, old in moments[name].items():
                assert torch.equal(optimizer.state[parameters[name]][key], old), f"{name}: optimizer state {key} moved"


def _may_rest(name: str) -> bool:
    """Weights whose gradient can be exactly zero: the last refinement, unused labels, a class that no image shows."""
    return name.endswith(("num_batches_tracked", "label_embed.weight"))
