"""The real command line in real processes: signals, torchrun, a rank that dies, an evaluation that fails."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fx_d2.engine.launch import run_child
from tests.engine.runs import assert_same_run, run_in_process, short_config

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "train_net.py"
QUIET = {"FX.EVAL.SPLIT": "", "FX.CYCLE.COUNT": 2, "FX.CYCLE.UNITS": ["phantom_screen/cls", "phantom_heart/box"]}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def start(cfg, *arguments, launcher=(), **environment):
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / f"{folder.name}.yaml").write_text(cfg.dump())
    command = [sys.executable, "-W", "ignore", *launcher, str(TOOL)]
    command += ["--config-file", str(folder.parent / f"{folder.name}.yaml"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    # Into a file: a pipe that nobody reads would stop the run.
    with open(f"{folder}.out", "a") as output:
        return subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)


def finish(process, cfg, seconds=500) -> str:
    """Waits; returns what the process has printed."""
    process.wait(seconds)
    return Path(f"{cfg.OUTPUT_DIR}.out").read_text()


def wait_for_step(process, cfg, step, seconds=300):
    """Until heartbeat.json says that so many steps are done."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if json.loads((Path(cfg.OUTPUT_DIR) / "heartbeat.json").read_text())["iteration"] >= step:
                return
        except (FileNotFoundError, KeyError):
            pass
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no step {step}: {finish(process, cfg)[-3000:]}")


def test_a_signal_saves_and_resume_goes_on_exactly(cohort, tmp_path):
    """SIGTERM to the command in the middle of a cycle: code 75; the same command with --resume ends as if unbroken."""
    overrides = {**QUIET, "FX.HEARTBEAT_SECONDS": 0.0, "FX.CHECKPOINT_KEEP": 1, "FX.CYCLE.COUNT": 6}
    cfg = short_config(cohort, tmp_path / "run", **overrides)
    process = start(cfg)
    wait_for_step(process, cfg, 8)
    process.send_signal(signal.SIGTERM)
    output = finish(process, cfg)
    assert process.returncode == 75, output[-3000:]
    assert "SIGTERM received: stopping after this step" in output
    beat = json.loads((tmp_path / "run" / "heartbeat.json").read_text())
    assert beat["state"] == "preempted" and 8 <= beat["iteration"] < 36
    assert (tmp_path / "run" / "last_checkpoint").read_text() == f"model_{beat['iteration'] - 1:07d}.pth"
    process = start(cfg, "--resume")
    output = finish(process, cfg)
    assert process.returncode == 0, output[-3000:]
    assert f"iteration {beat['iteration']} of" in output
    cfg.OUTPUT_DIR = str(tmp_path / "unbroken")
    assert run_in_process(cfg) == 0
    assert_same_run(tmp_path / "unbroken", tmp_path / "run")


def test_a_signal_to_processes_that_only_start(cohort, tmp_path):
    """They are still importing and do not listen; nothing was begun: the launcher ends with 75 all the same."""
    cfg = short_config(cohort, tmp_path / "run", **QUIET)
    process = start(cfg, "--num-gpus", "2", "--dist-url", f"tcp://127.0.0.1:{free_port()}", CUDA_VISIBLE_DEVICES="")
    end = time.monotonic() + 300
    # Both, and Python's watch over shared memory, which is there before them.
    while len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()) < 3:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    output = finish(process, cfg)
    assert process.returncode == 75, output[-3000:]


def test_a_double_interrupt_of_processes_is_no_success():
    def interrupted(args):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run_child(interrupted, None)
    assert ended.value.code == 130


def torchrun(count):
    return ("-m", "torch.distributed.run", f"--nproc-per-node={count}", f"--master-port={free_port()}")


def test_torchrun_evaluates_once_and_equals_launch(cohort, tmp_path):
    """Two gloo processes by torchrun and by Detectron2's launch: the same checkpoint to the last bit."""
    runs = []
    for name, launcher, arguments in (
        ("torchrun", torchrun(2), ()),
        ("launch", (), ("--num-gpus", "2", "--dist-url", f"tcp://127.0.0.1:{free_port()}")),
    ):
        cfg = short_config(cohort, tmp_path / name, **{**QUIET, "FX.CYCLE.COUNT": 1})
        runs.append((start(cfg, *arguments, launcher=launcher, CUDA_VISIBLE_DEVICES=""), cfg))
    for process, cfg in runs:
        output = finish(process, cfg)
        assert process.returncode == 0, output[-3000:]
    assert_same_run(tmp_path / "torchrun", tmp_path / "launch")
    text = (tmp_path / "torchrun" / "metrics.json").read_text()
    assert text.count('"val/student/mean"') == 1


SABOTAGE = """
import os, signal, sys
import fx_d2
from detectron2.utils import comm
from fx_d2.commands import train as train_net
from fx_d2.engine import build
from fx_d2.engine.trainer import CyclicTrainer
from fx_d2.tooling import run_tool

kind = os.environ["SABOTAGE"]
step, evaluate = CyclicTrainer.run_step, build.evaluate

def run_step(self):
    if kind == "death" and self.iter == 2 and comm.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    step(self)

def failing(*args, **kwargs):
    if comm.is_main_process():
        raise ValueError("scores.csv: the evaluation failed on the main process")
    return evaluate(*args, **kwargs)

CyclicTrainer.run_step = run_step
if kind == "evaluation":
    build.evaluate = failing
if __name__ == "__main__":
    run_tool(train_net.invoke_main)
"""


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        ("death", 1, "error: process 1 terminated with signal SIGKILL; the other processes were ended"),
        ("evaluation", 2, "error: scores.csv: the evaluation failed on the main process"),
    ],
)
def test_one_failing_process_ends_the_job_with_its_reason(cohort, tmp_path, kind, code, reason):
    (tmp_path / "sabotage.py").write_text(SABOTAGE)
    cfg = short_config(cohort, tmp_path / "run", **{**QUIET, "FX.CYCLE.COUNT": 1})
    (tmp_path / "run.yaml").write_text(cfg.dump())
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(tmp_path / "sabotage.py"),
        "--config-file",
        str(tmp_path / "run.yaml"),
    ]
    command += ["--num-gpus", "2", "--dist-url", f"tcp://127.0.0.1:{free_port()}"]
    paths = str(ROOT)
    env = {**os.environ, "PYTHONPATH": paths, "SABOTAGE": kind, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == code, done.stderr[-3000:]
    assert reason in done.stderr
