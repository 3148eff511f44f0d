#!/usr/bin/env python
"""The same as ``fx-d2 install-detectron2``: fx_d2/commands/install_detectron2.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("install-detectron2")
