"""Hooks one by one, with a stand-in for the trainer."""

import contextlib
import json
from types import SimpleNamespace

import pytest
import torch
from detectron2.utils.events import EventStorage

from fx_d2.engine.checkpoint import FXCheckpointer
from fx_d2.engine.hooks import BestCheckpoint, Evaluation, Heartbeat, LearningRate, LockRelease, TeacherEMA
from fx_d2.engine.hooks.heartbeat import last_evaluation
from fx_d2.engine.hooks.teacher import momentum_at
from fx_d2.engine.locking import apply_lock
from fx_d2.engine.preemption import Preempted
from fx_d2.modeling import ModelEMA
from fx_d2.schedule import CycleSchedule, Pass, Unit
from tests.tiny import make_model

UNITS = [Unit("one", "cls"), Unit("one", "box")]
PASSES = {"cls": (Pass(),), "box": (Pass(train="head", fraction=0.5), Pass())}


class FakeTrainer(SimpleNamespace):
    @property
    def slot(self):
        return self.schedule.at(self.iter)

    def lock(self, trained, training):
        return apply_lock(self.student, trained, training)


@pytest.fixture
def trainer():
    schedule = CycleSchedule(UNITS, PASSES, dict.fromkeys(UNITS, 4), 2, 3)  # 2 + 1 + 2 steps a cycle
    student = make_model()
    return FakeTrainer(
        schedule=schedule,
        student=student,
        teacher=ModelEMA(student),
        iter=0,
        start_iter=0,
        max_iter=len(schedule),
        storage=EventStorage(),
    )


def attach(hook, trainer):
    hook.trainer = trainer
    hook.before_train()
    return hook


def test_lock_release_follows_the_schedule_and_resumes_anywhere(trainer):
    hook = attach(LockRelease(), trainer)
    for iteration in (0, 1, 2, 3, 4, 5, 2, 12):
        trainer.iter = iteration
        hook.before_step()
        released = trainer.slot.plan.train == "path"
        assert all(p.requires_grad == released for p in trainer.student.backbone.parameters())
        assert all(p.requires_grad for p in trainer.student.heads[trainer.slot.unit.task].branches["one"].parameters())
        assert not any(p.requires_grad for p in trainer.student.heads["mask"].parameters())


def test_the_lock_of_a_unit_and_pass_is_told_once(trainer, caplog):
    hook = attach(LockRelease(), trainer)
    with caplog.at_level("DEBUG", logger="fx_d2.engine.hooks.lock_release"):
        for iteration in (0, 2, 0, 4, 2):
            trainer.iter = iteration
            hook.before_step()
    told = [record.getMessage().partition(":")[0] for record in caplog.records]
    kinds = []
    for trainer.iter in (0, 2, 4):
        kinds.append(f"{trainer.slot.unit} {'locked' if trainer.slot.locked else 'released'}")
    assert len(set(kinds)) > 1 and told == list(dict.fromkeys(kinds))


def test_teacher_follows_at_the_end_of_each_pass(trainer):
    hook = attach(TeacherEMA(0.8, "constant", "pass"), trainer)
    name = "heads.cls.norm.bias"
    start = trainer.teacher.model.get_parameter(name).clone()
    torch.testing.assert_close(start, trainer.student.get_parameter(name))
    with torch.no_grad():
        trainer.student.get_parameter(name).add_(1.0)
    expected, updates = start, 0
    for trainer.iter in range(5):
        hook.after_step()
        if trainer.iter in (1, 2, 4):
            expected, updates = 0.8 * expected + 0.2 * (start + 1), updates + 1
        torch.testing.assert_close(trainer.teacher.model.get_parameter(name), expected)
    assert updates == 3


def test_teacher_follows_every_step(trainer):
    hook = attach(TeacherEMA(0.5, "constant", "iteration"), trainer)
    parameter = trainer.student.get_parameter("heads.cls.norm.bias")
    with torch.no_grad():
        parameter.add_(1.0)
    hook.after_step()
    torch.testing.assert_close(trainer.teacher.model.get_parameter("heads.cls.norm.bias"), parameter - 0.5)


