#!/usr/bin/env python
"""The same as ``fx-d2 dataset-tree``: fx_d2/commands/dataset_tree.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("dataset-tree")
