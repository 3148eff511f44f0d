"""The layout of the denoising queries, with the recorded random numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fx_d2.modeling.detr.denoising import Denoising, NoiseSamples, make_denoising
from fx_d2.modeling.detr.layers import inverse_sigmoid
from fx_d2.modeling.detr.targets import BatchTargets

from .criterion import recorded_targets
from .recording import Recording

# The published code takes a doubled number of queries below this as the number of groups itself.
_DIRECT = 100


def compare_denoising(recording: Recording) -> None:
    embedding = nn.Embedding.from_pretrained(recording.given("denoising/label_enc.weight"))
    for name, facts in recording.denoising.items():
        prefix = f"denoising/{name}/"
        targets = recorded_targets(recording, prefix)
        if targets.valid.any():
            _compare_set(recording, prefix, facts, targets, embedding)
        else:
            _compare_empty(recording, prefix, facts, targets)


def _compare_set(
    recording: Recording, prefix: str, facts: dict, targets: BatchTargets, embedding: nn.Embedding
) -> None:
    doubled = 2 * facts["dn_number"]
    fixed = doubled if doubled < _DIRECT else 0
    image, slot = _entries(targets, facts["num_dn_group"])
    places = targets.labels.shape[1]
    slots = 2 * (fixed * places or max(facts["dn_number"], places))
    samples = _recorded_samples(recording, prefix, len(targets.labels), slots, image, slot)
    noise = make_denoising(
        targets,
        facts["num_classes"],
        facts["dn_number"],
        facts["label_noise_ratio"],
        facts["box_noise_scale"],
        groups=fixed,
        samples=samples,
    )
    size = used_slots(noise)
    recording.number(f"{prefix}num_dn_group", int(noise.groups), facts["num_dn_group"])
    recording.number(f"{prefix}pad_size", size, facts["pad_size"])
    per_group = 2 * int(targets.valid.sum())
    entry = torch.arange(len(image))
    positive = entry % per_group < per_group // 2
    changed = samples.label[image, slot] < 0.5 * facts["label_noise_ratio"]
    ours = {
        "input_query_label": noise.content(embedding)[:, :size],
        "input_query_bbox": inverse_sigmoid(noise.boxes)[:, :size],
        "attn_mask": _whole_mask(noise, size, facts["num_queries"]),
        "known_image": image,
        "known_slot": slot,
        "known_labels_noised": noise.labels[image, slot],
        "known_boxes_noised": noise.boxes[image, slot],
        "positive_index": entry[positive],
        "negative_index": entry[~positive],
        "noise_label_chosen": entry[changed],
    }
    for name, value in ours.items():
        if prefix + name in recording.arrays:  # without noise nothing is recorded of it
            recording.compare(prefix + name, value)


def used_slots(noise: Denoising) -> int:
    """The published queries end with the last group; our slots go on."""
    return int(2 * noise.groups * noise.width)


def _whole_mask(noise: Denoising, size: int, queries: int) -> Tensor:
    """(size + queries, size + queries), as published: no query attends to a noised one but those of a group."""
    mask = torch.zeros(size + queries, size + queries, dtype=torch.bool)
    mask[size:, :size] = True
    mask[:size, :size] = noise.attention_mask(queries)[:size, :size]
    return mask


def _entries(targets: BatchTargets, groups: int) -> tuple[Tensor, Tensor]:
    """Image and slot of every entry: half by half, image by image."""
    counts = targets.valid.sum(1).tolist()
    rows = [
        (image, box + half * max(counts))
        for half in range(2 * groups)
        for image, count in enumerate(counts)
        for box in range(count)
    ]
    return tuple(torch.tensor(column) for column in zip(*rows, strict=True))


def _recorded_samples(
    recording: Recording, prefix: str, batch: int, slots: int, image: Tensor, slot: Tensor
) -> NoiseSamples:
    """The recorded numbers, entry by entry, in our places; unused slots get zeros."""
    label, new = torch.ones(batch, slots), torch.zeros(batch, slots, dtype=torch.int64)
    corner, sign = torch.zeros(batch, slots, 4), torch.ones(batch, slots, 4)
    if f"{prefix}noise_label_u" in recording.arrays:
        label[image, slot] = recording.given(f"{prefix}noise_label_u")
        chosen = torch.from_numpy(recording.arrays[f"{prefix}noise_label_chosen"])
        new[image[chosen], slot[chosen]] = recording.given(f"{prefix}noise_label_new")
    if f"{prefix}noise_box_u" in recording.arrays:
        corner[image, slot] = recording.given(f"{prefix}noise_box_u")
        sign[image, slot] = 2.0 * recording.given(f"{prefix}noise_box_sign01").float() - 1.0
    return NoiseSamples(label, new, corner, sign)


def _compare_empty(recording: Recording, prefix: str, facts: dict, targets: BatchTargets) -> None:
    """No box, no noised query: every recorded array must be empty, and nothing blocked. Our slots are all unused."""
    noise = make_denoising(targets, facts["num_classes"], facts["dn_number"], 0.5, 1.0)
    recording.same(f"{prefix}noised queries", {"some"} if noise.used.any() else set(), set())
    recording.number(f"{prefix}pad_size", 0, facts["pad_size"])
    for name in recording.names(prefix):
        expected = recording.given(prefix + name)
        if name.startswith("target"):
            continue
        empty = torch.zeros_like(expected) if name == "attn_mask" else expected.new_zeros(expected.shape)
        recording.compare(prefix + name, empty)
