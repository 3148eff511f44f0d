"""Checkpoints that never lie: whole or not there, recognised when torn or foreign, refused when the run is another."""

import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from detectron2.utils import comm

from fx_d2.checkpoint import CheckpointError
from fx_d2.data.catalog import clear_datasets
from fx_d2.engine import output_folder
from fx_d2.engine.build import build_trainer, prepare
from fx_d2.engine.checkpoint import FXCheckpointer
from fx_d2.engine.output_folder import archive_run, check_writable, rotate
from fx_d2.engine.provenance import compare_runs
from fx_d2.files import replacing
from fx_d2.modeling import ModelEMA
from tests.engine.runs import short_config, train
from tests.tiny import make_model

RUN = {
    "format": 1,
    "code": "1",
    "torch": "2",
    "config": "SEED: 0\nSOLVER: {BASE_LR: 0.1}",
    "plan": [["one/cls", "path", 8, 2], ["one/box", "head", 4, 1]],
    "batch": 4,
    "cycles": 3,
    "world_size": 1,
}


class Trainer:
    """Stands for the trainer's state."""

    iteration = 0

    def state_dict(self):
        return {"iteration": self.iteration}

    def load_state_dict(self, state):
        self.iteration = state["iteration"]


@pytest.fixture
def checkpointer(tmp_path):
    model = make_model()
    return FXCheckpointer(model, ModelEMA(model), str(tmp_path), RUN, trainer=Trainer())


def save(checkpointer, *iterations):
    for iteration in iterations:
        checkpointer.checkpointables["trainer"].iteration = iteration
        checkpointer.save(f"model_{iteration:07d}", iteration=iteration)


