"""Writes tiny fake trees of the published datasets: their exact layout, their quirks, invented values.

With them a reader, a configuration or a whole run can be tried before any data is there.

Example:
    fx-d2 dataset-tree all /tmp/fake
    DETECTRON2_DATASETS=/tmp/fake fx-d2 schedule --config-file configs/foundation_x_swin_b.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fx_d2.phantoms.trees import TREES, write_tree


def main() -> None:
    """Parses the command line and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["all", *TREES], metavar="NAME", help=f"all, or one of {', '.join(TREES)}")
    parser.add_argument("root", type=Path, metavar="DIR", help="the data root; each dataset gets its folder in it")
    arguments = parser.parse_args()
    for name in TREES if arguments.name == "all" else [arguments.name]:
        print(f"{name}: {write_tree(name, arguments.root)}")
