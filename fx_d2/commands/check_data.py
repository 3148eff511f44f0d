"""Checks the datasets of a configuration before training: files, labels, boxes, masks, pixels, leaks between splits.

Exit code: 0 nothing found, 1 problems, 2 a mistake in the call or the configuration, 3 leaks but no problem.

fx-d2 check-data --config-file configs/phantom.yaml --json output/data.json
fx-d2 check-data --config-file configs/phantom.yaml --sample 200
fx-d2 check-data --images scans/ --labels labels.csv        (without a configuration: writes a first YAML file)
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from fx_d2.config import cycle_units
from fx_d2.files import replacing
from fx_d2.inspection import Options, check_data
from fx_d2.inspection.cache import default_cache
from fx_d2.inspection.first_look import look
from fx_d2.inspection.report import CLEAN, PROBLEMS
from fx_d2.inspection.table import render
from fx_d2.tooling import config_argument_parser, config_from_args


def make_parser() -> argparse.ArgumentParser:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--images", metavar="FOLDER", type=Path, help="look at images that nothing declares yet")
    parser.add_argument("--labels", metavar="F", type=Path, help="their table, COCO file, or folder (YOLO, VOC, masks)")
    parser.add_argument("--write", metavar="FILE", type=Path, help="the first YAML file for them (default: NAME.yaml)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write everything as JSON")
    parser.add_argument("--no-pixels", action="store_true", help="tables and files only: decode no image")
    parser.add_argument("--sample", metavar="N", type=int, default=0, help="decode N images of each split only")
    parser.add_argument("--workers", metavar="N", type=int, default=0, help="processes (default: one per core)")
    parser.add_argument("--cache", metavar="FILE", type=Path, default=default_cache(), help="what is known of images")
    parser.add_argument("--no-cache", action="store_true", help="read every image anew and remember nothing")
    return parser


def draft(images: Path, labels: Path | None, target: Path | None) -> int:
    """Looks at images without a declaration and writes a first one; returns the exit code: 1 where tasks are missing.

    Raises:
        ValueError: a path is wrong, or the file to write is there already.
    """
    for path, is_there in ((images, images.is_dir()), (labels, labels is None or labels.exists())):
        if not is_there:
            raise ValueError(f"{path}: no such {'folder' if path == images else 'file or folder'}")
    logging.getLogger("fx_d2").setLevel(logging.ERROR)
    found = look(images, labels, target or Path("draft.yaml"))
    target = target or Path(f"{found.name}.yaml")
    if target.exists():
        raise ValueError(f"{target}: is there already; name another file with --write")
    with replacing(target) as stream:
        stream.write(found.text.encode())
    print(*found.lines, "", found.text, sep="\n")
    if not found.tasks:
        print(f"{target} is written, without tasks: no annotation was found that fits; say where with --labels")
        return PROBLEMS
    units = ", ".join(f"'{found.name}/{task}'" for task in found.tasks)
    print(f"{target} is written. Edit it, then:")
    print(f"""fx-d2 check-data DATASETS.FILES "['{target}']" FX.CYCLE.UNITS "[{units}]\"""")
    return CLEAN


def main(arguments: list[str] | None = None) -> int:
    """Prints the report; returns the exit code.

    Raises:
        ValueError: a key, a unit or an option is wrong.
    """
    args = make_parser().parse_args(arguments)
    if args.images:
        return draft(args.images, args.labels, args.write)
    if args.labels or args.write:
        raise ValueError("--labels and --write go with --images")
    if args.sample < 0 or args.workers < 0:
        raise ValueError("--sample and --workers take 0 or more")
    cfg = config_from_args(args)
    options = Options(
        pixels=not args.no_pixels,
        sample=args.sample,
        workers=args.workers,
        cache=None if args.no_cache else args.cache,
        progress=True,
        grey=cfg.INPUT.GREY,
    )
    logging.getLogger("fx_d2").setLevel(logging.ERROR)  # what readers have to say is in the report
    units = cycle_units(cfg)
    if not units:
        raise ValueError("FX.CYCLE.UNITS is empty: there is nothing to check; name a configuration with --config-file")
    report = check_data(units, cfg.DATASETS.FILES, options, cfg.DATASETS.OPTIONS)
    if args.json:
        report.write_json(args.json)
    print(render(report))
    return report.exit_code
