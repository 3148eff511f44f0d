"""Boxes: DINO (Zhang et al., ICLR 2023) with an encoder shared by all datasets and a branch per dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from ..cast_linear import CastLinear, cast_for_gpu
from ..detr.attention import DeformableAttention
from ..detr.boxes import to_centre, to_corners
from ..detr.decoder import Decoder, DecoderOutput
from ..detr.denoising import Denoising, make_denoising
from ..detr.encoder import Encoder
from ..detr.layers import Sizes, box_layers, class_layer, inverse_sigmoid, level_positions, map_positions
from ..detr.matcher import assign, costs_to_assign
from ..detr.padding import Levels, Padding
from ..detr.selection import QuerySelector, Selection
from ..detr.targets import BatchTargets, BoxTargets, Pairs
from ..losses.box import set_losses
from ..reduce import boxes_per_process
from .box_options import SHARED, BoxOptions
from .contract import Batch, TaskHead, UnitClasses
from .instances import boxes_to_original

LEVELS = ("stage2", "stage3", "stage4")


class BoxBranch(nn.Module):
    """The parameters of one dataset in both layouts; Foundation X refines references by their own ``refine_head``."""

    def __init__(self, num_classes: int, options: BoxOptions) -> None:
        super().__init__()
        dim, num_logits = options.dim, options.num_logits(num_classes)
        self.content_queries = nn.Embedding(options.num_queries, dim)
        self.label_embed = nn.Embedding(num_logits, dim)
        self.class_head, self.box_head = class_layer(dim, num_logits), box_layers(dim)
        self.proposal_class, self.proposal_box = class_layer(dim, num_logits), box_layers(dim)
        if options.refine_heads:
            self.refine_head = box_layers(dim)


@dataclass
class Encoded:
    memory: Tensor  # (B, S, C)
    levels: Levels


@dataclass
class BoxOutput:
    logits: Tensor  # (layers, B, Q, K), noised queries first
    decoded: DecoderOutput
    selection: Selection


@dataclass
class BoxStep:
    """A training step before the assignment; each pair is logits (L, B, N, K) and boxes (L, B, N, 4).

    ``noised``: the denoising's queries, ``noise`` what they are. ``queries``: the others of all decoder layers, then
    the proposals as one layer more (where they have a loss). ``costs`` (L, B, T, Q) of matching these.
    """

    noise: Denoising | None
    noised: tuple[Tensor, Tensor]
    queries: tuple[Tensor, Tensor]
    costs: Tensor


class BoxHead(TaskHead):
    """See :mod:`.contract`. Consistency feature: the encoder's output, token by token.

    Layout ``per_dataset`` (Foundation X): each dataset has a selector and a decoder; ``shared`` (Foundation X+): one
    selector and one decoder for all.

    A training step is four calls. :meth:`truth` (host) fills the batch's boxes up to a few fixed numbers of places;
    :meth:`begin` (device) ends with the costs of matching; :meth:`decide` (host) assigns by a copy of these;
    :meth:`finish` (device) gives the losses. Operators and shapes of the second and fourth follow nothing but the sizes
    of images, batch and places: the number of boxes, of denoising groups and the assignment are values of tensors, so
    that a CUDA graph can hold each of the two.
    """

    def __init__(self, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses], options: BoxOptions) -> None:
        super().__init__()
        o = self.options = options
        self.detached_consistency = o.compare_decoder
        self.num_classes = {name: len(c.names) for name, c in datasets.items()}
        widths = [channels[name] for name in LEVELS]
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        projections = [nn.Conv2d(width, o.dim, 1) for width in widths]
        projections.append(nn.Conv2d(widths[-1], o.dim, 3, stride=2, padding=1))
        self.input_proj = nn.ModuleList(nn.Sequential(conv, nn.GroupNorm(32, o.dim)) for conv in projections)
        for conv in projections:
            nn.init.xavier_uniform_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        sizes = Sizes(o.dim, o.num_heads, len(projections), o.num_points, o.ffn_dim)
        self.level_embed = nn.Parameter(torch.randn(len(projections), o.dim))
        self.encoder = Encoder(o.encoder_layers, sizes, o.checkpoint)
        self.owners = {name: SHARED if o.layout == SHARED else name for name in datasets}
        owners = list(dict.fromkeys(self.owners.values()))
        if o.memory_projection:
            self.memory_projections: Any = nn.ModuleDict({name: CastLinear(o.dim, o.dim) for name in owners})
        selectors = {name: QuerySelector(o.dim, o.anchor_size, o.selector_layer) for name in owners}
        self.selectors: Any = nn.ModuleDict(selectors)
        self.decoders: Any = nn.ModuleDict({name: Decoder(o.decoder_layers, sizes, o.checkpoint) for name in owners})
        self.branches: Any = nn.ModuleDict({name: BoxBranch(k, o) for name, k in self.num_classes.items()})
        for stack in (self.encoder, self.decoders):
            for module in stack.modules():  # Xavier-uniform matrices, as in DETR
                if isinstance(module, nn.Linear | nn.MultiheadAttention):
                    for parameter in module.parameters():
                        if parameter.dim() > 1:
                            nn.init.xavier_uniform_(parameter)
            for module in stack.modules():
                if isinstance(module, DeformableAttention):
                    module.reset_parameters()
                    module.sampling = o.sampling

    @classmethod
    def from_config(cls, cfg, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses]) -> BoxHead:
        return cls(channels, datasets, BoxOptions.from_config(cfg))

    def trainable_parts(self, dataset: str) -> dict[str, list[str]]:
        owner, o = self.owners[dataset], self.options
        transformer = [f"decoders.{owner}"]
        transformer += [f"selectors.{owner}"] if o.selector_layer else []
        transformer += [f"memory_projections.{owner}"] if o.memory_projection else []
        head, path = [f"branches.{dataset}"], ["norms", "encoder"]
        # The published lock leaves these two their gradient (no optimizer group of it holds them).
        (head if o.reference_lock else path).extend(["input_proj", "level_embed"])
        (path if o.layout == SHARED else head).extend(transformer)
        return {"head": head, "path": path}

    def normalize(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """LayerNorm of the maps of stages 2 to 4."""
        maps = [norm(features[name].permute(0, 2, 3, 1)) for name, norm in zip(LEVELS, self.norms, strict=True)]
        # On the CPU the convolution of a channels-last map is four times less exact (1e-5 against 2.6e-6).
        return [x.permute(0, 3, 1, 2).contiguous() for x in maps]

    def project(self, maps: list[Tensor]) -> list[Tensor]:
        """Normalized maps -> the four levels, each (B, C, h, w); the last map gives two of them."""
        return [project(x) for project, x in zip(self.input_proj, [*maps, maps[-1]], strict=True)]

    def encode(self, features: Mapping[str, Tensor], pixels: Tensor | None = None) -> Encoded:
        """``pixels``: bool (B, H, W), True where the input is padding (images of several sizes in a batch)."""
        maps = self.project(self.normalize(features))
        shapes = tuple((x.shape[2], x.shape[3]) for x in maps)
        levels = Levels(shapes, None if pixels is None else Padding.from_pixels(pixels, shapes))
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
        pairs = zip(self.positions(levels), self.level_embed, strict=True)
        positions = torch.cat([position + embed for position, embed in pairs], dim=1).to(tokens.dtype)
        with self.cast(self.encoder):
            return Encoded(self.encoder(tokens, positions, levels), levels)

    def cast(self, *modules: nn.Module) -> contextlib.AbstractContextManager:
        """Casts the modules' weights together; not where layers are computed again, when these copies are gone."""
        return contextlib.nullcontext() if self.options.checkpoint else cast_for_gpu(modules, self.level_embed.device)

    def positions(self, levels: Levels) -> list[Tensor]:
        """Sine encoding of each level, without the level embedding: (1 or B, h * w, C)."""
        dim, temperature = self.options.dim, self.options.temperature
        if levels.padding is None:
            return [level_positions(shape, dim, temperature, self.level_embed.device) for shape in levels.shapes]
        return [map_positions(level, dim, temperature) for level in levels.padding.level_masks]

    def consistency(self, encoded: Encoded, dataset: str) -> tuple[Tensor, ...]:
        if self.options.compare_decoder:
            out = self.decode(encoded, dataset)
            return out.decoded.states, out.selection.tokens
        return (encoded.memory,)

    def penalty(self) -> dict[str, Tensor]:
        """Reference switch: the encoder's squared weights."""
        if not self.options.encoder_l2:
            return {}
        squares = torch.stack([parameter.square().sum() for parameter in self.encoder.parameters()]).sum()
        return {"loss_encoder_l2": self.options.encoder_l2 * squares}

    def decode(self, encoded: Encoded, dataset: str, noise: Denoising | None = None) -> BoxOutput:
        owner, own = self.owners[dataset], [self.branches[dataset]]
        own += [self.memory_projections[owner]] if self.options.memory_projection else []
        with self.cast(self.selectors[owner], self.decoders[owner], *own):
            return self._decode(encoded, dataset, noise)

    def _decode(self, encoded: Encoded, dataset: str, noise: Denoising | None) -> BoxOutput:
        o, branch, owner, levels = self.options, self.branches[dataset], self.owners[dataset], encoded.levels
        memory = self.memory_projections[owner](encoded.memory) if o.memory_projection else encoded.memory
        proposal_heads = branch.proposal_class, branch.proposal_box
        selection = self.selectors[owner](memory, levels, *proposal_heads, o.num_queries)
        boxes = selection.boxes.detach()
        content = branch.content_queries.weight[: boxes.shape[1]].expand(boxes.shape[0], -1, -1)
        attn_mask = None
        if noise is not None:
            content = torch.cat([noise.content(branch.label_embed), content], dim=1)
            attn_mask = noise.attention_mask(boxes.shape[1])
            # Clamped away from 0 and 1, as in DINO.
            boxes = torch.cat([inverse_sigmoid(noise.boxes).sigmoid(), boxes], dim=1)
        refine = branch.refine_head if o.refine_heads else branch.box_head
        decoded = self.decoders[owner](content, boxes, memory, levels, branch.box_head, refine, attn_mask)
        return BoxOutput(branch.class_head(decoded.states).float(), decoded, selection)

    def truth(self, batch: Batch, device: torch.device) -> BatchTargets:
        return BatchTargets.pad([self.targets(entry) for entry in batch], self.options.fewest_targets).to(device)

    def begin(self, encoded: Encoded, dataset: str, truth: BatchTargets) -> BoxStep:
        """All queries with their predictions, and the costs of matching."""
        o = self.options
        noise = self.denoising(dataset, truth) if o.denoising_queries else None
        out = self.decode(encoded, dataset, noise)
        split = 0 if noise is None else noise.labels.shape[1]
        sizes = [split, out.logits.shape[2] - split]
        logits, boxes = out.logits.split(sizes, dim=2), out.decoded.boxes.split(sizes, dim=2)
        noised, queries = (logits[0], boxes[0]), (logits[1], boxes[1])
        if o.proposal_loss:
            proposals = out.selection.logits[None], out.selection.boxes[None]
            queries = torch.cat([queries[0], proposals[0]]), torch.cat([queries[1], proposals[1]])
        with torch.autocast(encoded.memory.device.type, enabled=False):
            return BoxStep(noise, noised, queries, costs_to_assign(*queries, truth, *o.costs))

    def question(self, begun: BoxStep) -> Tensor:
        return begun.costs

    def decide(self, seen: Tensor) -> Tensor:
        """The query of each box: :func:`.matcher.assign`."""
        return assign(seen)

    def finish(self, begun: BoxStep, dataset: str, truth: BatchTargets, decision: Tensor) -> dict[str, Tensor]:
        """Losses of all decoder layers, of the proposals and of the denoising, each with its own names."""
        o, noise = self.options, begun.noise
        count = boxes_per_process(truth.valid.sum())
        with torch.autocast(begun.costs.device.type, enabled=False):
            layers = set_losses(*begun.queries, truth, Pairs.of_assignment(decision), count)
            losses = self._weighted({name: x[: o.decoder_layers].sum() for name, x in layers.items()}, "")
            if o.proposal_loss:
                raw = self._weighted({name: x[-1] for name, x in layers.items()}, "_proposal")
                losses |= {name: o.proposal_loss * value for name, value in raw.items()}
            if noise is not None:
                pairs, normaliser = noise.pairs(o.decoder_layers), count * noise.groups
                raw = set_losses(*begun.noised, truth, pairs, normaliser, noise.counted)
                losses |= self._weighted({name: x.sum() for name, x in raw.items()}, "_denoising")
        return losses

    def _weighted(self, losses: dict[str, Tensor], suffix: str) -> dict[str, Tensor]:
        weights = zip(losses, self.options.weights, strict=True)
        return {f"loss_{name}{suffix}": weight * losses[name] for name, weight in weights}

    def denoising(self, dataset: str, truth: BatchTargets) -> Denoising:
        o, num_logits = self.options, self.branches[dataset].class_head.out_features
        scales = o.denoising_label_noise, o.denoising_box_noise
        return make_denoising(truth, num_logits, o.denoising_queries, *scales, o.denoising_groups)

    def targets(self, entry: dict) -> BoxTargets:
        """The mapper's ``instances``, corners in input pixels, as targets in 0..1."""
        instances = entry["instances"]
        height, width = entry["image"].shape[-2:]
        corners = instances.gt_boxes.tensor.float()
        corners = corners / corners.new_tensor([width, height] * 2)
        return BoxTargets(instances.gt_classes + self.options.first_class, to_centre(corners))

    def tensors(self, encoded: Encoded, dataset: str, size: int) -> dict[str, Tensor]:
        """The N best (query, class) pairs, without suppression: ``scores``, ``classes`` (B, N), ``boxes`` (B, N, 4).

        Boxes are x0, y0, x1, y1 in 0..1 of the input.
        """
        out = self.decode(encoded, dataset)
        first = self.options.first_class
        logits = out.logits[-1, :, :, first : first + self.num_classes[dataset]]
        scores, classes, boxes = best_detections(logits, out.decoded.boxes[-1], self.options.topk)
        return {"scores": scores, "classes": classes, "boxes": boxes}

    def inference(self, encoded: Encoded, dataset: str, batch: Batch) -> list[dict]:
        """-> ``instances``: those of :meth:`tensors`, boxes in original pixels."""
        predictions = self.tensors(encoded, dataset, batch[0]["image"].shape[-1])
        results = []
        for entry, scores, classes, boxes in zip(batch, *predictions.values(), strict=True):
            fields = {"pred_boxes": boxes_to_original(boxes, entry), "scores": scores, "pred_classes": classes}
            results.append({"instances": Instances((entry["height"], entry["width"]), **fields)})
        return results


def best_detections(logits: Tensor, boxes: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The N = min(count, Q * K) best (query, class) pairs of every image, best first.

    logits (B, Q, K), boxes (B, Q, 4) cx, cy, w, h -> scores (B, N), classes (B, N), corners (B, N, 4).
    """
    queries, num_classes = logits.shape[1:]
    scores, index = logits.sigmoid().flatten(1).topk(min(count, queries * num_classes))
    selected = boxes.gather(1, (index // num_classes)[..., None].expand(-1, -1, 4))
    return scores, index % num_classes, to_corners(selected)
