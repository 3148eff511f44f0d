#!/usr/bin/env python
"""The same as ``fx-d2 predict``: fx_d2/commands/predict.py."""

from fx_d2.commands.cli import run

if __name__ == "__main__":
    run("predict")
