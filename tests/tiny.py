"""Tiny networks and batches that all tests of the network and the trainer share."""

import torch
from detectron2.structures import Boxes, Instances

from fx_d2.modeling import FoundationX, FXSwin
from fx_d2.modeling.gate import RegionGate
from fx_d2.modeling.heads import BoxHead, ClassificationHead, MaskHead
from fx_d2.modeling.heads.box import BoxOptions
from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.schedule import TASKS, Unit

SIDE = 64
CLASSES = {"one": UnitClasses(("Nodule",)), "two": UnitClasses(("Normal", "Effusion", "Mass"), exclusive=True)}
OPTIONS = {
    "dim": 64,
    "num_heads": 4,
    "num_points": 2,
    "ffn_dim": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "num_queries": 12,
    "denoising_queries": 4,
}


def make_model(
    layout: str = "per_dataset",
    consistency_weight: float = 0.5,
    drop_path: float = 0.0,
    gate: RegionGate | None = None,
    uncertainty: bool = False,
) -> FoundationX:
    """A Foundation X with two datasets that have all three tasks; a few hundred thousand parameters."""
    torch.manual_seed(0)
    backbone = FXSwin(embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=4, drop_path_rate=drop_path)
    channels = {name: shape.channels for name, shape in backbone.output_shape().items()}
    heads = {
        "cls": ClassificationHead(channels["stage4"], CLASSES),
        "box": BoxHead(channels, CLASSES, BoxOptions(layout=layout, **OPTIONS)),
        "mask": MaskHead(list(channels.values()), CLASSES),
    }
    return FoundationX(
        backbone=backbone,
        heads=heads,
        classes={Unit(name, task): classes for name, classes in CLASSES.items() for task in TASKS},
        pixels={task: ([0.5], [0.25]) for task in TASKS},
        consistency_weight=consistency_weight,
        gate=gate,
        uncertainty=uncertainty,
    )


def make_batch(unit: str, count: int = 3, seed: int = 0, side: int = SIDE) -> list[dict]:
    """Random images with random truth of the unit's kind; image 0 has no box, some labels are unknown."""
    parsed = Unit.parse(unit)
    generator = torch.Generator().manual_seed(seed)
    classes = len(CLASSES[parsed.dataset].names)
    batch = []
    for i in range(count):
        entry = {
            "image": torch.randint(0, 256, (1, side, side), dtype=torch.uint8, generator=generator),
            "image_teacher": torch.randint(0, 256, (1, side, side), dtype=torch.uint8, generator=generator),
            "unit": unit,
            "height": 100,
            "width": 80,
            "file_name": f"{i}.png",
            "image_id": str(i),
        }
        if parsed.task == "cls":
            label = torch.eye(classes)[i % classes] if CLASSES[parsed.dataset].exclusive else torch.tensor([i % 2.0])
            entry["labels"] = label if i else torch.full((classes,), float("nan"))
        elif parsed.task == "box":
            low = torch.rand(i, 2, generator=generator) * 30
            corners = torch.cat([low, low + 8 + torch.rand(i, 2, generator=generator) * 20], 1)
            entry["instances"] = Instances((side, side), gt_boxes=Boxes(corners))
            entry["instances"].gt_classes = torch.randint(0, classes, (i,), generator=generator)
        else:
            entry["masks"] = torch.randint(0, 2, (classes, side, side), generator=generator).to(torch.uint8)
            if i == 0:
                entry["masks"][0] = 255
        batch.append(entry)
    return batch


def tiny_config(root, output, **overrides):
    """A configuration over a tiny synthetic cohort in ``root`` (see the ``cohort`` fixture): seconds to train."""
    from fx_d2 import get_fx_cfg

    cfg = get_fx_cfg()
    values = {
        "DATASETS.FILES": [str(root / "phantoms" / "phantoms.yaml")],
        "INPUT.SIZE": SIDE,
        "MODEL.DEVICE": "cpu",
        "MODEL.SWIN.EMBED_DIM": 8,
        "MODEL.SWIN.DEPTHS": [1, 2, 1, 1],
        "MODEL.SWIN.NUM_HEADS": [1, 2, 2, 4],
        "MODEL.SWIN.WINDOW_SIZE": 4,
        "MODEL.BOX.DIM": 64,
        "MODEL.BOX.NUM_HEADS": 4,
        "MODEL.BOX.FFN_DIM": 32,
        "MODEL.BOX.ENCODER_LAYERS": 1,
        "MODEL.BOX.DECODER_LAYERS": 2,
        "MODEL.BOX.NUM_QUERIES": 10,
        "MODEL.BOX.DENOISING.QUERIES": 4,
        "FX.CYCLE.UNITS": ["phantom_screen/cls", "phantom_heart/box", "phantom_heart/mask"],
        "FX.CYCLE.COUNT": 2,
        "FX.LOG_PERIOD": 1,
        "FX.EVAL.OVERLAYS": 1,
        "SOLVER.IMS_PER_BATCH": 4,
        "SOLVER.BASE_LR": 1e-3,
        "DATALOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": str(output),
        **overrides,
    }
    cfg.merge_from_list([item for pair in values.items() for item in pair])
    return cfg
