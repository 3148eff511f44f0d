"""Converts weights of a known layout into ours, and says what became of every tensor.

    fx-d2 convert ckpt_E632_TH19.pth foundation_x.pth
    fx-d2 convert swin_base_patch4_window7_224_22k.pth swin_b.safetensors
    fx-d2 convert ckpt.pth mine.pth --part teacher --config-file configs/finetune/vindr_organs.yaml

The layout is told from the names of the tensors: foundation_x, foundation_x_plus, ark, swin (Microsoft, timm before
0.9), timm, dino, fx_d2. Without --config-file the network has the sizes of the file and, for Foundation X and X+, all
published datasets and reference switches (configs/reference). MODEL.WEIGHTS takes all these files directly as well.
"""

from __future__ import annotations

import argparse

from fx_d2.checkpoint import NAMES, PARTS
from fx_d2.checkpoint.convert import convert


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="IN", help="file of weights")
    parser.add_argument("output", metavar="OUT", help="file to write, .pth (Detectron2 checkpoint) or .safetensors")
    parser.add_argument("--layout", choices=("auto", *NAMES), default="auto")
    parser.add_argument(
        "--part", choices=PARTS, default="auto", help="network of the file; auto: student and teacher (ark: teacher)"
    )
    parser.add_argument("--config-file", default="", metavar="FILE", help="configuration of the network to fill")
    parser.add_argument(
        "--min-backbone", type=float, default=None, metavar="SHARE", help="least share of the backbone, 0..1"
    )
    args = parser.parse_args()
    for report in convert(args.source, args.output, args.layout, args.part, args.config_file, args.min_backbone):
        print(report.table(), end="\n\n")
    print(f"written: {args.output}")
