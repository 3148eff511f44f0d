#!/usr/bin/env python
"""The same as ``fx-d2 demo``: fx_d2/commands/demo.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("demo")
