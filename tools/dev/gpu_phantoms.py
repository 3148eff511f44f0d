#!/usr/bin/env python
"""Trains the phantom network from CUDA graphs, stopped by SIGTERM and resumed, and kernel by kernel; compares losses.

python tools/dev/gpu_phantoms.py --folder output/phantoms --json phantoms.json MODEL.DEVICE cuda

The same steps, recorded and launched, differ by rounding, which training enlarges from cycle to cycle: compared are
the means of each unit's loss in a cycle. On the CPU nothing is recorded, and the two runs must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean

from benchmarking.report import markdown
from fx_d2.engine.preemption import EXIT_PREEMPTED
from fx_d2.phantoms import write_cohort
from fx_d2.tooling import run_tool

# Nothing is scored, every step's loss is written, and heartbeat.json tells of every step. Passes are short; their
# batches are whole, for only these are recorded.
KEYS = {
    "FX.EVAL.CYCLES": "0",
    "FX.EVAL.AFTER_UNITS": "0",
    "FX.EVAL.SPLIT": "",
    "FX.LOG_PERIOD": "1",
    "FX.HEARTBEAT_SECONDS": "0.0",
    "SOLVER.IMS_PER_BATCH": "8",
    "FX.CYCLE.CLS": "[{'train': 'path', 'images': 32}]",
    "FX.CYCLE.BOX": "[{'train': 'head', 'images': 16}, {'train': 'path', 'images': 32}]",
    "FX.CYCLE.MASK": "[{'train': 'head', 'images': 16}, {'train': 'path', 'images': 32}]",
}
# As fx_d2.engine.step_graphs.StepGraphs describes itself.
RECORDED = r"([\d.]+)% of the steps came from CUDA graphs: (\d+) kinds of steps, recorded in ([\d.]+) s, (\S+) GiB"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where images and runs are written")
    parser.add_argument("--images", type=int, default=60, help="of each of the four datasets (default: %(default)s)")
    parser.add_argument("--cycles", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys")
    return parser.parse_args()


class Training:
    """``fx-d2 train`` in processes of its own; ``seconds``: of all of them."""

    def __init__(self, folder: Path, run: str, cycles: int, opts: list[str]) -> None:
        self.run, self.seconds = folder / run, 0.0
        keys = KEYS | {"FX.CYCLE.COUNT": str(cycles), "OUTPUT_DIR": str(self.run)}
        self._opts = [*(word for pair in keys.items() for word in pair), *opts]
        self._environment = {**os.environ, "DETECTRON2_DATASETS": str(folder)}

    def start(self, *options: str, stop: bool = False) -> None:
        """Runs to the end, or with ``stop`` until half of the steps are done.

        Raises:
            ValueError: it ended otherwise than it should.
        """
        command = [sys.executable, "-m", "fx_d2", "train", "--config-file", "phantom.yaml", *options, *self._opts]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=sys.stderr, env=self._environment)
        while stop and process.poll() is None:
            time.sleep(0.02)
            if self._done(process.pid) >= 0.5:
                process.send_signal(signal.SIGTERM)
                break
        code, expected = process.wait(), EXIT_PREEMPTED if stop else 0
        self.seconds += time.perf_counter() - begin
        if code != expected:
            raise ValueError(f"{self.run}: the training ended with exit code {code} instead of {expected}")

    def _done(self, pid: int) -> float:
        """The share of its steps that this process has finished; the file may be an earlier run's."""
        file = self.run / "heartbeat.json"
        beat = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return beat["iteration"] / beat["iterations"] if beat.get("pid") == pid else 0.0

    def row(self) -> dict:
        """Seconds, and what the last process said of its recordings."""
        found = re.findall(RECORDED, (self.run / "log.txt").read_text(encoding="utf-8"))
        names = "played steps, %", "kinds of steps", "recorded in, s", "recorded, GiB"
        row = {"case": self.run.name, "seconds with start": self.seconds}
        return row | (dict(zip(names, map(float, found[-1]), strict=True)) if found else {})


def losses(run: Path) -> dict[tuple[str, int], float]:
    """Total loss by unit and iteration, from metrics.json."""
    lines = map(json.loads, (run / "metrics.json").read_text(encoding="utf-8").splitlines())
    ending = "/total_loss"
    return {
        (name.removesuffix(ending), line["iteration"]): value
        for line in lines
        for name, value in line.items()
        if name.endswith(ending)
    }


def compare(first: Path, second: Path, cycles: int) -> list[dict]:
    """A row for each cycle and for all: by how much a unit's mean losses differ at most, and those of a step.

    Raises:
        ValueError: the runs did not take the same steps.
    """
    one, other = losses(first), losses(second)
    if one.keys() != other.keys() or not one:
        raise ValueError(f"{first} and {second} did not take the same steps: {len(one)} and {len(other)}")
    length, rows = len(one) // cycles, []
    for cycle in range(cycles):
        pairs = defaultdict(list)
        for unit, iteration in (key for key in one if key[1] // length == cycle):
            pairs[unit].append((one[unit, iteration], other[unit, iteration]))
        apart = {unit: difference(*map(mean, zip(*found, strict=True))) for unit, found in pairs.items()}
        worst = max(apart, key=lambda unit: apart[unit])
        step = max(difference(*pair) for found in pairs.values() for pair in found)
        rows.append({"case": f"cycle {cycle + 1}", "means differ by": apart[worst], "in": worst, "a step by": step})
    return [*rows, max(rows, key=lambda row: row["means differ by"]) | {"case": "all cycles"}]


def difference(one: float, other: float) -> float:
    """Relative to the larger one."""
    return abs(one - other) / max(abs(one), abs(other)) if one != other else 0.0


def main() -> None:
    args = parse_args()
    write_cohort(args.folder, images=args.images)
    recorded = Training(args.folder, "recorded", args.cycles, [*args.opts, "FX.CAPTURE", "auto"])
    recorded.start(stop=True)
    recorded.start("--resume")
    launched = Training(args.folder, "launched", args.cycles, [*args.opts, "FX.CAPTURE", "off"])
    launched.start()
    tables = {
        "Losses of the recorded and the launched training, relative": compare(recorded.run, launched.run, args.cycles),
        "The two trainings": [recorded.row(), launched.row()],
    }
    for title, rows in tables.items():
        print(markdown(title, rows), end="\n\n")
    if args.json:
        args.json.write_text(json.dumps({"tables": tables}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_tool(main)
