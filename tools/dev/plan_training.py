#!/usr/bin/env python
"""Hours and price of a training of published size on several numbers of GPUs, and what binds.

python tools/dev/plan_training.py --config-file configs/foundation_x_swin_b.yaml --rates bf16.json

Rates are measured (--rates: a file of tools/dev/benchmark.py --json, or 'cls released=0.55,box locked=0.31,...'), or
assumed (--tflops, over the counted operations of --counts). Everything else that is not counted is an assumption with
an option; the first line printed names them all. docs/scaling.md has tables and the formulas.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from benchmarking.plan import kind_rows, run_rows
from benchmarking.rates import assumed_rates, read_rates, read_work
from benchmarking.report import markdown
from benchmarking.scaling import Machine, Rate
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool

COUNTS = Path(__file__).parents[2] / "docs" / "scaling_counts.json"


def parse_args() -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--rates", default="", help="measured: a JSON of benchmark.py, or kind=images/s,...")
    parser.add_argument("--tflops", type=float, default=0.0, help="assumed: 1e12 operations a second of every step")
    parser.add_argument("--counts", default=str(COUNTS), help="JSON of plan_memory.py (default: Swin-B at 224)")
    parser.add_argument("--operator-us", type=float, default=0.0, help="host's time to start an operator; 0: no matter")
    parser.add_argument("--gpus", default="1,8,64", help="comma-separated (default: %(default)s)")
    parser.add_argument("--batch-per-gpu", type=int, default=0, help="0: SOLVER.IMS_PER_BATCH over all GPUs")
    parser.add_argument("--bandwidth", type=float, default=100.0, help="GB/s a GPU sends (default: %(default)s)")
    parser.add_argument(
        "--loader-rate", type=float, default=88.0, help="images/s a core (default: %(default)s, docs/loading.md)"
    )
    parser.add_argument("--cores", type=float, default=8.0, help="loader workers a GPU (default: %(default)s)")
    parser.add_argument("--price", type=float, default=2.5, help="of a GPU hour (default: %(default)s)")
    parser.add_argument(
        "--pass-seconds", type=float, default=0.1, help="lost at a change of pass (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the hours there")
    return parser.parse_args()


def rates_of(args: argparse.Namespace) -> dict[tuple[str, str], Rate]:
    """Rates by kind of pass with the host's floor and the bytes that are exchanged."""
    work = read_work(Path(args.counts))
    if bool(args.rates) == bool(args.tflops):
        raise ValueError("give either --rates (measured) or --tflops (assumed)")
    images = read_rates(args.rates) if args.rates else assumed_rates(work, args.tflops)
    missing = [key for key in images if key not in work]
    if missing:
        raise ValueError(f"--counts: {args.counts} has no counts of {missing[0]}; write it with plan_memory.py")
    return {
        key: Rate(rate, work[key].operators * args.operator_us * 1e-6, 4.0 * work[key].trained)
        for key, rate in images.items()
    }


def assumptions(args: argparse.Namespace) -> str:
    rates = f"measured rates ({args.rates})" if args.rates else f"ASSUMED {args.tflops:g} TFLOP/s in every step"
    return (
        f"{rates}; assumed: {args.operator_us:g} us to start an operator, {args.bandwidth:g} GB/s a GPU, trained "
        f"parameters' gradients exchanged in float32, {args.cores:g} cores a GPU with {args.loader_rate:g} "
        f"images/s each, {args.pass_seconds:g} s a change of pass, {args.price:g} a GPU hour; no evaluation"
    )


def main() -> None:
    args = parse_args()
    args.opts += ["SOLVER.AMP.ENABLED", "False"]  # nothing is computed here, so nothing need be said of this machine
    cfg = config_from_args(args)
    rates = rates_of(args)
    machine = Machine(1, args.bandwidth * 1e9, args.cores, args.loader_rate, args.price, args.pass_seconds)
    counts = [int(count) if count.strip().isdigit() else 0 for count in args.gpus.split(",")]
    if min(counts) < 1:
        raise ValueError(f"--gpus takes numbers from 1, separated by commas, not {args.gpus!r}")
    print(assumptions(args), end="\n\n")
    rows = run_rows(cfg, rates, machine, counts, args.batch_per_gpu)
    title = "Training of published size"
    print(markdown(title, rows))
    if args.json:
        Path(args.json).write_text(json.dumps({"tables": {title: rows}}, indent=1) + "\n", encoding="utf-8")
    for row in (row for row in rows if "hours a cycle" in row):
        found = kind_rows(cfg, rates, replace(machine, gpus=row["GPUs"]), row["batch"])
        print(f"\n{markdown('{GPUs} GPU(s), batch {batch}'.format(**row), found)}")


if __name__ == "__main__":
    run_tool(main)
