r"""Tests the method's claims: arms that differ in a few keys, over the same seeds, with paired statistics.

    fx-d2 phantoms
    fx-d2 ablate --plan ablation/phantom.yaml --output output/ablation --jobs 2 --minutes 60
    fx-d2 ablate --plan ablation/phantom.yaml --output output/ablation --report-only

A plan is a YAML file of arms and claims (configs/ablation/phantom.yaml explains it). Finished runs are never repeated,
and a run that was cut off is resumed: call it again until all are done. Writes ablation.html, ablation.json and
ablation.md, of whatever is finished, and series_TASK.svg where the plan has a figure. Exit code: 0 all runs are
finished; 2 a mistake in the plan; 3 some runs are missing or failed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from fx_d2.ablation.page import write_outcome
from fx_d2.ablation.plan import Plan
from fx_d2.ablation.runs import Runner, finished

INCOMPLETE = 3


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", required=True, metavar="YAML", help="arms and claims")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of all runs and of the page")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, each on one core (2)")
    parser.add_argument(
        "--minutes", type=float, default=0, help="stop after so long; the next call goes on (0: no limit)"
    )
    parser.add_argument("--seeds", type=int, default=0, help="the first N seeds only (default: the plan's)")
    parser.add_argument("--arms", nargs="+", default=[], metavar="ARM", help="only these")
    parser.add_argument("--bootstraps", type=int, default=200, help="over patients within a seed; 0: none (200)")
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    args = parser.parse_args(arguments)
    if args.jobs < 1 or args.seeds < 0 or args.minutes < 0 or args.bootstraps < 0:
        parser.error("--jobs is 1 at least; --seeds, --minutes and --bootstraps are 0 at least")
    return args


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    plan = Plan.load(args.plan)
    jobs = plan.jobs(args.seeds, tuple(args.arms))
    try:
        if not args.report_only:
            Runner(args.output, plan.base, args.jobs, args.minutes, lambda line: print(line, flush=True)).run(jobs)
    except KeyboardInterrupt:
        print("stopped and saved; the same command goes on", file=sys.stderr)
    left = sum(not finished(args.output, job, plan.base) for job in jobs)
    path = write_outcome(plan, jobs, args.output, args.bootstraps)
    print(f"{path}: {len(jobs) - left} of {len(jobs)} runs are finished")
    if left:
        sys.exit(INCOMPLETE)
