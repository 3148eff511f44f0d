#!/usr/bin/env python
"""The same as ``fx-d2 visualize-data``: fx_d2/commands/visualize_data.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("visualize-data")
