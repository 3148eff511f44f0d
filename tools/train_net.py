#!/usr/bin/env python
"""The same as ``fx-d2 train``: fx_d2/commands/train.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("train")
