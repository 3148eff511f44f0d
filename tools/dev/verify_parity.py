#!/usr/bin/env python
"""Compares the network with recorded outputs of the published one, array by array.

    python tools/dev/verify_parity.py FOLDER

FOLDER holds weights in the published layout, inputs and outputs (state_dict.npz, config.json, inputs.npz,
backbone.npz, classification.npz, segmentation.npz, localization.npz; criterion, denoising and training as npz and
json), or of Foundation X+ (state_dict.npz, config.json, outputs.npz with the region gate).
Every line names an array or a recorded number, its shape, the largest difference, and that difference as a share of
what is allowed (1e-4 + 1e-4 |b|; whole numbers exactly; gradient norms 1e-3). Exit codes: 0 all within, 1 something is
not, or was not compared; 2 the folder is not of this format.
"""

from __future__ import annotations

import argparse
import sys

import fx_d2  # isort: skip  # noqa: F401  (first: it sets how PyTorch's threads wait)
from fx_d2.tooling import run_tool
from parity import verify_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the recording")
    parser.add_argument("--failures", action="store_true", help="print only what is beyond tolerance")
    args = parser.parse_args()
    recording, report = verify_folder(args.folder)
    print(report.table(), end="\n\n")
    print(f"{'':4}  {'largest difference':>18}  {'of allowed':>10}  array (shape)")
    for line in recording.lines:
        if not (line.fine and args.failures):
            share = f"{100 * line.excess:.1f} %" if line.excess != float("inf") else "beyond"
            shape = "x".join(map(str, line.shape)) or "number"
            mark = "ok" if line.fine else "FAIL"
            print(f"{mark:4}  {line.difference:18.3g}  {share:>10}  {line.name} ({shape}) {line.remark}".rstrip())
    wrong = sum(not line.fine for line in recording.lines)
    left = recording.leftovers()
    for name in left:
        print(f"FAIL  not compared: {name}")
    worst = max(recording.lines, key=lambda line: line.excess)
    print(f"\n{len(recording.lines)} comparisons, {wrong} beyond tolerance, {len(left)} arrays not compared")
    print(f"closest to its limit: {worst.name}, {100 * worst.excess:.1f} % of what is allowed")
    sys.exit(1 if wrong or left else 0)


if __name__ == "__main__":
    run_tool(main)
