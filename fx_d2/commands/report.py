"""Writes report.html and MODEL_CARD.md of a finished (or stopped) run again, from its files alone: no network is built.

    fx-d2 report output/phantom
    fx-d2 report output/phantom FX.EVAL.REPORT_CASES 0

The pictures are read from the datasets that the run's config.yaml names; where those are not at hand the report says so
in their place.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from detectron2.utils.logger import setup_logger

from fx_d2.config import get_fx_cfg
from fx_d2.data.catalog import register_datasets
from fx_d2.data.errors import DataError
from fx_d2.report.report import write_report

logger = logging.getLogger("fx_d2.make_report")


def make_report(folder: Path, options: Sequence[str] = ()) -> Path:
    """Writes both files and returns the page's path.

    Args:
        options: KEY VALUE pairs that override the run's configuration.

    Raises:
        ValueError: the folder is not one of a run, or a file in it is damaged.
    """
    config = folder / "config.yaml"
    if not config.is_file():
        raise ValueError(f"{config} is not there: name the output folder of a run")
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(config))
    cfg.merge_from_list(list(options))
    try:
        register_datasets(cfg.DATASETS.FILES, cfg.DATASETS.OPTIONS)
    except DataError as error:
        logger.warning("the report is written without pictures: %s", error)
    return write_report(folder, cfg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="the run's OUTPUT_DIR")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that override its configuration")
    args = parser.parse_args()
    setup_logger(name="fx_d2")
    print(make_report(args.folder, args.opts))
