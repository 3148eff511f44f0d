#!/usr/bin/env python
"""The same as ``fx-d2 evaluate``: fx_d2/commands/evaluate.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("evaluate")
