"""What a source of annotations could be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Guess:
    """What a source could be.

    Attributes:
        tasks: options by task, as a user's YAML has them, with paths.
        patients: the key ``patients`` of that YAML; empty: nobody says whose the images are.
        remarks: for people, a line each.
    """

    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    patients: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
