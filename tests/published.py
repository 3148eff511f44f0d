"""Files in published layouts, made from our own networks: the inverse of the import, written down a second time."""

import re

import torch

from fx_d2.checkpoint.reference import published_classes, reference_config
from fx_d2.modeling import FoundationX

SIZES = {
    "MODEL.SWIN.EMBED_DIM": 8,
    "MODEL.SWIN.DEPTHS": [1, 1, 2, 2],
    "MODEL.SWIN.NUM_HEADS": [1, 2, 2, 4],
    "MODEL.SWIN.WINDOW_SIZE": 4,
    "MODEL.BOX.DIM": 32,
    "MODEL.BOX.NUM_HEADS": 2,
    "MODEL.BOX.FFN_DIM": 16,
    "MODEL.BOX.ENCODER_LAYERS": 1,
    "MODEL.BOX.DECODER_LAYERS": 2,
    "MODEL.BOX.NUM_QUERIES": 7,
    "MODEL.DEVICE": "cpu",
}
NUMBERS = ["tbx11k", "node21", "candid_ptx", "rsna_pneumonia", "chestx_det", "siim_acr", "chexpert", "nih_cxr14"]
NUMBERS += ["vindr_cxr", "shenzhen", "mimic_cxr"]


def tiny_published(layout: str, seed: int = 0) -> FoundationX:
    """A published network in tiny sizes; every tensor is random."""
    torch.manual_seed(seed)
    model = FoundationX(reference_config(layout, SIZES), classes=published_classes()).eval()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.1)
    if layout == "foundation_x":  # one table of content queries and one of labels for all six
        _share(model, "content_queries", "label_embed")
    else:
        _share(model, "label_embed")
    return model


def _share(model: FoundationX, *parts: str) -> None:
    branches = list(model.heads["box"].branches.values())
    for part in parts:
        for branch in branches[1:]:
            getattr(branch, part).weight.data.copy_(getattr(branches[0], part).weight)


