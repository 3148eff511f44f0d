"""Training: a forward with denoising, and one step of each kind of pass, teacher included."""

from __future__ import annotations

import copy

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from fx_d2.engine.locking import apply_lock
from fx_d2.engine.optimizer import build_optimizer
from fx_d2.modeling import FoundationX, ModelEMA
from fx_d2.modeling.detr.boxes import to_corners
from fx_d2.modeling.detr.targets import BatchTargets, Pairs
from fx_d2.schedule import Unit

from .criterion import box_count, compare_numbers, layer_losses, match, recorded_targets, weighted_total
from .denoising import used_slots
from .network import DATASETS, published_names, recorded_config
from .recording import Recording

NORM_TOLERANCE = 1e-3
_TASKS = {"classification": "cls", "localization": "box", "segmentation": "mask"}


def compare_training(recording: Recording, model: FoundationX) -> None:
    _compare_groups(recording, model)
    compare_train_forward(recording, copy.deepcopy(model).train())
    for name, facts in recording.training["passes"].items():
        Pass(recording, copy.deepcopy(model), name, facts).compare()


def _compare_groups(recording: Recording, model: FoundationX) -> None:
    """Our tensors without an optimizer group are those below the recorded prefixes."""
    held = {id(p) for group in build_optimizer(recorded_config(recording), model).param_groups for p in group["params"]}
    published = published_names(model)
    prefixes = recording.training["in_no_optimizer_group_prefixes"]
    ours = {name for name, p in model.named_parameters() if id(p) not in held}
    expected = {
        name for name, _ in model.named_parameters() if any(_below(published[name], prefix) for prefix in prefixes)
    }
    recording.same("training.json/in_no_optimizer_group_prefixes", ours, expected)


def compare_train_forward(recording: Recording, model: FoundationX) -> None:
    """Outputs, losses and gradients of a box batch in training mode."""
    facts, head = recording.training["train_forward"], model.heads["box"]
    dataset = DATASETS[facts["dataset_index"]]
    targets = recorded_targets(recording, "training/train/")
    encoded = head.encode(model.backbone(recording.given("inputs/square")))
    noise = head.denoising(dataset, targets)
    out = head.decode(encoded, dataset, noise)
    split = noise.labels.shape[1]
    size, layers = used_slots(noise), len(out.logits)
    for name in recording.names("training/train/"):
        if name.startswith("target"):
            continue
        kind = name.rpartition("_")[2]
        layer = int(name.split("aux")[1][0]) if "aux" in name else layers - 1
        values = out.logits[layer] if kind == "logits" else out.decoded.boxes[layer]
        part = values[:, :size] if name.startswith("dn_") else values[:, split:]
        recording.compare(f"training/train/{name}", part)
    label = "training.json/train_forward"
    recording.number(f"{label}/pad_size", size, facts["pad_size"])
    recording.number(f"{label}/num_dn_group", int(noise.groups), facts["num_dn_group"])
    published = torch.cat([out.decoded.states[:, :, :size], out.decoded.states[:, :, split:]], dim=2)
    shape = {f"{axis}: {length}" for axis, length in enumerate(published.shape)}
    recording.same(
        f"{label}/decoder_state_shape", shape, {f"{i}: {n}" for i, n in enumerate(facts["decoder_state_shape"])}
    )
    values = all_losses(recording, head, out, noise, targets)
    compare_numbers(recording, f"{label}/losses", values, facts["losses"])
    recording.number(f"{label}/weighted_total", weighted_total(recording, values), facts["weighted_total"])
    losses = head.losses(encoded, dataset, targets)
    total = sum(losses.values())
    recording.number(f"{label}/sum of the head's losses", total.item(), facts["weighted_total"])
    total.backward()
    _compare_norms(recording, label, model, facts["gradient_norm_per_component"])


def all_losses(recording: Recording, head: nn.Module, out, noise, targets: BatchTargets) -> dict[str, float]:
    """Every published loss and logged value of one batch, unweighted."""
    count, split, layers = box_count(targets), noise.labels.shape[1], len(out.logits)
    size = used_slots(noise)
    known = Pairs(*(part[..., :size] for part in noise.pairs(layers=1)))
    values: dict[str, float] = {}
    with torch.no_grad():
        for layer in range(layers):
            suffix = "" if layer == layers - 1 else f"_{layer}"
            logits, boxes = out.logits[layer], out.decoded.boxes[layer]
            parts = (("", slice(split, None), count), ("_dn", slice(0, size), count * int(noise.groups)))
            for kind, queries, normaliser in parts:
                x, y = logits[:, queries], boxes[:, queries]
                pairs = known if kind else match(x, y, targets, head.options.costs)
                found = layer_losses(x, y, targets, pairs, normaliser)
                values |= {key + kind + suffix: value for key, value in found.items()}
        x, y = out.selection.logits, out.selection.boxes
        found = layer_losses(x, y, targets, match(x, y, targets, head.options.costs), count)
    return values | {f"{key}_interm": value for key, value in found.items()}


