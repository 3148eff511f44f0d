"""Runs in processes of their own, which tests may kill, and the comparison of what they leave."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import cloudpickle
import torch

from fx_d2.data.catalog import clear_datasets
from fx_d2.engine.build import build_trainer, prepare
from tests.tiny import tiny_config

# Scalars that measure the machine.
CLOCKS = ("time", "data_time")


def short_config(root, output, **overrides):
    """Nine iterations a cycle: findings, boxes locked and released, masks locked and released."""
    values = {
        "FX.CYCLE.CLS": [{"max_images": 8}],
        "FX.CYCLE.BOX": [{"train": "head", "fraction": 0.5}, {"max_images": 8}],
        "FX.CYCLE.MASK": [{"train": "head", "fraction": 0.5}, {"max_images": 8}],
        "FX.LOG_PERIOD": 4,
        **overrides,
    }
    return tiny_config(root, output, **values)


def train(cfg, resume=False, prepare_trainer=None):
    """Trains in this process and returns the trainer."""
    Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    clear_datasets()
    prepare(cfg)
    torch.manual_seed(0)  # of the first weights only
    trainer = build_trainer(cfg, resume)
    if resume:
        torch.manual_seed(int.from_bytes(os.urandom(4), "big"))  # what the process drew before must not matter
    if prepare_trainer:
        prepare_trainer(trainer)
    trainer.train(trainer.start_iter, trainer.max_iter)
    return trainer


def run_in_process(cfg, resume=False, sabotage=None, seconds=900) -> int:
    """Trains in a process of its own; returns its exit code, negative for a signal.

    ``sabotage(cfg)`` is called there before the training; it may return a function of the trainer.
    """
    # Spawned: a fork would inherit the threads of this process in whatever state they are.
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run, args=(cloudpickle.dumps((cfg, resume, sabotage)),))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"the run hung for {seconds} seconds")
    return process.exitcode


def _run(pickled):
    cfg, resume, sabotage = cloudpickle.loads(pickled)
    train(cfg, resume, sabotage(cfg) if sabotage else None)


def kill_myself(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def read_metrics(folder) -> list[dict]:
    """Lines of metrics.json, in order, without clock times."""
    lines = [json.loads(line) for line in (Path(folder) / "metrics.json").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCKS} for line in lines]


def assert_same(a, b, where=""):
    """Equal to the last bit, whatever the nesting."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for index, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}/{index}")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), where
    else:
        assert a == b, where


def assert_same_run(a, b):
    """Two folders hold the same checkpoints and the same metrics."""
    a, b = Path(a), Path(b)
    names = [sorted(path.name for path in folder.glob("*.pth*")) for folder in (a, b)]
    assert names[0] == names[1]
    for name in names[0]:
        contents = [torch.load(folder / name, weights_only=True) for folder in (a, b)]
        for content in contents:
            content["trainer"]["hooks"].pop("RunLog")  # sizes of a file with clock times
            content.pop("run")
        assert_same(*contents, name)
    assert (a / "last_checkpoint").read_text() == (b / "last_checkpoint").read_text()
    for ours, theirs in zip(read_metrics(a), read_metrics(b), strict=True):
        assert ours == theirs
