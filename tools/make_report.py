#!/usr/bin/env python
"""The same as ``fx-d2 report``: fx_d2/commands/report.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("report")
