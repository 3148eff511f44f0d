#!/usr/bin/env python
"""The same as ``fx-d2 phantoms``: fx_d2/commands/phantoms.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("phantoms")
