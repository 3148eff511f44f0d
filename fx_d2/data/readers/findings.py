"""Image-level findings from the texts of a table: 1, 0, -1 (uncertain) and blank become 1, 0, NaN or a soft label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from ..errors import DataError
from .label_text import UNCERTAIN, label_value

# Range of the soft labels of the publication (label smoothing of U-Ones).
_SOFT = (0.55, 0.85)
_POLICIES = {"ignore": math.nan, "zero": 0.0, "one": 1.0}


def soft_label(seed: int, image_id: str, name: str) -> float:
    """A number of 0.55..0.85 that depends on the seed, the image and the class alone, not on the order of rows."""
    digest = blake2b(f"{seed}/{image_id}/{name}".encode(), digest_size=8).digest()
    low, high = _SOFT
    return low + (high - low) * int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True)
class FindingRules:
    """How the rows of CheXpert and MIMIC-CXR-JPG are read.

    Attributes:
        classes: names in the order of the row's texts.
        uncertain: ignore, zero, one or uniform: what -1 becomes in training; elsewhere it is unknown.
        blank: ``zero``, or ``unknown``: then "No Finding" = 1 makes the blanks of all findings 0 (devices are no
            finding), a finding that is 1 makes a blank "No Finding" 0, and other blanks stay NaN.
        seed: of the uniform policy.
    """

    classes: tuple[str, ...]
    uncertain: str
    blank: str
    no_finding: str = "No Finding"
    devices: str = "Support Devices"
    seed: int = 0

    def labels(self, texts: Sequence[str], image_id: str, training: bool, place: str) -> list[float]:
        """The labels of one row.

        Raises:
            DataError: a text is no label (:mod:`.label_text`).
        """
        values = [value for text in texts if (value := label_value(text)) is not None]
        if len(values) < len(texts):
            raise self._bad(texts, place)
        if self.blank == "zero":
            values = [0.0 if value != value else value for value in values]
        else:
            self._settle_blanks(values)
        if UNCERTAIN in values:
            for k, name in enumerate(self.classes):
                if values[k] == UNCERTAIN:
                    values[k] = self._certain(image_id, name, training)
        return values

    def _settle_blanks(self, values: list[float]) -> None:
        none, devices = self.classes.index(self.no_finding), self.classes.index(self.devices)
        if values[none] == 1.0:
            device = values[devices]
            values[:] = [0.0 if value != value else value for value in values]
            values[devices] = device
        elif values[none] != values[none] and values.count(1.0) > (values[devices] == 1.0):
            values[none] = 0.0

    def _certain(self, image_id: str, name: str, training: bool) -> float:
        if not training:
            return math.nan
        return soft_label(self.seed, image_id, name) if self.uncertain == "uniform" else _POLICIES[self.uncertain]

    def _bad(self, texts: Sequence[str], place: str) -> DataError:
        name, text = next((n, t) for n, t in zip(self.classes, texts, strict=True) if label_value(t) is None)
        return DataError(
            f"{place}, column {name!r}: label {text!r}; 1 (present), 0 (absent), -1 (uncertain) or blank is expected"
        )
