"""Our network in the sizes of a recording, filled with its weights."""

from __future__ import annotations

from torch import Tensor

from fx_d2.checkpoint.layouts import Target
from fx_d2.checkpoint.layouts.foundation_x import FOUNDATION_X, FOUNDATION_X_PLUS
from fx_d2.checkpoint.published import CLASSES
from fx_d2.checkpoint.reference import reference_config
from fx_d2.checkpoint.report import MISSING, LoadReport
from fx_d2.checkpoint.safe import CheckpointError
from fx_d2.checkpoint.transfer import transfer
from fx_d2.modeling import FoundationX
from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.schedule import Unit

from .recording import Recording

DATASETS = tuple(CLASSES["cls"])
# The recorded images are normalised already.
_NORMALISED = {
    f"MODEL.PIXEL.{task}.{name}": [value]
    for task in ("CLS", "BOX", "MASK")
    for name, value in (("MEAN", 0.0), ("STD", 1.0 / 255.0))
}


def recorded_config(recording: Recording):
    """The published network in the recorded sizes; nothing in it is random."""
    if recording.plus:
        return plus_config(recording)
    swin, box = recording.config["backbone"], recording.config["localization"]
    mask, training = recording.config["segmentation"], recording.training["settings"]
    backbone_lr, rate = (training["lr_by_group"][name] for name in ("backbone", "segmentation"))
    values = {
        "MODEL.DEVICE": "cpu",
        "MODEL.SWIN.PATCH_SIZE": swin["patch_size"],
        "MODEL.SWIN.EMBED_DIM": swin["embed_dim"],
        "MODEL.SWIN.DEPTHS": swin["depths"],
        "MODEL.SWIN.NUM_HEADS": swin["num_heads"],
        "MODEL.SWIN.WINDOW_SIZE": swin["window_size"],
        "MODEL.SWIN.MLP_RATIO": float(swin["mlp_ratio"]),
        "MODEL.SWIN.DROP_PATH_RATE": 0.0,
        "MODEL.BOX.DIM": box["hidden_dim"],
        "MODEL.BOX.NUM_HEADS": box["nheads"],
        "MODEL.BOX.NUM_POINTS": box["dec_n_points"],
        "MODEL.BOX.FFN_DIM": box["dim_feedforward"],
        "MODEL.BOX.ENCODER_LAYERS": box["enc_layers"],
        "MODEL.BOX.DECODER_LAYERS": box["dec_layers"],
        "MODEL.BOX.NUM_QUERIES": box["num_queries"],
        "MODEL.BOX.TEMPERATURE": float(box["position_temperature"]),
        "MODEL.BOX.DENOISING.QUERIES": box["dn_number"],
        "MODEL.BOX.DENOISING.LABEL_NOISE": 0.0,
        "MODEL.BOX.DENOISING.BOX_NOISE": 0.0,
        "MODEL.BOX.TOPK": box["num_select"],
        "MODEL.BOX.CLASS_LOGITS": box["num_classes"],
        "MODEL.BOX.ENCODER_L2": training["encoder_l2_weight"],
        "MODEL.MASK.POOL_BINS": mask["pyramid_bins"],
        "MODEL.MASK.DROPOUT": 0.0,
        "FX.TEACHER.MOMENTUM": training["ema_momentum"],
        "FX.CONSISTENCY_WEIGHT": training["consistency_weight"],
        "SOLVER.BASE_LR": rate,
        "SOLVER.BACKBONE_MULTIPLIER": backbone_lr / rate,
        "SOLVER.WEIGHT_DECAY": training["weight_decay"],
    }
    return reference_config("foundation_x", values | _NORMALISED)


def plus_config(recording: Recording):
    """The same of a recording of Foundation X+."""
    sizes = recording.config
    values = {
        "MODEL.DEVICE": "cpu",
        "MODEL.SWIN.EMBED_DIM": sizes["embed_dim"],
        "MODEL.SWIN.DEPTHS": sizes["depths"],
        "MODEL.SWIN.NUM_HEADS": sizes["num_heads"],
        "MODEL.SWIN.WINDOW_SIZE": sizes["window_size"],
        "MODEL.SWIN.DROP_PATH_RATE": 0.0,
        "MODEL.BOX.DIM": sizes["hidden_dim"],
        "MODEL.BOX.NUM_HEADS": sizes["nheads"],
        "MODEL.BOX.NUM_POINTS": sizes["points"],
        "MODEL.BOX.FFN_DIM": sizes["dim_feedforward"],
        "MODEL.BOX.ENCODER_LAYERS": sizes["enc_layers"],
        "MODEL.BOX.DECODER_LAYERS": sizes["dec_layers"],
        "MODEL.BOX.NUM_QUERIES": sizes["num_queries"],
        "MODEL.BOX.TEMPERATURE": float(sizes["temperature"]),
        "MODEL.BOX.TOPK": sizes["num_select"],
        "MODEL.BOX.CLASS_LOGITS": sizes["num_classes"],
        "MODEL.MASK.DROPOUT": 0.0,
    }
    return reference_config("foundation_x_plus", values | _NORMALISED)


def recorded_classes(recording: Recording) -> dict[Unit, UnitClasses]:
    """A unit for every head of the recording; classes are numbered."""
    heads = {"cls": "classification_heads", "mask": "segmentation_heads"}
    counts = {task: _widths(recording, f"backbone.0.{name}.") for task, name in heads.items()}
    # A box head of as many classes as the dataset's masks have; the published width is 14 for all.
    counts["box"] = counts["mask"]
    return {
        Unit(dataset, task): UnitClasses(tuple(f"class {k}" for k in range(count)))
        for task, widths in counts.items()
        for dataset, count in zip(DATASETS, widths, strict=False)
    }


def _widths(recording: Recording, prefix: str) -> list[int]:
    """Outputs of the heads below a prefix, in the order of their numbers."""
    biases = {int(name[len(prefix) :].split(".")[0]): name for name in recording.state if name.startswith(prefix)}
    return [len(recording.state[f"{prefix}{number}.bias"]) for number in sorted(biases)]


def build(recording: Recording) -> tuple[FoundationX, LoadReport]:
    """The network with the recorded weights, in evaluation mode.

    Raises:
        CheckpointError: a tensor of ours is not in the recording.
    """
    model = FoundationX(recorded_config(recording), classes=recorded_classes(recording)).eval()
    layout = FOUNDATION_X_PLUS if recording.plus else FOUNDATION_X
    state, report = transfer(recording.state, layout, target(model), str(recording.folder))
    missing = report.names(MISSING)
    if missing:
        raise CheckpointError(f"{recording.folder}: no weights for {len(missing)} tensors, such as {missing[0]}")
    model.load_state_dict(state)
    return model, report


def target(model: FoundationX) -> Target:
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return Target(shapes, {unit: classes.names for unit, classes in model.classes.items()}, by_position=True)


def published_names(model: FoundationX) -> dict[str, str]:
    """Our name of every tensor -> its name in a published checkpoint."""
    goal = target(model)
    return {name: FOUNDATION_X.source(name, goal).key for name in goal.shapes}


def images_of(recording: Recording, case: str) -> list[Tensor]:
    """The images of a case; those of one size as one batch."""
    if f"inputs/{case}" in recording.arrays:
        return list(recording.given(f"inputs/{case}"))
    return [recording.given(f"inputs/{name}") for name in sorted(recording.names("inputs/")) if name.startswith(case)]
