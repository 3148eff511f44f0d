"""Boxes: DINO (Zhang et al., ICLR 2023) with an encoder shared by all datasets and a branch per dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from ..detr.attention import LevelShapes
from ..detr.boxes import to_centre, to_corners
from ..detr.decoder import Decoder
from ..detr.denoising import BoxTargets, Denoising, make_denoising
from ..detr.encoder import Encoder
from ..detr.layers import box_layers, class_layer, map_positions, xavier_init
from ..detr.matcher import match
from ..detr.selection import QuerySelector
from ..losses.box import set_losses
from ..reduce import boxes_per_process
from .contract import Batch, UnitClasses
from .instances import boxes_to_original

LEVELS = ("stage2", "stage3", "stage4")
SHARED = "shared"


@dataclass(frozen=True)
class BoxOptions:
    """Sizes, costs and weights of the box head; the fields are the keys of ``MODEL.BOX`` (see config.py)."""

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
    label_noise: float = 0.5
    box_noise: float = 1.0
    costs: tuple[float, float, float] = (2.0, 5.0, 2.0)
    weights: tuple[float, float, float] = (1.0, 5.0, 2.0)
    proposal_weight: float = 1.0
    topk: int = 300

    def __post_init__(self) -> None:
        if self.layout not in ("per_dataset", SHARED):
            raise ValueError(f"MODEL.BOX.LAYOUT must be per_dataset or shared, not {self.layout!r}")
        if self.dim % 32 or self.dim % self.num_heads:
            raise ValueError(f"MODEL.BOX.DIM ({self.dim}) must be a multiple of 32 and of NUM_HEADS ({self.num_heads})")


class BoxBranch(nn.Module):
    """What belongs to one dataset in both layouts: content queries, label embedding of the denoising, heads."""

    def __init__(self, num_classes: int, dim: int, num_queries: int) -> None:
        super().__init__()
        self.content_queries = nn.Embedding(num_queries, dim)
        self.label_embed = nn.Embedding(num_classes, dim)
        self.class_head, self.box_head = class_layer(dim, num_classes), box_layers(dim)
        self.proposal_class, self.proposal_box = class_layer(dim, num_classes), box_layers(dim)


@dataclass
class Encoded:
    """Memory (B, S, C) of all levels, coarsest last, and the levels' sizes."""

    memory: Tensor
    shapes: LevelShapes


