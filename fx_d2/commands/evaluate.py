r"""Scores predictions again from the files of an evaluation, without the model and without the data.

    fx-d2 evaluate output/phantom/predictions
    fx-d2 evaluate output/phantom/predictions --units phantom_ward/box --output again
    fx-d2 evaluate --compare output/new/predictions output/old/predictions --output difference

The first prints the results table; with --output it writes what the evaluation wrote: results.json and the other files
named in docs/metrics.md, with the same numbers. --compare takes the first folder minus the second, on the same images:
paired bootstrap over patients, and DeLong's test for the AUROC of a finding.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from tabulate import tabulate

from fx_d2.data.errors import DataError
from fx_d2.evaluation.rescore import compare_folders, rescore
from fx_d2.evaluation.results import results_table
from fx_d2.files import write_json


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", metavar="PREDICTIONS", help="a predictions folder")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two predictions folders")
    parser.add_argument("--output", metavar="DIR", help="folder to write the results into")
    parser.add_argument("--units", nargs="+", metavar="DATASET/TASK", help="only these units")
    parser.add_argument("--bootstraps", type=int, metavar="N", help="replicates of the intervals; default: as stored")
    parser.add_argument("--per-class", action="store_true", help="with --compare: a row for every class too")
    args = parser.parse_args(arguments)
    if bool(args.folder) == bool(args.compare):
        parser.error("name one predictions folder, or two after --compare")
    if args.bootstraps is not None and args.bootstraps < 0:
        parser.error("--bootstraps must be 0 or more")
    return args


def comparison_table(comparisons: dict, per_class: bool) -> str:
    """One row a metric: values of both, difference with interval, p-values."""
    rows = []
    for unit, metrics in comparisons.items():
        for name, row in metrics.items():
            if "/" in name and not per_class:
                continue
            cells = ["-" if row[key] is None else f"{row[key]:.4f}" for key in ("first", "second", "difference")]
            interval = f"[{row['low']:.4f}, {row['high']:.4f}]" if "low" in row else row.get("reason", "")
            p_values = [f"{row[key]:.4f}" if row.get(key) is not None else "" for key in ("p_value", "delong_p_value")]
            rows.append([unit, name, *cells, interval, *p_values])
    headers = ["unit", "metric", "A", "B", "A - B", "interval", "p (bootstrap)", "p (DeLong)"]
    return tabulate(rows, headers, disable_numparse=True)


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    changes = {} if args.bootstraps is None else {"bootstraps": args.bootstraps}
    output = Path(args.output) if args.output else None
    try:
        if args.compare:
            comparisons = compare_folders(args.compare[0], args.compare[1], args.units, **changes)
            print(comparison_table(comparisons, args.per_class))
            if output:
                write_json(output / "comparison.json", comparisons, sort_keys=True)
        else:
            run = rescore(args.folder, args.units, **changes)
            print(results_table(run.results))
            if output:
                run.write(output)
    except DataError as error:
        raise SystemExit(f"error: {error}") from None
