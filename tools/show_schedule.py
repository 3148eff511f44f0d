#!/usr/bin/env python
"""The same as ``fx-d2 schedule``: fx_d2/commands/schedule.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("schedule")
