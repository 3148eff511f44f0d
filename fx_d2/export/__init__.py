"""Networks as files that run without this package: ONNX, TorchScript, torch.export."""

from .graph import ExportGraph

__all__ = ["ExportGraph"]
