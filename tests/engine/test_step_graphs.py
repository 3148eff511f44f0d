"""Steps from recordings against steps as they are written; on the CPU a tape of operators stands for a CUDA graph."""

import pytest
import torch

from fx_d2.engine.preemption import Preempted
from fx_d2.engine.step_graphs import Parts, StepGraphs, report_step
from fx_d2.modeling.detr import sampling
from tests.engine.recorded_operators import Observer, RecordedOperators
from tests.engine.runs import assert_same, assert_same_run, short_config, train

pytestmark = pytest.mark.usefixtures("fresh_catalog")


@pytest.fixture(autouse=True)
def operators_only(monkeypatch):
    """Sampling on the CPU leaves PyTorch for scipy, which no tape sees."""
    monkeypatch.setattr(sampling, "sample_tokens", sampling.sample_levels)
    monkeypatch.setattr(sampling, "token_gradients", sampling.level_gradients)


def with_graphs(batch_size, found=None):
    """Gives a trainer recordings; ``batch_size`` 0: of no batch, so that only the learning rate is a tensor."""

    def prepare(trainer):
        parts = Parts(trainer.student, trainer.teacher.model, trainer.optimizer, trainer.precision, trainer.clip_norms)
        recorder = RecordedOperators()
        trainer.graphs = StepGraphs(parts, recorder, batch_size)
        run_step = trainer.run_step

        def run_step_observed():
            # PyTorch rounds some gradients differently where a mode, such as the tape's, listens to its operators.
            with Observer():
                run_step()

        trainer.run_step = run_step_observed
        if found is not None:
            found.append((trainer.graphs, recorder, trainer.schedule))

    return prepare


# Every step draws stochastic depth, dropout and noise; the teacher follows every step, so that old values show.
OPTIONS = {
    "FX.CYCLE.BOX": [{"train": "head", "images": 8}, {"images": 8}],
    "FX.CYCLE.MASK": [{"train": "head", "images": 8}, {"images": 8}],
    "FX.CYCLE.COUNT": 3,
    "FX.EVAL.CYCLES": 0,
    "FX.EVAL.SPLIT": "",
    "FX.TEACHER.UPDATE": "iteration",
    "MODEL.SWIN.DROP_PATH_RATE": 0.4,
}


@pytest.mark.parametrize("options", [{}, {"MODEL.MASK.GATE.WHEN": "always"}, {"MODEL.BOX.CHECKPOINT": True}])
def test_a_run_of_recorded_steps_is_the_run(cohort, tmp_path, options):
    runs = {}
    for name, batch_size in (("written", 0), ("played", 4)):
        cfg = short_config(cohort, tmp_path / name, **OPTIONS, **options)
        found = []
        train(cfg, prepare_trainer=with_graphs(batch_size, found))
        runs[name] = found[0]
    graphs, recorder, schedule = runs["played"]
    assert runs["written"][0].played == 0
    # Five passes of two steps in three cycles; the first step of each pass is taken as it is written.
    assert len(schedule) == 30 and graphs.written == 5 and graphs.played == 25
    # Four parts a step; three where the pass is Locked: it asks no teacher.
    assert recorder.recordings == 3 * 4 + 2 * 3 and recorder.replays == 20 / 5 * recorder.recordings
    assert str(graphs).startswith("83.3% of the steps came from CUDA graphs: 5 kinds of steps")
    assert_same_run(tmp_path / "written", tmp_path / "played")


def test_a_resumed_run_of_recorded_steps_is_the_run(cohort, tmp_path):
    whole = short_config(cohort, tmp_path / "whole", **OPTIONS)
    train(whole, prepare_trainer=with_graphs(4))
    part = short_config(cohort, tmp_path / "part", **OPTIONS)

    def stop_later(trainer):
        with_graphs(4)(trainer)
        step = trainer.run_step

        def stopping():
            step()
            if trainer.iter == 13:
                trainer.stop.received = "SIGTERM"

        trainer.run_step = stopping

    with pytest.raises(Preempted, match="SIGTERM"):
        train(part, prepare_trainer=stop_later)
    train(part, resume=True, prepare_trainer=with_graphs(4))
    ends = [torch.load(tmp_path / name / "model_final.pth", weights_only=True) for name in ("whole", "part")]
    assert_same(ends[0]["model"], ends[1]["model"])


def test_a_step_that_is_not_finite_changes_nothing_and_is_recorded_again(cohort, tmp_path):
    def poison(trainer):
        with_graphs(4)(trainer)
        self_graphs, inner = trainer.graphs, trainer.graphs.backward
        calls = []

        def poisoned(*arguments):
            found = inner(*arguments)
            if found is not None:
                calls.append(None)
                if len(calls) in (1, 3):  # a step that is being recorded, and a step that is played
                    found[2].fill_(float("nan"))
                    found[2][:2] = 1.0
            return found

        trainer.graphs.backward = poisoned
        weights = {}
        skip = trainer._skip_step

        def checked(*arguments):
            skip(*arguments)
            weights["skipped"] = weights.get("skipped", 0) + 1

        trainer._skip_step = checked
        trainer.weights = weights
        assert self_graphs is trainer.graphs

    cfg = short_config(cohort, tmp_path, **{**OPTIONS, "FX.NONFINITE.POLICY": "skip"})
    trainer = train(cfg, prepare_trainer=poison)
    assert trainer.weights == {"skipped": 2} and trainer.skipped == 2
    assert all(step.complete for step in trainer.graphs._steps.values())
    assert all(torch.isfinite(p).all() for p in trainer.student.parameters())


def test_what_cannot_be_recorded_is_taken_as_it_is_written(cohort, tmp_path, caplog, monkeypatch):
    def broken(trainer):
        with_graphs(4)(trainer)
        monkeypatch.setattr(trainer.graphs._recorder, "record", lambda work: 1 / 0 if work is None else fail())

    def fail():
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    train(short_config(cohort, tmp_path / "broken", **OPTIONS), prepare_trainer=broken)
    train(short_config(cohort, tmp_path / "written", **OPTIONS), prepare_trainer=with_graphs(0))
    assert_same_run(tmp_path / "written", tmp_path / "broken")
    assert "could not be recorded" in caplog.text and "not permitted when stream is capturing" in caplog.text


def test_the_report_of_a_step():
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}
    norm = torch.tensor(3.0)
    assert report_step(losses, norm).tolist() == [0, 0, 3, 1, 2]
    bad = report_step(losses | {"a": torch.tensor(float("inf"))}, norm).tolist()
    assert bad == [1, 1, 3, float("inf"), 2]
    assert report_step(losses, torch.tensor(float("inf"))).tolist()[:2] == [0, 1]
    assert report_step(losses, torch.tensor(float("inf")), overflows=True).tolist()[:2] == [0, 0]