def box_batch(dataset: str, targets: BatchTargets, images: Tensor) -> list[dict]:
    """Recorded images and boxes as our mapper would give them; the published class numbers start at 1."""
    batch = []
    for image, boxes, labels, valid in zip(images, *targets, strict=True):
        height, width = image.shape[-2:]
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(to_corners(boxes[valid]) * boxes.new_tensor([width, height] * 2))
        instances.gt_classes = labels[valid] - 1
        batch.append({"image": image, "unit": f"{dataset}/box", "instances": instances})
    return batch


class Pass:
    """One step of one pass, from the recorded weights, with our locks, losses, optimizer and teacher."""

    def __init__(self, recording: Recording, model: FoundationX, name: str, facts: dict) -> None:
        self.recording, self.student, self.facts = recording, model, facts
        self.name, self.label = name, f"training.json/{name}"
        kind, _, lock = name.partition("_")
        self.task, self.train = _TASKS[kind], "head" if lock == "locked" else "path"
        self.dataset = DATASETS[facts["head"]]
        self.cfg = recorded_config(recording)
        self.published = published_names(model)
        self.teacher = ModelEMA(model)
        factor = recording.training["settings"]["teacher_initial_factor"]
        with torch.no_grad():
            for parameter in self.teacher.parameters():
                parameter.mul_(factor)

    def batch(self) -> list[dict]:
        images, unit = self.recording.given("inputs/square"), f"{self.dataset}/{self.task}"
        if self.task == "box":
            return box_batch(self.dataset, recorded_targets(self.recording, "training/localization/"), images)
        name, key = {"cls": ("classification/targets", "labels"), "mask": ("segmentation/masks", "masks")}[self.task]
        truths = self.recording.given(f"training/{name}")
        return [{"image": i, "unit": unit, key: t} for i, t in zip(images, truths, strict=True)]

    def compare(self) -> None:
        student, batch = self.student, self.batch()
        optimizer = build_optimizer(self.cfg, student)
        before = _copy(student), _copy(self.teacher.model)
        apply_lock(
            student,
            student.trainable_parts(Unit(self.dataset, self.task), self.train),
            training=self.cfg.FX.REFERENCE_LOCK,
        )
        losses = student(batch, teacher=self.teacher.model.consistency_features(batch))
        total = sum(losses.values())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._compare_losses(losses, total, batch)
        _compare_norms(self.recording, self.label, student, self.facts["gradient_norm_per_component"])
        self._clip()
        self._compare_idle_gradients(optimizer)
        optimizer.step()
        self.teacher.update(student, self.cfg.FX.TEACHER.MOMENTUM, self.cfg.FX.TEACHER.BUFFERS)
        self._compare_changes(*before)
        self._compare_average(*before)

    def _clip(self) -> None:
        if "clip_max_norm" not in self.facts:
            return
        norm = nn.utils.clip_grad_norm_(
            [p for p in self.student.parameters() if p.grad is not None], self.facts["clip_max_norm"]
        )
        expected = self.facts["gradient_norm_before_clipping"]
        self.recording.number(f"{self.label}/gradient_norm_before_clipping", norm.item(), expected, NORM_TOLERANCE)

    def _compare_losses(self, losses: dict[str, Tensor], total: Tensor, batch: list[dict]) -> None:
        weight = self.cfg.FX.CONSISTENCY_WEIGHT
        task = {name: v.item() / (1 - weight) for name, v in losses.items() if name not in _BESIDES}
        teacher = self.teacher.model.consistency_features(batch)
        mse = [float((a - b).square().mean()) for a, b in zip(self._student_side(batch), teacher, strict=True)]
        ours = {"total": total.item()}
        if self.task == "cls":
            ours |= {"bce": task["loss_class"], "consistency_mse": mse[0]}
        elif self.task == "mask":
            ours |= {"dice": task["loss_dice"], "consistency_mse_top": mse[0], "consistency_mse_fpn": mse[1]}
        else:
            # The published total of a log counts the penalty too.
            squares = losses["loss_encoder_l2"].item() / self.cfg.MODEL.BOX.ENCODER_L2
            ours |= {
                "weighted_task": sum(task.values()),
                "consistency_mse_decoder_states": mse[0],
                "consistency_mse_selected_tokens": mse[1],
                "encoder_l2_sum_of_squares": squares,
            }
            self._compare_parts(batch)
        expected = {name: value for name, value in self.facts["losses"].items() if name != "parts"}
        compare_numbers(self.recording, f"{self.label}/losses", ours, expected)

    def _student_side(self, batch: list[dict]) -> tuple[Tensor, ...]:
        """The student's compared features; for boxes those of an evaluation, as published."""
        head, unit = self.student.heads[self.task], Unit(self.dataset, self.task)
        modes = [(module, module.training) for module in self.student.modules()]
        # Batch statistics must not be counted twice: they are put back.
        buffers = {name: buffer.clone() for name, buffer in self.student.named_buffers()}
        try:
            if self.task == "box":
                self.student.eval()
            with torch.no_grad():
                return head.consistency(self.student.encode(batch, unit), self.dataset)
        finally:
            for module, mode in modes:
                module.training = mode
            for name, buffer in self.student.named_buffers():
                buffer.copy_(buffers[name])

    def _compare_parts(self, batch: list[dict]) -> None:
        head = self.student.heads["box"]
        targets = head.truth(batch, self.student.device)
        noise = head.denoising(self.dataset, targets)
        with torch.no_grad():
            out = head.decode(self.student.encode(batch, Unit(self.dataset, "box")), self.dataset, noise)
        values = all_losses(self.recording, head, out, noise, targets)
        compare_numbers(self.recording, f"{self.label}/losses/parts", values, self.facts["losses"]["parts"])

    def _compare_idle_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Tensors that have a gradient and no optimizer group; recorded ones of gradient zero stay without one here."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        ours = {
            self.published[name]
            for name, p in self.student.named_parameters()
            if p.grad is not None and id(p) not in held and bool(p.grad.any())
        }
        norms = self.facts["gradient_norm_per_component"]
        recorded = self.facts["has_gradient_but_in_no_optimizer_group"]
        silent = [prefix for prefix, norm in norms.items() if norm == 0.0]
        expected = {prefix for prefix in recorded if prefix not in silent}
        found = {prefix for prefix in recorded if any(_below(name, prefix) for name in ours)}
        stray = {name for name in ours if not any(_below(name, prefix) for prefix in recorded)}
        self.recording.same(f"{self.label}/has_gradient_but_in_no_optimizer_group", found | stray, expected)

    def _compare_changes(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> None:
        parameters = {name for name, _ in self.student.named_parameters()}
        for who, model, old in (("", self.student, student), ("teacher_", self.teacher.model, teacher)):
            state = model.state_dict()
            changed = {name for name, value in state.items() if not torch.equal(value, old[name])}
            names = {self.published[name] for name in changed & parameters}
            buffers = {self.published[name] for name in changed - parameters}
            self.recording.same(f"{self.label}/{who}changed_buffers", buffers, set(self.facts[f"{who}changed_buffers"]))
            if who:
                still = {self.published[name] for name in parameters - changed}
                self.recording.same(
                    f"{self.label}/teacher_unchanged_names", still, set(self.facts["teacher_unchanged_names"])
                )
                continue
            self.recording.same(f"{self.label}/changed_names", names, set(self.facts["changed_names"]))
            for key in ("requires_grad_false_prefixes", "in_group_and_trainable_but_unchanged_prefixes"):
                moved = {name for name in names if any(_below(name, prefix) for prefix in self.facts[key])}
                self.recording.same(f"{self.label}/{key} stand still", moved, set())

    def _compare_average(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> None:
        ours = {theirs: name for name, theirs in self.published.items()}
        after = {"student": self.student.state_dict(), "teacher": self.teacher.model.state_dict()}
        before = {"student": student, "teacher": teacher}
        for key, values in self.facts["ema"].items():
            for moment, expected in values.items():
                who, _, when = moment.partition("_")
                found = (after if when == "after" else before)[who][ours[key]]
                expected = torch.tensor(expected, dtype=found.dtype).reshape(found.shape)
                self.recording.tensor(f"{self.label}/ema/{key}/{moment}", found, expected)


_BESIDES = ("loss_consistency", "loss_encoder_l2")


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _compare_norms(recording: Recording, label: str, model: FoundationX, expected: dict[str, float]) -> None:
    """L2 norm of the gradient below each published prefix; no gradient counts as zero."""
    published = published_names(model)
    for prefix, norm in expected.items():
        squares = sum(
            float(p.grad.double().square().sum())
            for name, p in model.named_parameters()
            if p.grad is not None and _below(published[name], prefix)
        )
        recording.number(f"{label}/gradient_norm/{prefix}", squares**0.5, norm, NORM_TOLERANCE)
