"""How often the host reads a tensor in a step of the trainer: on a GPU it would wait there for all that was started."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fx_d2.engine.build import build_trainer, prepare
from tests.engine.runs import short_config
from tests.tiny import make_batch, make_model

READS = {getattr(Tensor, name) for name in ("item", "tolist", "cpu", "__bool__", "__int__", "__float__", "__index__")}
# Operators whose result has a size that only the values tell.
SIZES = (
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::repeat_interleave",
)


class ReadsOfPython(TorchFunctionMode):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in READS:
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


class ReadsOfOperators(TorchDispatchMode):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = func.name().startswith("aten::index") and any(
            torch.is_tensor(leaf) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1:])
        )
        if func.name().split(".")[0] in SIZES or masks:
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("fresh_catalog")
def test_a_step_reads_its_losses_and_a_box_step_the_costs(cohort, tmp_path):
    cfg = short_config(cohort, tmp_path, **{"FX.EVAL.CYCLES": 0, "FX.CYCLE.COUNT": 1})
    prepare(cfg)
    trainer = build_trainer(cfg, resume=False)
    step, reads = trainer.run_step, {}

    def counted():
        found = reads[trainer.iter] = []
        with ReadsOfPython(found), ReadsOfOperators(found):
            step()

    trainer.run_step = counted
    trainer.batches = iter(list(itertools.islice(trainer.batches, trainer.max_iter)))  # the loader reads tensors, too
    units = {i: trainer.schedule.at(i).unit.task for i in range(trainer.max_iter)}
    trainer.train(0, trainer.max_iter)
    assert set(units.values()) == {"cls", "box", "mask"}
    for iteration, task in units.items():
        assert reads[iteration] == (["cpu"] if task == "box" else []) + ["tolist"], (iteration, task)


@pytest.mark.parametrize("unit", ["two/cls", "two/box", "two/mask"])
def test_no_gradient_asks_the_host(unit):
    """PyTorch computes some gradients otherwise where a mode listens (see above), so that only a profiler sees this."""
    model, batch = make_model(drop_path=0.1).train(), make_batch(unit)
    teacher = model.consistency_features(batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        sum(model(batch, teacher=teacher).values()).backward()
    names = {event.name for event in profile.events()}
    assert "aten::mul" in names
    assert not names & {"aten::item", "aten::_local_scalar_dense", "aten::nonzero"}
