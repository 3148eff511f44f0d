"""Image-level findings: LayerNorm on stage 4, mean over the tokens, one linear layer per dataset."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..losses.classification import binary_cross_entropy, exclusive_cross_entropy
from .contract import Batch, TaskHead, UnitClasses, stack_targets


class ClassificationHead(TaskHead):
    """See :mod:`.contract`. Consistency feature: the pooled vector.

    Args:
        channels: width of stage 4.
        exclusive_as_binary: reference switch, per-class cross-entropy also for exclusive classes (scores by softmax).
    """

    def __init__(self, channels: int, datasets: Mapping[str, UnitClasses], exclusive_as_binary: bool = False) -> None:
        super().__init__()
        self.datasets = dict(datasets)
        self.exclusive_as_binary = exclusive_as_binary
        self.norm = nn.LayerNorm(channels)
        self.branches = nn.ModuleDict({name: nn.Linear(channels, len(c.names)) for name, c in datasets.items()})

    @classmethod
    def from_config(cls, cfg, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses]) -> ClassificationHead:
        return cls(channels["stage4"], datasets, cfg.MODEL.CLS.EXCLUSIVE_AS_BINARY)

    def trainable_parts(self, dataset: str) -> dict[str, list[str]]:
        return {"head": [f"branches.{dataset}"], "path": ["norm"]}

    def encode(self, features: Mapping[str, Tensor]) -> Tensor:
        """-> pooled vector (B, C)."""
        return self.norm(features["stage4"].permute(0, 2, 3, 1)).mean((1, 2))

    def consistency(self, pooled: Tensor, dataset: str) -> tuple[Tensor, ...]:
        return (pooled,)

    def truth(self, batch: Batch, device: torch.device) -> Tensor:
        """-> labels (B, K)."""
        return stack_targets(batch, "labels", device)

    def finish(self, pooled: Tensor, dataset: str, labels: Tensor, decision: None = None) -> dict[str, Tensor]:
        logits = self.branches[dataset](pooled).float()
        exclusive = self.datasets[dataset].exclusive and not self.exclusive_as_binary
        return {"loss_class": (exclusive_cross_entropy if exclusive else binary_cross_entropy)(logits, labels)}

    def tensors(self, pooled: Tensor, dataset: str, size: int) -> dict[str, Tensor]:
        """-> ``scores`` (B, K): probabilities, which sum to 1 for exclusive classes."""
        logits = self.branches[dataset](pooled).float()
        return {"scores": logits.softmax(1) if self.datasets[dataset].exclusive else logits.sigmoid()}

    def inference(self, pooled: Tensor, dataset: str, batch: Batch) -> list[dict]:
        return [{"scores": row} for row in self.tensors(pooled, dataset, 0)["scores"]]
