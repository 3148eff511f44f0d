#!/usr/bin/env python
"""The same as ``fx-d2 external``: fx_d2/commands/external.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("external")
