#!/usr/bin/env python
"""The same as ``fx-d2 ablate``: fx_d2/commands/ablate.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("ablate")
