"""What is measured and how often."""

from __future__ import annotations

from dataclasses import dataclass

from .steps import Kind


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        batch: images a step. repeats: rounds. clock: ``wall``, or ``cpu`` for processor time.
        kinds: beginnings of names such as ``box`` or ``box locked``; empty: all.
        reference: parts of the published step that is measured beside ours (:mod:`.published`), ``plain`` and ``fast``.
        memory: measure peaks in processes of their own.
        threads: of PyTorch, 0 for its own choice. detections: boxes of the COCO comparison.
        device_rate: of the acted accelerator, images a second.
    """

    batch: int = 4
    repeats: int = 3
    clock: str = "wall"
    kinds: tuple[str, ...] = ()
    reference: tuple[str, ...] = ("plain", "fast")
    memory: bool = True
    threads: int = 0
    detections: int = 300_000
    device_rate: float = 100.0

    def wants(self, kind: Kind) -> bool:
        return not self.kinds or str(kind).startswith(self.kinds)
