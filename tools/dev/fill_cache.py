#!/usr/bin/env python
"""Decodes the images of a configuration into the cache ahead of a run, so that its first pass is as fast as the others.

Useful where decoding is slow (JPEG 2000) and processor time is cheaper than a GPU's. What is there already is left
alone, so an interrupted call can simply be repeated.

python tools/dev/fill_cache.py --splits train val --config-file configs/foundation_x_swin_b.yaml INPUT.READ_SIDE 1024

Exit code: 0, or 1 where images cannot be read; each is named.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial

from detectron2.data import DatasetCatalog
from torch.utils.data import DataLoader
from tqdm import tqdm

from fx_d2.config import cycle_units, split_name, unit_metadata
from fx_d2.data.caching.reader import ImageReader
from fx_d2.data.errors import DataError, count
from fx_d2.engine.build import prepare
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool

SHOWN = 20


def image_files(cfg, splits: Sequence[str]) -> list[str]:
    """The image files of all units of the cycle in those splits, each once.

    Raises:
        ValueError: no unit has such a split.
    """
    pairs = [(unit, split) for unit in cycle_units(cfg) for split in splits if split in unit_metadata(unit).splits]
    if not pairs:
        raise ValueError(f"no unit of FX.CYCLE.UNITS has a split {' or '.join(splits)}")
    names = (record["file_name"] for pair in pairs for record in DatasetCatalog.get(split_name(*pair)))
    return list(dict.fromkeys(names))


def attempt(reader: ImageReader, name: str) -> str | None:
    """Reads an image; the message of what is wrong with it, or None."""
    try:
        reader(name)
    except DataError as error:
        return str(error)
    return None


def fill(reader: ImageReader, names: Sequence[str], workers: int) -> list[str]:
    """Reads every file in ``workers`` processes; the messages of those that cannot be read."""
    loader = DataLoader(names, batch_size=None, num_workers=workers, collate_fn=partial(attempt, reader))
    return [message for message in tqdm(loader, total=len(names), unit="image") if message]


def make_parser() -> argparse.ArgumentParser:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--splits", nargs="+", default=["train", "val", "test"], help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Prints what is there at the end; returns the exit code.

    Raises:
        ValueError: the cache is off, or a key or an option is wrong.
    """
    args = make_parser().parse_args(arguments)
    cfg = config_from_args(args)
    prepare(cfg)
    reader = ImageReader.from_config(cfg)
    if reader.store is None:
        raise ValueError("INPUT.CACHE.MODE is off: there is no cache to fill")
    names = image_files(cfg, args.splits)
    messages = fill(reader, names, max(0, args.workers))
    for message in messages[:SHOWN]:
        print(message)
    if len(messages) > SHOWN:
        print(f"... and {len(messages) - SHOWN} more")
    entries, size = reader.store.usage()
    print(
        f"{count(len(names) - len(messages), 'image')} read, {count(len(messages), 'file')} not; the cache "
        f"{reader.store.folder} has {count(entries, 'image')}, {size / 1e9:.2f} of {reader.store.max_bytes / 1e9:g} GB"
    )
    return 1 if messages else 0


if __name__ == "__main__":
    run_tool(lambda: sys.exit(main()))
