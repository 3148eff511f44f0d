"""Which batch fits into a card's memory, and which settings make a wanted batch fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .footprint import Transient
from .memory import GIB

# Both are assumptions: CUDA's context with its libraries, and what is lost of the rest. On the CPU a process was at
# most 13 % larger than what is counted here (docs/scaling.md).
CONTEXT_BYTES, FRAGMENTATION = int(0.75 * GIB), 0.13
FLOAT = 4  # bytes of a number of weights, gradients and moments, mixed precision or not


@dataclass(frozen=True)
class Network:
    """``parameters`` of the student (the teacher has as many), ``trained`` of them by kind of pass."""

    parameters: int
    trained: Mapping[str, int]

    def resident(self, kind: str) -> int:
        """Bytes whatever the batch: two networks, AdamW's two moments of all units' parts (a run trains all of them
        in turn), gradients of what the pass trains (with several processes they lie in the buffers that are sent)."""
        return FLOAT * (2 * self.parameters + 2 * self.parameters + self.trained[kind])


def usable_bytes(gib: float) -> float:
    """Of a card of so many GiB what tensors can have."""
    return (gib * GIB - CONTEXT_BYTES) * (1 - FRAGMENTATION)


def largest_batch(gib: float, resident: int, transient: Transient) -> int:
    """Images of a step that fit at once; 0: not even one."""
    return max(0, int((usable_bytes(gib) - resident - transient.fixed) // transient.per_image))


@dataclass(frozen=True)
class Setting:
    """``accumulate``: SOLVER.ACCUMULATE. ``checkpoint``: the CHECKPOINT keys that are on."""

    accumulate: int
    checkpoint: str

    def __str__(self) -> str:
        parts = [f"ACCUMULATE {self.accumulate}"] if self.accumulate > 1 else []
        return ", ".join(parts + ([f"CHECKPOINT {self.checkpoint}"] if self.checkpoint else [])) or "none needed"


def cheapest_setting(
    batch: int, gib: float, network: Network, transients: Mapping[str, Mapping[str, Transient]]
) -> Setting | None:
    """The first of: nothing; CHECKPOINT; the least ACCUMULATE; both. None: not even single images fit.

    Each costs about one more forward pass (of what is recomputed, or of everything), together two.

    Args:
        transients: by the CHECKPOINT keys that are on ("" for none), then by kind of pass; all kinds must fit.
    """

    def least_parts(checkpoint: str) -> int | None:
        fitting = [largest_batch(gib, network.resident(kind), t) for kind, t in transients[checkpoint].items()]
        return -(-batch // min(fitting)) if min(fitting) else None

    parts = {checkpoint: least_parts(checkpoint) for checkpoint in transients}
    if 1 in parts.values():
        return Setting(1, next(checkpoint for checkpoint, count in parts.items() if count == 1))
    found = [Setting(count, checkpoint) for checkpoint, count in parts.items() if count]
    return min(found, key=lambda s: (bool(s.checkpoint), s.accumulate), default=None)