# Our names (patterns) -> published ones; \d stands for the number of the dataset.
_ALIKE = [
    (r"backbone\.(.+)", r"backbone.0.\1"),
    (r"heads\.cls\.norm\.(.+)", r"backbone.0.norm.\1"),
    (r"heads\.cls\.branches\.(\w+)\.(.+)", r"backbone.0.classification_heads.{d}.\2"),
    (r"heads\.box\.norms\.0\.(.+)", r"backbone.0.Locnorm1.\1"),
    (r"heads\.box\.norms\.1\.(.+)", r"backbone.0.Locnorm2.\1"),
    (r"heads\.box\.norms\.2\.(.+)", r"backbone.0.Locnorm3.\1"),
    (r"heads\.box\.(input_proj\..+)", r"\1"),
    (r"heads\.box\.level_embed", r"transformer.level_embed"),
    (r"heads\.box\.(encoder\.layers\.\d+\.self_attn\..+)", r"transformer.\1"),
    (r"heads\.box\.(encoder\.layers\.\d+)\.norm\.(.+)", r"transformer.\1.norm1.\2"),
    (r"heads\.box\.(encoder\.layers\.\d+)\.ffn\.norm\.(.+)", r"transformer.\1.norm2.\2"),
    (r"heads\.box\.(encoder\.layers\.\d+)\.ffn\.(linear\d\..+)", r"transformer.\1.\2"),
    (r"heads\.mask\.pooling\.stages\.(\d)\.0\.(.+)", r"backbone.0.segmentation_PPN.stages.\1.1.\2"),
    (r"heads\.mask\.pooling\.stages\.(\d)\.1\.(.+)", r"backbone.0.segmentation_PPN.stages.\1.2.\2"),
    (r"heads\.mask\.pooling\.(bottleneck\..+)", r"backbone.0.segmentation_PPN.\1"),
    (r"heads\.mask\.pyramid\.lateral\.(.+)", r"backbone.0.segmentation_FPN.conv1x1.\1"),
    (r"heads\.mask\.pyramid\.smooth\.(.+)", r"backbone.0.segmentation_FPN.smooth_conv.[012].\1"),
    (r"heads\.mask\.pyramid\.fusion\.(.+)", r"backbone.0.segmentation_FPN.conv_fusion.\1"),
    (r"heads\.mask\.branches\.(\w+)\.(.+)", r"backbone.0.segmentation_heads.{d}.\2"),
    (r"heads\.box\.branches\.(\w+)\.label_embed\.weight", r"label_enc.weight"),
    (r"heads\.box\.branches\.(\w+)\.proposal_class\.(.+)", r"transformer.enc_out_class_embed.{d}.\2"),
    (r"heads\.box\.branches\.(\w+)\.proposal_box\.(.+)", r"transformer.enc_out_bbox_embed.{d}.\2"),
]
_DECODER = [
    (r"{o}\.(layers\.\d+\.self_attn\..+)", r"{p}\1"),
    (r"{o}\.(layers\.\d+\.cross_attn\..+)", r"{p}\1"),
    (r"{o}\.(layers\.\d+)\.self_norm\.(.+)", r"{p}\1.norm2.\2"),
    (r"{o}\.(layers\.\d+)\.cross_norm\.(.+)", r"{p}\1.norm1.\2"),
    (r"{o}\.(layers\.\d+)\.ffn\.norm\.(.+)", r"{p}\1.norm3.\2"),
    (r"{o}\.(layers\.\d+)\.ffn\.(linear\d\..+)", r"{p}\1.\2"),
    (r"{o}\.(norm\..+)", r"{p}\1"),
    (r"{o}\.(ref_point_head\..+)", r"{p}\1"),
]
_X = [
    (r"heads\.box\.branches\.(\w+)\.content_queries\.weight", r"transformer.tgt_embed.weight"),
    (r"heads\.box\.branches\.(\w+)\.class_head\.(.+)", r"class_embed_.{d}.[01].\2"),
    (r"heads\.box\.branches\.(\w+)\.box_head\.(.+)", r"bbox_embed_.{d}.[01].\2"),
    (r"heads\.box\.branches\.(\w+)\.refine_head\.(.+)", r"bbox_embed.{d}.[01].\2"),
    (r"heads\.box\.memory_projections\.(\w+)\.(.+)", r"transformer.enc_outputMem_LinearProjection.{d}.\2"),
    (r"heads\.box\.selectors\.(\w+)\.linear\.(.+)", r"transformer.enc_output.{d}.\2"),
    (r"heads\.box\.selectors\.(\w+)\.norm\.(.+)", r"transformer.enc_output_norm.{d}.\2"),
]
_PLUS = [
    (r"heads\.box\.branches\.(\w+)\.content_queries\.weight", r"transformer.tgt_embed.{d}.weight"),
    (r"heads\.box\.branches\.(\w+)\.class_head\.(.+)", r"class_embed.{d}.[01].\2"),
    (r"heads\.box\.branches\.(\w+)\.box_head\.(.+)", r"bbox_embed.{d}.[01].\2"),
]


def published_state(model: FoundationX, layout: str) -> dict[str, torch.Tensor]:
    """The network's tensors under their published names, repeated where the published file repeats them."""
    owner = r"heads\.box\.decoders\.(?:\w+)"
    prefix = r"transformer.decoder.{d}." if layout == "foundation_x" else "transformer.decoder."
    decoder = [(a.replace("{o}", owner), b.replace("{p}", prefix)) for a, b in _DECODER]
    rules = [*(_X if layout == "foundation_x" else _PLUS), *decoder, *_ALIKE]
    state = {}
    for name, tensor in model.state_dict().items():
        pattern, theirs = next((a, b) for a, b in rules if re.fullmatch(a, name))
        dataset = next((d for d in NUMBERS if f".{d}." in name), None)
        theirs = theirs.replace("{d}", str(NUMBERS.index(dataset)) if dataset else "?")
        theirs = re.sub(pattern, theirs, name)
        repeated = re.search(r"\[(\d+)\]", theirs)
        for digit in repeated[1] if repeated else "-":
            state[re.sub(r"\[\d+\]", digit, theirs)] = tensor.clone()
    # Two more rows than any dataset uses.
    state["label_enc.weight"] = torch.cat([state["label_enc.weight"], torch.rand(2, 32)])
    state["backbone.0.Segnorm0.weight"] = torch.rand(8)
    state["backbone.0.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    return state