def test_momentum_schedule():
    assert momentum_at(0.7, 0.8, "constant") == 0.8
    assert momentum_at(0.0, 0.8, "cosine") == pytest.approx(0.8)
    assert momentum_at(0.5, 0.8, "cosine") == pytest.approx(0.9)
    assert momentum_at(1.0, 0.8, "cosine") == pytest.approx(1.0)


def test_resume_without_a_teacher_is_refused(trainer):
    trainer.start_iter = 3
    with pytest.raises(ValueError, match="holds no teacher"):
        attach(TeacherEMA(0.8, "constant", "pass"), trainer)


def test_learning_rate_keeps_the_ratio_of_the_groups(trainer):
    trainer.optimizer = SimpleNamespace(param_groups=[{"initial_lr": 1e-4}, {"initial_lr": 1e-5}])
    hook = attach(LearningRate(0.2, 0.01), trainer)
    trainer.iter = 9  # 15 iterations, 3 of warm-up, half of the 12 others done
    hook.before_step()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([5e-5, 5e-6])


def test_evaluation_at_the_end_of_every_second_cycle(trainer):
    calls = []

    def score():
        calls.append(trainer.iter)
        return {"student": {"one": {"cls": {"AUROC": 0.5, "AP": None}}}, "teacher": {"one": {"cls": {"AUROC": 0.75}}}}

    hook = attach(Evaluation(2, score), trainer)
    for trainer.iter in range(15):
        hook.after_step()
    assert calls == [9]
    latest = {key: value for key, (value, _) in trainer.storage.latest().items()}
    assert latest["val/teacher/one/cls/AUROC"] == 0.75 and latest["val/teacher/mean"] == 0.75
    assert "val/student/one/cls/AP" not in latest  # undefined is not stored as a number


def test_best_checkpoint_remembers(trainer, tmp_path):
    checkpointer = FXCheckpointer(trainer.student, trainer.teacher, str(tmp_path))
    hook = attach(BestCheckpoint("teacher/mean", checkpointer), trainer)

    def score(value, iteration):
        trainer.iter = trainer.storage.iter = iteration
        trainer.storage.put_scalar("val/teacher/mean", value, smoothing_hint=False)
        hook.after_step()

    score(0.5, 3)
    score(0.4, 6)
    assert (hook.best, hook.iteration) == (0.5, 3)
    assert torch.load(tmp_path / "model_best.pth")["iteration"] == 3
    assert not (tmp_path / "last_checkpoint").exists()  # the best is not where a run resumes
    fresh = attach(BestCheckpoint("teacher/mean", checkpointer), trainer)
    fresh.load_state_dict(hook.state_dict())
    hook = fresh
    score(0.45, 9)
    assert hook.best == 0.5


def test_best_checkpoint_where_the_metric_is_undefined(trainer, tmp_path, caplog):
    checkpointer = FXCheckpointer(trainer.student, trainer.teacher, str(tmp_path))
    hook = attach(BestCheckpoint("teacher/one/cls/AUROC", checkpointer), trainer)
    trainer.storage.put_scalar("val/teacher/one/cls/AP", 0.5)
    hook.after_step()
    assert hook.best is None and not list(tmp_path.iterdir()) and "AUROC is undefined" in caplog.text


@pytest.mark.parametrize(
    ("error", "state"),
    [(None, "finished"), (Preempted("SIGTERM"), "preempted"), (OSError("full"), "failed")],
)
def test_the_evaluation_after_the_training_is_told_of(trainer, tmp_path, error, state):
    file = tmp_path / "heartbeat.json"
    hook = Heartbeat(file, 0.0)
    hook.trainer, trainer.iter = trainer, trainer.max_iter
    trainer.finished_steps, trainer.skipped, trainer._hooks = trainer.max_iter, 0, [hook]
    with contextlib.suppress(Preempted, OSError), last_evaluation(trainer):
        assert json.loads(file.read_text())["state"] == "evaluating"
        if error:
            raise error
    beat = json.loads(file.read_text())
    assert (beat["state"], beat["iteration"]) == (state, trainer.max_iter)
    assert beat["reason"] == (f"{type(error).__name__}: {error}" if error else "")
