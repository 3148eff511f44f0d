#!/usr/bin/env python
"""The same as ``fx-d2 export-weights``: fx_d2/commands/export_weights.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("export-weights")
