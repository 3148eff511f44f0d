"""The network. Importing this registers ``FoundationX`` and ``FXSwin`` with Detectron2."""

from .backbone import FXSwin
from .ema import ModelEMA
from .foundation_x import FoundationX

__all__ = ["FXSwin", "FoundationX", "ModelEMA"]