def test_a_file_is_whole_or_as_before(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["x"]
    with replacing(path) as stream:
        stream.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_torn_or_foreign_file_is_named_and_the_one_before_is_used(checkpointer, tmp_path, caplog):
    save(checkpointer, 3, 7, 11)
    for name, spoil in (
        ("model_0000011.pth", lambda c: c[: len(c) // 2]),
        ("model_0000007.pth", lambda c: b"PK hello"),
    ):
        path = tmp_path / name
        path.write_bytes(spoil(path.read_bytes()))
    path, content = checkpointer.find()
    assert path.name == "model_0000003.pth" and content["iteration"] == 3
    assert "model_0000011.pth' cannot be used: it is torn" in caplog.text and "model_0000007.pth' cannot" in caplog.text
    checkpointer.restore(path, content)
    assert checkpointer.checkpointables["trainer"].iteration == 3
    assert (tmp_path / "model_0000011.pth.later").exists() and not (tmp_path / "model_0000011.pth").exists()
    save(checkpointer, 7)
    checkpointer.prune(keep=1)
    assert sorted(p.name for p in tmp_path.glob("model*")) == ["model_0000007.pth", "model_0000011.pth.later"]


def test_a_changed_byte_is_found(checkpointer, tmp_path):
    save(checkpointer, 3, 7)
    path = tmp_path / "model_0000007.pth"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert checkpointer.find()[0].name == "model_0000003.pth"


def test_no_checkpoint_is_no_error_and_no_usable_one_is(checkpointer, tmp_path):
    assert checkpointer.find() is None
    torch.save({"model": {}}, tmp_path / "model_0000001.pth")
    (tmp_path / "last_checkpoint").write_text("../../etc/model_0000009.pth")
    with pytest.raises(CheckpointError, match="none of the checkpoints.*model_0000009.pth, model_0000001.pth"):
        checkpointer.find()


def test_retention_keeps_the_last_and_the_best(checkpointer, tmp_path):
    for iteration in (3, 7, 11):
        save(checkpointer, iteration)
        checkpointer.prune(keep=2)
        if iteration == 3:
            checkpointer.save("model_best", iteration=3)
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == [
        "model_0000007.pth",
        "model_0000011.pth",
        "model_best.pth",
    ]
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000011.pth"


def test_a_full_disk_leaves_the_last_good_one(checkpointer, tmp_path):
    """A limit on the size of files fails a write as a full disk does, after some of it."""
    save(checkpointer, 3)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OSError, match="model_0000007.pth' could not be written: File too large; the earlier"):
            save(checkpointer, 7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_0000003.pth"]
    assert checkpointer.find()[1]["iteration"] == 3


def test_a_folder_that_cannot_be_written_is_found_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="OUTPUT_DIR .*file/run' cannot be written to: Not a directory"):
        check_writable(tmp_path / "file" / "run")
    # Root may write everywhere, so the refusal is played.
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    with pytest.raises(OSError, match="cannot be written to: Read-only file system"):
        check_writable(tmp_path)


def test_what_may_change_between_two_runs():
    same = compare_runs(RUN, dict(RUN))
    assert not same.refused and not same.allowed
    now = RUN | {"cycles": 5, "world_size": 2, "code": "2", "config": "SEED: 1\nSOLVER: {BASE_LR: 0.1}"}
    differences = compare_runs(RUN, now)
    assert not differences.refused
    assert [text.split(":")[0].split(",")[0] for text in differences.allowed] == [
        "FX.CYCLE.COUNT was 3",
        "1 process(es) before",
        "SEED was 0",
        "version of code",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan": RUN["plan"][:1]}, "units no longer in the cycle: one/box"),
        ({"plan": [*RUN["plan"], ["two/cls", "path", 3, 1]]}, "units new in the cycle: two/cls"),
        ({"plan": RUN["plan"][::-1]}, "order of the units was one/cls, one/box; is one/box, one/cls"),
        ({"plan": [["one/cls", "path", 9, 2], RUN["plan"][1]]}, "passes of one/cls were path 8 images; are path 9"),
        ({"batch": 8}, "SOLVER.IMS_PER_BATCH was 4, is 8"),
        ({"format": 0}, "its format is 1"),
    ],
)
def test_another_run_is_refused_with_the_difference(checkpointer, change, message):
    save(checkpointer, 3)
    checkpointer.run = RUN | change
    with pytest.raises(ValueError, match=f"cannot resume from .*{message}.*MODEL.WEIGHTS"):
        checkpointer.restore(*checkpointer.find())


def test_other_classes_are_refused(checkpointer):
    save(checkpointer, 3)
    path, content = checkpointer.find()
    content["classes"]["two/cls"].reverse()
    with pytest.raises(ValueError, match=r"two/cls was trained with classes \['Mass', 'Effusion', 'Normal'\]"):
        checkpointer.restore(path, content)


def test_a_refused_run_leaves_an_earlier_one_alone(cohort, tmp_path, monkeypatch):
    cfg = short_config(cohort, tmp_path)
    clear_datasets()
    (tmp_path / "model_final.pth").write_text("an earlier run")
    prepare(cfg)
    monkeypatch.setattr(comm, "get_world_size", lambda: 99)
    with pytest.raises(ValueError, match="image.s. for 99 processes"):
        build_trainer(cfg, resume=False)
    assert "previous" not in [path.name for path in tmp_path.iterdir()]
    assert (tmp_path / "model_final.pth").read_text() == "an earlier run"


def test_an_earlier_run_is_set_aside_and_its_log_rotated(tmp_path):
    for name in ("metrics.json", "model_0000003.pth", "last_checkpoint", "log.txt", "my_notes.txt"):
        (tmp_path / name).write_text(name)
    assert archive_run(tmp_path) == tmp_path / "previous" / "1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.txt", "my_notes.txt", "previous"]
    assert archive_run(tmp_path) is None
    (tmp_path / "metrics.json").write_text("")
    assert archive_run(tmp_path) == tmp_path / "previous" / "2"
    for text in ("first", "second", "third"):
        (tmp_path / "log.txt").write_text(text)
        rotate(tmp_path / "log.txt", limit=3, keep=2)
    assert {p.name: p.read_text() for p in tmp_path.glob("log*")} == {"log.txt.1": "third", "log.txt.2": "second"}
    assert output_folder.PREVIOUS == "previous"


@pytest.mark.usefixtures("fresh_catalog")
def test_resume_without_a_checkpoint_starts_anew_and_takes_new_keys(cohort, tmp_path, caplog):
    caplog.set_level("INFO", logger="fx_d2")
    cfg = short_config(cohort, tmp_path, **{"FX.CYCLE.COUNT": 1, "FX.EVAL.CYCLES": 0})
    trainer = train(cfg, resume=True)
    assert trainer.iter == trainer.max_iter and "there is no checkpoint" in caplog.text
    cfg.merge_from_list(["SOLVER.BASE_LR", 5e-4, "FX.CYCLE.COUNT", 2])
    prepare(cfg)
    trainer = build_trainer(cfg, resume=True)
    assert trainer.start_iter == 9 and "SOLVER.BASE_LR was 0.001, is 0.0005" in caplog.text
    assert max(group["initial_lr"] for group in trainer.optimizer.param_groups) == 5e-4
    assert os.path.exists(tmp_path / "heartbeat.json")
