"""Whole runs on a tiny cohort: the files they leave, resume, evaluation from a checkpoint."""

import contextlib
import json
from pathlib import Path

import pytest
import torch
from detectron2.engine import HookBase

from fx_d2.commands import train as train_net
from fx_d2.engine.build import build_trainer, prepare
from tests.tiny import tiny_config

pytestmark = pytest.mark.usefixtures("fresh_catalog")


class Interruption(HookBase):
    """Ends the process's work before an iteration, as a kill would."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_step(self):
        if self.trainer.iter == self.iteration:
            raise KeyboardInterrupt


def run(cfg, resume=False, interrupt_at=None):
    """Trains a configuration (until an interruption) and returns the trainer."""
    Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    prepare(cfg)
    torch.manual_seed(0)
    trainer = build_trainer(cfg, resume)
    trainer.register_hooks([Interruption(interrupt_at)])
    with contextlib.suppress(KeyboardInterrupt):
        trainer.train(trainer.start_iter, trainer.max_iter)
    return trainer


def test_resumed_run_equals_the_unbroken_one(cohort, tmp_path):
    unbroken = run(tiny_config(cohort, tmp_path / "a"))
    cycle = unbroken.schedule.cycle_length
    assert unbroken.max_iter == 2 * cycle
    run(tiny_config(cohort, tmp_path / "b"), interrupt_at=cycle + 2)
    assert (tmp_path / "b" / "last_checkpoint").read_text() == f"model_{cycle - 1:07d}.pth"
    torch.manual_seed(999)  # whatever the process drew before must not matter
    resumed = run(tiny_config(cohort, tmp_path / "b"), resume=True)
    assert resumed.start_iter == cycle
    for ours, theirs in ((resumed.student, unbroken.student), (resumed.teacher, unbroken.teacher)):
        for (name, value), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.equal(value, other), name
    a, b = unbroken.optimizer.state_dict(), resumed.optimizer.state_dict()
    assert [g["name"] for g in a["param_groups"]] == [g["name"] for g in b["param_groups"]]
    for index, state in a["state"].items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(b["state"][index][key]))
    logs = []
    for folder in ("a", "b"):
        lines = [json.loads(line) for line in (tmp_path / folder / "metrics.json").read_text().splitlines()]
        logs.append({line["iteration"]: line["total_loss"] for line in lines if "total_loss" in line})
    assert logs[0] == logs[1] and len(logs[0]) == unbroken.max_iter


def test_command_line(cohort, tmp_path, monkeypatch):
    """Training leaves the promised files; ``--eval-only`` on its checkpoint gives the same results."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(cohort))
    cfg = tiny_config(cohort, tmp_path / "run", **{"FX.CYCLE.COUNT": 1})
    (tmp_path / "tiny.yaml").write_text(cfg.dump())

    def main(*arguments):
        parser = train_net.default_argument_parser()
        return train_net.main(parser.parse_args(["--config-file", str(tmp_path / "tiny.yaml"), *arguments]))

    results = main()
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "log.txt", "metrics.json", "results.json", "report.html", "model_final.pth"} <= names
    assert {"report.html", "MODEL_CARD.md", "run.json"} <= names
    assert list((folder / "overlays").glob("*.png"))

    stored = json.loads((folder / "results.json").read_text(), parse_constant=pytest.fail)
    assert stored == results
    assert set(stored) == {"student", "teacher"}
    assert set(stored["teacher"]["phantom_heart"]) == {"box", "mask"}
    assert "AP50" in stored["student"]["phantom_heart"]["box"]
    metrics = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert metrics[-1]["teacher/phantom_heart/mask/Dice"] == stored["teacher"]["phantom_heart"]["mask"]["Dice"]

    checkpoint = torch.load(folder / "model_final.pth", weights_only=True)
    assert {"model", "teacher", "trainer", "classes", "iteration"} <= set(checkpoint)
    assert checkpoint["classes"]["phantom_heart/box"] == ["Heart", "Effusion"]

    again = main("--eval-only", "OUTPUT_DIR", str(tmp_path / "eval"), "MODEL.WEIGHTS", str(folder / "model_final.pth"))
    assert again == results
    assert json.loads((tmp_path / "eval" / "results.json").read_text()) == stored


def test_wrong_checkpoints(cohort, tmp_path):
    cfg = tiny_config(cohort, tmp_path, **{"MODEL.WEIGHTS": str(tmp_path / "none.pth")})
    prepare(cfg)
    with pytest.raises(FileNotFoundError, match="MODEL.WEIGHTS"):
        build_trainer(cfg, resume=False)
    cfg.MODEL.WEIGHTS = ""
    trainer = build_trainer(cfg, resume=False)
    torch.save(
        {"model": trainer.student.state_dict(), "classes": {"phantom_heart/box": ["Effusion", "Heart"]}},
        tmp_path / "swapped.pth",
    )
    cfg.MODEL.WEIGHTS = str(tmp_path / "swapped.pth")
    with pytest.raises(ValueError, match="was trained with classes"):
        build_trainer(cfg, resume=False)


def test_a_loss_gone_wrong_names_unit_and_images(cohort, tmp_path):
    cfg = tiny_config(cohort, tmp_path)
    prepare(cfg)
    trainer = build_trainer(cfg, resume=False)
    with torch.no_grad():
        trainer.student.heads["cls"].norm.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"iteration 0 \(cycle 1/2 phantom_screen/cls released 1/3\).*\.png"):
        trainer.train(0, 1)
