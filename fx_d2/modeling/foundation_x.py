"""Foundation X: one Swin backbone, a head per task, a branch per dataset (Islam et al., WACV 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from torch import Tensor, nn

from ..config import check_gate, cycle_units, unit_metadata
from ..schedule import Unit
from .detr.padding import pad_images
from .gate import RegionGate
from .heads import HEADS
from .heads.contract import UnitClasses, keyword_arguments, stack_entries
from .raw_image import RawImages
from .reduce import global_sum

Batch = Sequence[dict]


def consistency_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over the pairs of their mean squared difference (all processes); no gradient to the teacher."""
    losses = []
    for s, t in zip(student, teacher, strict=True):
        square = (s.float() - t.detach().float()).square()
        total = global_sum(torch.stack([square.sum(), square.new_full((), square.numel())]))
        losses.append(total[0] / total[1])
    return torch.stack(losses).mean()


@dataclass
class Step:
    """A training step between :meth:`FoundationX.begin` and :meth:`FoundationX.finish`.

    ``truth``, ``encoded`` and ``begun``: what the methods of the same names of the unit's head gave.
    """

    unit: Unit
    batch: Batch
    truth: Any
    encoded: Any
    begun: Any


@META_ARCH_REGISTRY.register()
class FoundationX(nn.Module):
    """Normalisation, backbone, the head of the batch's task, the branch of its dataset.

    ``forward(batch, teacher=None)`` takes a list of dicts of ONE unit with ``image`` (uint8, (1 or 3, S, S)) and
    ``unit`` ("dataset/task"). In training it returns named scalar losses, which add up to
    (1 - w) * task + w * consistency (without ``teacher`` features only the first part); in evaluation one dict per
    image: ``scores`` (K,), or ``instances``, or ``masks`` (K, height, width) and ``instances``. In evaluation a network
    built from a configuration also takes what Detectron2's own predictor and mapper give, see :class:`RawImages`.

    A training step is :meth:`truth` (host), :meth:`begin` (device), :meth:`decide` (host) and :meth:`finish` (device);
    the operators and shapes on the device follow from the shapes of images and truth alone, so that each of the two
    parts can be recorded and played again.

    Args:
        heads: by task. classes: of every unit. pixels: mean and standard deviation of each task, on the scale 0..1.
        consistency_weight: w, 0..1. gate: where it is on, the dataset of every mask unit has a box unit, too.
        uncertainty: weigh the losses of each task by a learned uncertainty (Kendall et al., CVPR 2018).
        raw: makes the network's input of other images; None: every image is one.

    Attributes:
        notice: a sentence that every prediction of these weights must carry, from their file; mostly empty.
    """

    notice = ""

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        heads: Mapping[str, nn.Module],
        classes: Mapping[Unit, UnitClasses],
        pixels: Mapping[str, tuple[Sequence[float], Sequence[float]]],
        consistency_weight: float = 0.5,
        raw: RawImages | None = None,
        gate: RegionGate | None = None,
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        self.raw = raw
        self.backbone = backbone
        self.heads: Any = nn.ModuleDict(heads)
        self.uncertainty = uncertainty
        for head in heads.values() if uncertainty else ():
            head.log_variance = nn.Parameter(torch.zeros(1))
        self.classes = dict(classes)
        self.consistency_weight = consistency_weight
        self.gate = gate or RegionGate()
        # Tasks of one value share a pass of the backbone.
        self.pixel_statistics = {task: tuple(map(tuple, statistics)) for task, statistics in pixels.items()}
        for task, statistics in pixels.items():
            for name, values in zip(("mean", "std"), statistics, strict=True):
                value = 255.0 * torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)  # of uint8 images
                self.register_buffer(f"pixel_{name}_{task}", value, persistent=False)

    @classmethod
    def from_config(cls, cfg, classes: Mapping[Unit, UnitClasses] | None = None) -> dict:
        """``classes``: by default of the units of the cycle, from the registered datasets."""
        if classes is None:
            metadata = {unit: unit_metadata(unit) for unit in cycle_units(cfg)}
            classes = {unit: UnitClasses(tuple(m.thing_classes), m.exclusive) for unit, m in metadata.items()}
        check_gate(cfg, classes)
        backbone = build_backbone(cfg)
        channels = {name: shape.channels for name, shape in backbone.output_shape().items()}
        heads = {}
        for task, head in HEADS.items():
            datasets = {unit.dataset: c for unit, c in classes.items() if unit.task == task}
            if datasets:
                heads[task] = head.from_config(cfg, channels, datasets)
        return {
            "backbone": backbone,
            "heads": heads,
            "classes": classes,
            "pixels": {task: (cfg.MODEL.PIXEL[task.upper()].MEAN, cfg.MODEL.PIXEL[task.upper()].STD) for task in heads},
            "consistency_weight": cfg.FX.CONSISTENCY_WEIGHT,
            "raw": RawImages.from_config(cfg, list(classes)),
            "uncertainty": cfg.FX.UNCERTAINTY,
            "gate": RegionGate(**keyword_arguments(cfg.MODEL.MASK.GATE)),
        }

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def unit_of(self, batch: Batch) -> Unit:
        """The unit of a batch; ValueError if the batch mixes units or the model has no branch for its unit."""
        names = {entry["unit"] for entry in batch}
        if len(names) != 1:
            raise ValueError(f"a batch must hold one unit, this one holds {sorted(names)}")
        unit = Unit.parse(names.pop())
        if unit not in self.classes:
            units = ", ".join(map(str, self.classes))
            raise ValueError(f"the model has no branch for unit {unit}; it was built for {units}")
        return unit

    def gates(self, units: Sequence[Unit]) -> dict[str, str]:
        """Mask units -> the box units whose boxes gate them in evaluation, by name."""
        on = self.gate.active(training=False)
        return {str(unit): str(Unit(unit.dataset, "box")) for unit in units if on and unit.task == "mask"}

    def trainable_parts(self, unit: Unit, train: str) -> list[str]:
        """Names of the submodules and parameters that a pass trains; ``train`` as in :class:`.schedule.Pass`."""
        if train == "backbone":
            return ["backbone"]
        parts = self.heads[unit.task].trainable_parts(unit.dataset)
        names = [f"heads.{unit.task}.{name}" for name in parts["head"]]
        if train == "path":
            names += [f"heads.{unit.task}.log_variance"] if self.uncertainty else []
            names += ["backbone", *(f"heads.{unit.task}.{name}" for name in parts["path"])]
        return names

    def normalise(self, images: Tensor, task: str) -> Tensor:
        """uint8 (..., 1 or 3, H, W) -> float32 (..., 3, H, W); a grey image fills all three channels."""
        mean, std = getattr(self, f"pixel_mean_{task}"), getattr(self, f"pixel_std_{task}")
        normalised = (images.to(self.device).float() - mean) / std
        return normalised.expand(*images.shape[:-3], 3, -1, -1)

    def encode(self, batch: Batch, unit: Unit, view: str = "image", training: bool = False):
        """The head's encoding of one view of the images (the part that datasets share, if no gate parts them).

        Images of several sizes are padded after normalisation; only the box head can ignore padding.
        """
        key = view if view in batch[0] else "image"
        if len({entry[key].shape for entry in batch}) == 1:
            images = stack_entries(batch, key).to(self.device, non_blocking=True)
            return self.encode_units(images, [unit], training)[unit]
        several = [entry[key].to(self.device, non_blocking=True) for entry in batch]
        if unit.task != "box":
            sizes = ", ".join(sorted({f"{image.shape[-2]} x {image.shape[-1]}" for image in several}))
            raise ValueError(f"{unit}: the images of a batch must have one size, these have {sizes}")
        stacked, padded = pad_images([self.normalise(image, unit.task) for image in several])
        return self.heads["box"].encode(self.backbone(stacked), padded)

    def encode_units(self, images: Tensor, units: Sequence[Unit], training: bool = False) -> dict[Unit, Any]:
        """Encodings by unit of images (B, 1 or 3, H, W), 0..255.

        The backbone runs once for each way of normalising pixels, a head once, the mask head once per dataset where the
        gate is active; ``training``: see :meth:`RegionGate.active`.
        """
        maps: dict[Any, dict[str, Tensor]] = {}
        encoded: dict[tuple[str, str], Any] = {}  # by the head's task and that of the pixels

        def maps_of(task: str) -> dict[str, Tensor]:
            key = self.pixel_statistics[task]
            if key not in maps:
                maps[key] = self.backbone(self.normalise(images, task))
            return maps[key]

        def encoding_of(task: str, pixels: str) -> Any:
            if (task, pixels) not in encoded:
                found = maps_of(pixels)
                if not torch.is_grad_enabled():  # a view of a tensor with a gradient would keep it
                    found = {name: x.detach() for name, x in found.items()}
                encoded[task, pixels] = self.heads[task].encode(found)
            return encoded[task, pixels]

        def gated(dataset: str) -> Any:
            own = maps_of("mask")  # first: under autocast weights that were cast without a gradient would be used again
            with torch.no_grad():
                seen = encoding_of("box", "mask" if self.gate.reference else "box")
                detections = self.heads["box"].tensors(seen, dataset, images.shape[-1])
            return self.heads["mask"].encode(self.gate.apply(own, detections, images.shape[-2:]))

        gates = self.gate.active(training)
        return {
            unit: gated(unit.dataset) if gates and unit.task == "mask" else encoding_of(unit.task, unit.task)
            for unit in units
        }

    @torch.no_grad()
    def consistency_features(self, batch: Batch, view: str = "image_teacher") -> tuple[Tensor, ...]:
        """This network's features of one view, as targets of a student's consistency loss."""
        unit = self.unit_of(batch)
        return self.heads[unit.task].consistency(self.encode(batch, unit, view, training=True), unit.dataset)

    def _evaluated_features(self, batch: Batch) -> tuple[Tensor, ...]:
        modes = [(module, module.training) for module in self.modules()]
        try:
            return self.eval().consistency_features(batch, "image")
        finally:
            for module, mode in modes:
                module.training = mode

    def _weigh(self, losses: dict[str, Tensor], head: nn.Module) -> dict[str, Tensor]:
        """By the task's learned uncertainty, where it is asked for."""
        if not self.uncertainty:
            return losses
        log_variance = head.get_parameter("log_variance").sum()
        return {name: torch.exp(-log_variance) * loss for name, loss in losses.items()} | {
            "loss_uncertainty": log_variance / 2
        }

    def forward(self, batch: Batch, teacher: Sequence[Tensor] | None = None):
        if self.raw is not None and not self.training:
            batch = [self.raw.fit(entry) for entry in batch]
        if not self.training:
            unit = self.unit_of(batch)
            return self.heads[unit.task].inference(self.encode(batch, unit), unit.dataset, batch)
        step = self.begin(batch, self.truth(batch))
        return self.finish(step, self.decide(step), teacher)

    def truth(self, batch: Batch, device: torch.device | None = None) -> Any:
        """The annotations of a batch as one tensor or a tuple of tensors, by default on the network's device."""
        return self.heads[self.unit_of(batch).task].truth(batch, device or self.device)

    def begin(self, batch: Batch, truth: Any) -> Step:
        """A training step up to what the host must decide; of the batch only unit and images are read."""
        unit = self.unit_of(batch)
        encoded = self.encode(batch, unit, training=True)
        return Step(unit, batch, truth, encoded, self.heads[unit.task].begin(encoded, unit.dataset, truth))

    def question(self, step: Step) -> Tensor | None:
        """What the host must see for its decision: the costs of matching boxes; None for other tasks."""
        return self.heads[step.unit.task].question(step.begun)

    def decide(self, step: Step) -> Tensor | None:
        """Matches boxes with queries on the host, which waits for the costs; None for other tasks."""
        return self.heads[step.unit.task].answer(step.begun)

    def finish(self, step: Step, decision: Tensor | None, teacher: Sequence[Tensor] | None = None) -> dict[str, Tensor]:
        """The losses: see the class."""
        unit, weight = step.unit, self.consistency_weight
        head = self.heads[unit.task]
        found = head.finish(step.begun, unit.dataset, step.truth, decision)
        losses = {name: (1 - weight) * loss for name, loss in self._weigh(found, head).items()}
        if teacher is not None and weight:
            detached = head.detached_consistency
            own = self._evaluated_features(step.batch) if detached else head.consistency(step.encoded, unit.dataset)
            losses["loss_consistency"] = weight * consistency_loss(own, teacher)
        return losses | head.penalty()
