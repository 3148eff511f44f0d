#!/usr/bin/env python
"""The same as ``fx-d2 convert``: fx_d2/commands/convert.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("convert")
