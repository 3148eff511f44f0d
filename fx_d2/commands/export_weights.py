"""Writes one network of a checkpoint as weights alone, with class names and configuration, or its backbone for timm.

    fx-d2 export-weights output/phantom/model_final.pth --model teacher --format safetensors
    fx-d2 export-weights foundation_x.pth --model teacher --format timm --output swin_b_timm.pth

The formats pth and safetensors load back with MODEL.WEIGHTS, to the last bit. timm is for
`timm.create_model("swin_base_patch4_window7_224")` and `load_state_dict(..., strict=True)`, timm 0.9 or later: its
classifier of 1000 classes is all zero, or with --head DATASET that dataset's classification layer (create the model
with its num_classes), or with --head none absent (num_classes=0).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fx_d2.checkpoint.export import export_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a checkpoint or an export of fx_d2")
    parser.add_argument("--model", choices=("student", "teacher"), default="teacher")
    parser.add_argument("--format", choices=("safetensors", "pth", "timm"), default="safetensors")
    parser.add_argument("--output", default="", help="file to write; its name says the model if not given")
    parser.add_argument("--config-file", default="", help="configuration, where neither checkpoint nor folder has it")
    parser.add_argument("--head", default=None, metavar="DATASET", help="timm only: its classifier, or none")
    parser.add_argument("--half", action="store_true", help="values in float16")
    parser.add_argument("--notice", default="", help="a sentence that every prediction of these weights will carry")
    args = parser.parse_args()
    ending = {"timm": "_timm.safetensors", "pth": ".pth", "safetensors": ".safetensors"}[args.format]
    checkpoint = Path(args.checkpoint)
    output = Path(args.output or checkpoint.with_name(f"{checkpoint.stem}_{args.model}{ending}"))
    timm, options = args.format == "timm", {"half": args.half, "notice": args.notice}
    for line in export_weights(checkpoint, output, args.model, timm, args.config_file, args.head, **options):
        print(line)
