"""DINO detectors: all but what depends on the classes of their data set."""

import re

import torch

from fx_d2.checkpoint import load_weights
from fx_d2.checkpoint.reference import published_classes, reference_config
from fx_d2.modeling import FoundationX
from fx_d2.schedule import Unit
from tests.published import SIZES, published_state, tiny_published

UNITS = {unit: c for unit, c in published_classes().items() if unit in (Unit("node21", "cls"), Unit("node21", "box"))}


def dino_state() -> dict[str, torch.Tensor]:
    """A detector's tensors, made from those of a tiny Foundation X+ (whose transformer is DINO's)."""
    plus = published_state(tiny_published("foundation_x_plus"), "foundation_x_plus")
    state = {}
    for name, tensor in plus.items():
        if "segmentation" in name or "classification" in name or name.startswith("backbone.0.norm."):
            continue
        name = name.replace("Locnorm", "norm")
        if (
            number := re.search(
                r"(tgt_embed|bbox_embed|class_embed|enc_out_bbox_embed|enc_out_class_embed)\.(\d)", name
            )
        ) is not None:
            if number[2] != "1":
                continue
            name = name.replace(f"{number[1]}.1", number[1], 1)
        state[name] = tensor
    state["transformer.enc_output.weight"], state["transformer.enc_output.bias"] = torch.rand(32, 32), torch.rand(32)
    state["transformer.enc_output_norm.weight"] = torch.rand(32)
    state["transformer.enc_output_norm.bias"] = torch.rand(32)
    return state


def test_detector_without_its_classes(tmp_path):
    state = dino_state()
    torch.save({"model": state}, tmp_path / "dino.pth")
    cfg = reference_config("foundation_x_plus", SIZES)
    cfg.merge_from_list(["MODEL.BOX.LAYOUT", "per_dataset", "MODEL.BOX.SELECTOR_LAYER", True])
    model = FoundationX(cfg, classes=UNITS)
    report = load_weights(tmp_path / "dino.pth", model)
    assert report.layout == "DINO detector with a Swin backbone"
    fresh = ("cls.", "box.branches.node21.class_head", "proposal_class", "label_embed")
    missing = report.names("missing")
    assert missing == [n for n in model.state_dict() if any(part in n for part in fresh)]
    ours = model.state_dict()
    for name, theirs in {
        "backbone.layers.2.blocks.1.mlp.fc1.weight": "backbone.0.layers.2.blocks.1.mlp.fc1.weight",
        "heads.box.norms.2.bias": "backbone.0.norm3.bias",
        "heads.box.input_proj.3.0.weight": "input_proj.3.0.weight",
        "heads.box.encoder.layers.0.ffn.norm.weight": "transformer.encoder.layers.0.norm2.weight",
        "heads.box.decoders.node21.layers.1.self_norm.weight": "transformer.decoder.layers.1.norm2.weight",
        "heads.box.decoders.node21.layers.1.cross_norm.weight": "transformer.decoder.layers.1.norm1.weight",
        "heads.box.decoders.node21.ref_point_head.layers.1.bias": "transformer.decoder.ref_point_head.layers.1.bias",
        "heads.box.selectors.node21.norm.bias": "transformer.enc_output_norm.bias",
        "heads.box.branches.node21.content_queries.weight": "transformer.tgt_embed.weight",
        "heads.box.branches.node21.box_head.layers.2.weight": "bbox_embed.0.layers.2.weight",
        "heads.box.branches.node21.proposal_box.layers.0.bias": "transformer.enc_out_bbox_embed.layers.0.bias",
    }.items():
        assert torch.equal(ours[name], state[theirs]), name