class BoxHead(nn.Module):
    """See :mod:`.contract`. Consistency feature: the encoder's output, token by token.

    ``per_dataset`` (Foundation X): selector and decoder per dataset. ``shared`` (Foundation X+): one selector and one
    decoder for all; a dataset owns only its branch.
    """

    def __init__(self, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses], options: BoxOptions) -> None:
        super().__init__()
        o = self.options = options
        widths = [channels[name] for name in LEVELS]
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        projections = [nn.Conv2d(width, o.dim, 1) for width in widths]
        projections.append(nn.Conv2d(widths[-1], o.dim, 3, stride=2, padding=1))
        self.input_proj = nn.ModuleList(nn.Sequential(conv, nn.GroupNorm(32, o.dim)) for conv in projections)
        for conv in projections:
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)
        sizes = (o.dim, o.num_heads, len(projections), o.num_points, o.ffn_dim)
        self.level_embed = nn.Parameter(torch.randn(len(projections), o.dim))
        self.encoder = Encoder(o.encoder_layers, *sizes)
        owners = [SHARED] if o.layout == SHARED else list(datasets)
        self.selectors = nn.ModuleDict({name: QuerySelector(o.dim, o.anchor_size) for name in owners})
        self.decoders = nn.ModuleDict({name: Decoder(o.decoder_layers, *sizes) for name in owners})
        self.branches = nn.ModuleDict(
            {name: BoxBranch(len(c.names), o.dim, o.num_queries) for name, c in datasets.items()}
        )
        self._init_transformer()

    def _init_transformer(self) -> None:
        for stack in (self.encoder, self.decoders):
            for module in stack.modules():
                if isinstance(module, nn.Linear | nn.MultiheadAttention):
                    xavier_init(module)
            for module in stack.modules():  # the deformable attention has a start of its own
                if hasattr(module, "sampling_offsets"):
                    module._init_weights()

    @classmethod
    def from_config(cls, cfg, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses]) -> BoxHead:
        box = cfg.MODEL.BOX
        options = BoxOptions(
            layout=box.LAYOUT,
            dim=box.DIM,
            num_heads=box.NUM_HEADS,
            num_points=box.NUM_POINTS,
            ffn_dim=box.FFN_DIM,
            encoder_layers=box.ENCODER_LAYERS,
            decoder_layers=box.DECODER_LAYERS,
            num_queries=box.NUM_QUERIES,
            temperature=box.TEMPERATURE,
            anchor_size=box.ANCHOR_SIZE,
            denoising_queries=box.DENOISING.QUERIES,
            label_noise=box.DENOISING.LABEL_NOISE,
            box_noise=box.DENOISING.BOX_NOISE,
            costs=(box.COST.CLASS, box.COST.BOX, box.COST.GIOU),
            weights=(box.LOSS.CLASS, box.LOSS.BOX, box.LOSS.GIOU),
            proposal_weight=box.PROPOSAL_LOSS,
            topk=box.TOPK,
        )
        return cls(channels, datasets, options)

    def _owner(self, dataset: str) -> str:
        return SHARED if self.options.layout == SHARED else dataset

    def parts(self, dataset: str) -> dict[str, list[str]]:
        transformer = [f"selectors.{self._owner(dataset)}", f"decoders.{self._owner(dataset)}"]
        head, path = [f"branches.{dataset}"], ["norms", "input_proj", "level_embed", "encoder"]
        if self.options.layout == SHARED:
            return {"head": head, "path": path + transformer}
        return {"head": head + transformer, "path": path}

    def encode(self, features: Mapping[str, Tensor]) -> Encoded:
        maps = [
            norm(features[name].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for name, norm in zip(LEVELS, self.norms, strict=True)
        ]
        maps = [project(x) for project, x in zip(self.input_proj, [*maps, maps[-1]], strict=True)]
        shapes = tuple((x.shape[2], x.shape[3]) for x in maps)
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
        positions = torch.cat(
            [
                map_positions(h, w, self.options.dim, self.options.temperature, tokens.device) + embed
                for (h, w), embed in zip(shapes, self.level_embed, strict=True)
            ]
        )
        return Encoded(self.encoder(tokens, positions.to(tokens.dtype), shapes), shapes)

    def consistency(self, encoded: Encoded) -> tuple[Tensor, ...]:
        return (encoded.memory,)

    def _decode(self, encoded: Encoded, dataset: str, noise: Denoising | None) -> dict[str, Tensor]:
        """-> ``logits`` (L, B, Q, K) and ``boxes`` (L, B, Q, 4), noised queries first, and the proposals'."""
        branch, owner = self.branches[dataset], self._owner(dataset)
        proposal_logits, proposal_boxes = self.selectors[owner](
            encoded.memory, encoded.shapes, branch.proposal_class, branch.proposal_box, self.options.num_queries
        )
        boxes = proposal_boxes.detach()
        content = branch.content_queries.weight[: boxes.shape[1]].expand(boxes.shape[0], -1, -1)
        blocked = None
        if noise is not None:
            content = torch.cat([branch.label_embed(noise.labels), content], dim=1)
            blocked = noise.attention_mask(boxes.shape[1])
            boxes = torch.cat([noise.boxes, boxes], dim=1)
        states, predicted = self.decoders[owner](
            content, boxes, encoded.memory, encoded.shapes, branch.box_head, blocked
        )
        return {
            "logits": branch.class_head(states).float(),
            "boxes": predicted,
            "proposal_logits": proposal_logits[None],
            "proposal_boxes": proposal_boxes[None],
        }

    def losses(self, encoded: Encoded, dataset: str, batch: Batch) -> dict[str, Tensor]:
        """Losses of all decoder layers, of the proposals and of the denoising, weighted and named apart."""
        o = self.options
        targets = [_targets(entry, encoded.memory.device) for entry in batch]
        num_classes = self.branches[dataset].class_head.out_features
        noise = make_denoising(targets, num_classes, o.denoising_queries, o.label_noise, o.box_noise)
        out = self._decode(encoded, dataset, noise)
        split = 0 if noise is None else noise.labels.shape[1]
        count = boxes_per_process(sum(len(truth.labels) for truth in targets), encoded.memory.device)
        # The noised queries come first; the assignment of theirs is known and needs no matching.
        with torch.autocast(encoded.memory.device.type, enabled=False):
            losses = self._matched(out["logits"][:, :, split:], out["boxes"][:, :, split:], targets, count, "")
            if o.proposal_weight:
                proposals = self._matched(out["proposal_logits"], out["proposal_boxes"], targets, count, "_proposal")
                losses |= {name: o.proposal_weight * value for name, value in proposals.items()}
            if noise is not None:
                logits, boxes = out["logits"][:, :, :split], out["boxes"][:, :, :split]
                image, query, target = noise.positives(targets)
                layers = torch.arange(len(logits), device=image.device).repeat_interleave(len(image))
                assignment = (layers, *(index.repeat(len(logits)) for index in (image, query, target)))
                raw = set_losses(logits, boxes, targets, assignment, count * noise.groups)
                losses |= self._weighted(raw, "_denoising")
        return losses

    def _matched(self, logits: Tensor, boxes: Tensor, targets: list[BoxTargets], count: float, suffix: str) -> dict:
        assignment = match(logits, boxes, targets, *self.options.costs)
        return self._weighted(set_losses(logits, boxes, targets, assignment, count), suffix)

    def _weighted(self, losses: dict[str, Tensor], suffix: str) -> dict[str, Tensor]:
        weights = dict(zip(("class", "box", "giou"), self.options.weights, strict=True))
        return {f"loss_{name}{suffix}": weights[name] * value for name, value in losses.items()}

    def tensors(self, encoded: Encoded, dataset: str, size: int) -> dict[str, Tensor]:
        """The N best (query, class) pairs, best first, no suppression.

        Returns:
            ``scores`` (B, N), ``classes`` (B, N) int64, ``boxes`` (B, N, 4) as x0, y0, x1, y1 in 0..1 of the input.
        """
        out = self._decode(encoded, dataset, noise=None)
        logits, boxes = out["logits"][-1], out["boxes"][-1]  # (B, Q, K), (B, Q, 4)
        queries, num_classes = logits.shape[1:]
        scores, index = logits.sigmoid().flatten(1).topk(min(self.options.topk, queries * num_classes))
        chosen = (index // num_classes)[..., None].expand(-1, -1, 4)
        return {"scores": scores, "classes": index % num_classes, "boxes": to_corners(boxes.gather(1, chosen))}

    def inference(self, encoded: Encoded, dataset: str, batch: Batch) -> list[dict]:
        """-> ``instances``: what :meth:`tensors` gives, boxes in original pixels."""
        found = self.tensors(encoded, dataset, batch[0]["image"].shape[-1])
        results = []
        for row, entry in enumerate(batch):
            instances = Instances((entry["height"], entry["width"]))
            instances.pred_boxes = boxes_to_original(found["boxes"][row], entry)
            instances.scores = found["scores"][row]
            instances.pred_classes = found["classes"][row]
            results.append({"instances": instances})
        return results


def _targets(entry: dict, device: torch.device) -> BoxTargets:
    """``instances`` of the mapper (corners in input pixels) -> targets in 0..1."""
    instances = entry["instances"]
    corners = instances.gt_boxes.tensor.to(device).float() / entry["image"].shape[-1]
    return BoxTargets(instances.gt_classes.to(device), to_centre(corners))
