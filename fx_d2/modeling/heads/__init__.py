"""The heads by task. Each is one file and keeps the contract of :mod:`.contract`."""

from .box import BoxHead
from .classification import ClassificationHead
from .mask import MaskHead

HEADS = {"cls": ClassificationHead, "box": BoxHead, "mask": MaskHead}
