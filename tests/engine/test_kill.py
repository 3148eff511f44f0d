"""Real processes, killed with SIGKILL at random points; what they leave and how they go on."""

import os
import random
import signal
from functools import partial

import pytest
import torch

from fx_d2 import files
from fx_d2.data import loader
from fx_d2.data.loader import TrainingImages
from fx_d2.engine import build
from tests.engine.runs import assert_same_run, kill_myself, read_metrics, run_in_process, short_config

CYCLE = 9
CYCLES = 4
OVERRIDES = {"FX.CYCLE.COUNT": CYCLES, "FX.EVAL.BEST": "student/phantom_screen/cls/AUROC"}


def at_step(iteration, place):
    """Dies in ``place`` (a method of the trainer) of an iteration."""

    def sabotage(cfg):
        def prepare_trainer(trainer):
            original = getattr(trainer, place)

            def patched(*args, **kwargs):
                if trainer.iter == iteration:
                    kill_myself()
                return original(*args, **kwargs)

            setattr(trainer, place, patched)

        return prepare_trainer

    return sabotage


def in_checkpoint(iteration):
    """Dies when half of a checkpoint is written."""

    def sabotage(cfg):
        original = torch.save

        def patched(data, stream, *args, **kwargs):
            if isinstance(data, dict) and data.get("iteration") == iteration:
                original(data["model"], stream)
                stream.flush()
                kill_myself()
            original(data, stream, *args, **kwargs)

        torch.save = patched

    return sabotage


def between_renames(iteration):
    """Dies when the checkpoint has its name, and last_checkpoint still names the one before."""

    def sabotage(cfg):
        original = os.replace

        def patched(source, target):
            if str(target).endswith("last_checkpoint") and f"{iteration:07d}" in source.read_text():
                kill_myself()
            original(source, target)

        files.os.replace = patched

    return sabotage


def in_evaluation(iteration):
    """Dies after some units have been scored."""

    def sabotage(cfg):
        original, holder = build.evaluate, {}

        def patched(cfg, models, units, *args, **kwargs):
            if holder["trainer"].iter == iteration:
                original(cfg, models, units[:1], *args, **kwargs)
                kill_myself()
            return original(cfg, models, units, *args, **kwargs)

        build.evaluate = patched
        return lambda trainer: holder.update(trainer=trainer)

    return sabotage


class MortalImages(TrainingImages):
    """The process that reads one position of the boxes dies."""

    def __init__(self, position, *args):
        super().__init__(*args)
        self.position = position

    def __getitem__(self, key):
        if key[0].task == "box" and key[2] == self.position:
            kill_myself()
        return super().__getitem__(key)


def in_worker(position):
    """A process of the loader dies."""

    def sabotage(cfg):
        loader.TrainingImages = partial(MortalImages, position)

    return sabotage


@pytest.fixture(scope="module")
def unbroken(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    assert run_in_process(short_config(cohort, folder, **OVERRIDES)) == 0
    return folder


def test_a_run_killed_again_and_again_equals_the_unbroken_one(cohort, unbroken, tmp_path):
    """One run, killed in a locked pass, a released pass, a checkpoint, between renames, an evaluation, a worker."""
    draw = random.Random(20261124)
    cfg, with_worker = (short_config(cohort, tmp_path, **OVERRIDES, **{"DATALOADER.NUM_WORKERS": n}) for n in (0, 1))
    # Iterations 2, 3 of a cycle are the locked boxes, 4, 5 the released ones, 6 the locked masks; 8 ends the cycle.
    end_of_step = draw.choice(["_read_status", "_record", "after_step"])
    deaths = [
        (at_step(draw.choice([2, 3, 6]), "_read_status"), None),
        (at_step(CYCLE + draw.choice([4, 5, 7]), end_of_step), f"model_{8:07d}.pth"),
        (in_checkpoint(2 * CYCLE - 1), f"model_{8:07d}.pth"),
        (between_renames(2 * CYCLE - 1), f"model_{8:07d}.pth"),
        (in_evaluation(3 * CYCLE - 1), f"model_{26:07d}.pth"),
    ]
    for number, (sabotage, last) in enumerate(deaths):
        assert run_in_process(cfg, resume=number > 0, sabotage=sabotage) == -signal.SIGKILL
        tag = tmp_path / "last_checkpoint"
        assert (tag.read_text() if tag.exists() else None) == last
        if number == 2:
            assert (tmp_path / f"model_{17:07d}.pth.partial").exists()
    # The last released box pass of cycle 4 draws images 24 to 31 of its stream. The run itself ends with an error.
    assert run_in_process(with_worker, resume=True, sabotage=in_worker(24 + draw.randrange(8))) == 1
    assert run_in_process(cfg, resume=True) == 0
    assert_same_run(unbroken, tmp_path)


def test_metrics_have_no_gap_and_no_duplicate(unbroken):
    lines = read_metrics(unbroken)
    iterations = [line["iteration"] for line in lines]
    assert iterations == sorted(set(iterations))
    assert sum("val/student/mean" in line for line in lines) == CYCLES
    # Of every unit and pass at least the last step before each line is there; the last line is the last step.
    assert iterations[-1] == CYCLES * CYCLE - 1
