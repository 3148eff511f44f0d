#!/usr/bin/env python
"""The same as ``fx-d2 export``: fx_d2/commands/export.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("export")
