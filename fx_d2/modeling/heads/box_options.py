"""Sizes, costs and switches of the box head."""

from __future__ import annotations

from dataclasses import dataclass

from ..detr.targets import FEWEST
from .contract import keyword_arguments

SHARED = "shared"


@dataclass(frozen=True)
class BoxOptions:
    """The keys of ``MODEL.BOX`` (explained in config/defaults.py), and ``FX.REFERENCE_LOCK``."""

    layout: str = "per_dataset"
    dim: int = 256
    num_heads: int = 8
    num_points: int = 4
    ffn_dim: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    num_queries: int = 900
    temperature: float = 20.0
    anchor_size: float = 0.05
    denoising_queries: int = 100
    denoising_groups: int = 0
    denoising_label_noise: float = 0.5
    denoising_box_noise: float = 1.0
    costs: tuple[float, float, float] = (2.0, 5.0, 2.0)
    weights: tuple[float, float, float] = (1.0, 5.0, 2.0)
    proposal_loss: float = 1.0
    topk: int = 300
    sampling: str = "auto"
    class_logits: int = 0
    memory_projection: bool = False
    refine_heads: bool = False
    selector_layer: bool = True
    compare_decoder: bool = False
    encoder_l2: float = 0.0
    reference_lock: bool = False
    checkpoint: bool = False

    def __post_init__(self) -> None:
        if self.layout not in ("per_dataset", SHARED):
            raise ValueError(f"MODEL.BOX.LAYOUT must be per_dataset or shared, not {self.layout!r}")
        if self.dim % 32 or self.dim % self.num_heads:
            raise ValueError(f"MODEL.BOX.DIM ({self.dim}) must be a multiple of 32 and of NUM_HEADS ({self.num_heads})")

    @classmethod
    def from_config(cls, cfg) -> BoxOptions:
        values = keyword_arguments(cfg.MODEL.BOX)
        parts = "class", "box", "giou"
        costs, weights = (tuple(values.pop(f"{kind}_{part}") for part in parts) for kind in ("cost", "loss"))
        return cls(**values, costs=costs, weights=weights, reference_lock=cfg.FX.REFERENCE_LOCK)

    def num_logits(self, num_classes: int) -> int:
        """Outputs of a class layer; ValueError if ``class_logits`` leaves no room for the classes and index 0."""
        if self.class_logits and self.class_logits <= num_classes:
            raise ValueError(
                f"MODEL.BOX.CLASS_LOGITS ({self.class_logits}) must be larger than the {num_classes} classes of every "
                "dataset: index 0 is unused"
            )
        return self.class_logits or num_classes

    @property
    def first_class(self) -> int:
        """Logit of a dataset's first class: its COCO category id where the number of logits is fixed."""
        return 1 if self.class_logits else 0

    @property
    def fewest_targets(self) -> int:
        """Places of the smallest truth; no more than there are noised pairs, or a small network would have more."""
        return min(FEWEST, self.denoising_queries or FEWEST)
