"""The heads by task. Each is one file and keeps the contract of :mod:`.contract`."""

from .box import BoxHead
from .classification import ClassificationHead
from .contract import TaskHead
from .mask import MaskHead

HEADS: dict[str, type[TaskHead]] = {"cls": ClassificationHead, "box": BoxHead, "mask": MaskHead}
