#!/usr/bin/env python
"""The same as ``fx-d2 check-data``: fx_d2/commands/check_data.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("check-data")
