"""Steps from CUDA graphs against the same steps launched kernel by kernel."""

import copy

import pytest
import torch

from fx_d2 import get_fx_cfg
from fx_d2.data.pool import PackedBatch
from fx_d2.engine.cuda_graphs import CudaGraphs
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import build_optimizer, clip_gradients, set_learning_rates
from fx_d2.engine.precision import Precision
from fx_d2.engine.step_graphs import Parts, StepGraphs
from fx_d2.engine.trainer import seed_step
from fx_d2.modeling.ema import ModelEMA
from fx_d2.modeling.gate import RegionGate
from fx_d2.schedule import Unit
from tests.gpu.steps import needs_gpu
from tests.tiny import make_batch, make_model

STEPS = 6


def run(graphs_of: int, units, train: str, precision, gate=None, seen=None):
    """Losses of steps that alternate between units, and the weights after them; records batches of ``graphs_of``."""
    cfg = get_fx_cfg()
    cfg.SOLVER.BASE_LR = 1e-3
    student = make_model(drop_path=0.3, gate=gate).cuda()
    teacher = ModelEMA(student).cuda()
    teacher.copy_from(student)
    student.train()
    optimizer = build_optimizer(cfg, student)
    clip = {"cls": 0.0, "box": 0.1, "mask": 0.0}
    graphs = StepGraphs(
        Parts(student, teacher.model, optimizer, precision, clip), CudaGraphs(student.device), graphs_of
    )
    losses = []
    with graphs.stream():
        for iteration in range(STEPS * len(units)):
            unit = Unit.parse(units[iteration % len(units)])
            apply_lock(student, student.trainable_parts(unit, train))
            set_learning_rates(optimizer, 1.0 / (1 + iteration))
            batch = PackedBatch.pack(copy.deepcopy(make_batch(str(unit), seed=iteration))).pin_memory().unpack()
            seed_step(0, iteration)
            played = graphs.backward(unit, train, train != "head", batch)
            if played is None:
                optimizer.zero_grad(set_to_none=True)
                with precision.autocast():
                    targets = teacher.model.consistency_features(batch) if train != "head" else None
                    found = student(batch, teacher=targets)
                sum(found.values()).backward()
                clip_gradients(student, clip[unit.task])
                losses.append({name: float(loss) for name, loss in found.items()})
                optimizer.step()
                graphs.warm(unit, train, batch)
            else:
                step, found, report, _ = played
                assert not report.tolist()[1]
                losses.append({name: float(loss) for name, loss in found.items()})
                step.take()
            teacher.update(student, 0.9)
    torch.cuda.synchronize()
    if seen is not None:
        seen.append(graphs)
    return losses, {name: p.detach().clone() for name, p in student.named_parameters()}


@needs_gpu
@pytest.mark.parametrize("enabled", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    ("units", "train"),
    [
        (["one/cls", "two/cls"], "path"),
        (["one/box", "two/box"], "path"),
        (["one/box"], "head"),
        (["one/mask", "two/mask"], "path"),
        (["two/cls", "two/box", "two/mask"], "path"),
    ],
    ids=["cls", "box", "box locked", "mask", "all"],
)
def test_played_steps_are_the_launched_ones(units, train, enabled):
    precision = Precision("cuda", enabled, "bfloat16")
    launched, weights = run(0, units, train, precision)
    seen = []
    played, own = run(3, units, train, precision, seen=seen)
    assert seen[0].played == (STEPS - 1) * len(units)
    for a, b in zip(launched, played, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert b[name] == pytest.approx(a[name], rel=2e-2 if enabled else 1e-3, abs=1e-4), name
    moved = sum(float((weights[name] - own[name]).square().sum()) for name in weights)
    start = dict(make_model(drop_path=0.3).named_parameters())
    total = sum(float((weights[name].cpu() - start[name]).square().sum()) for name in weights)
    assert moved < 0.02 * total


@needs_gpu
def test_after_a_recording_that_fails_steps_are_launched():
    graphs = CudaGraphs(torch.device("cuda", 0))
    with graphs.stream():
        x = torch.ones(3, device="cuda")
        with pytest.raises(RuntimeError, match="captur"):
            graphs.record(lambda: torch.rand(3, device="cuda").sum().item())
        torch.manual_seed(1)
        first = torch.rand(3, device="cuda") + x
        torch.manual_seed(1)
        replay, again = graphs.record(lambda: torch.rand(3, device="cuda") + x)
    assert torch.equal(first, again)


@needs_gpu
def test_a_played_gated_step_is_the_launched_one():
    precision = Precision("cuda", False, "bfloat16")
    gate = RegionGate(when="always", score=0.0)
    launched, _ = run(0, ["two/mask"], "path", precision, gate)
    played, _ = run(3, ["two/mask"], "path", precision, gate)
    for a, b in zip(launched, played, strict=True):
        for name in a:
            assert b[name] == pytest.approx(a[name], rel=1e-3, abs=1e-4), name
