"""Writes a graph as ONNX, TorchScript or torch.export; the number of images is free in all of them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from .graph import INPUT, ExportGraph

OPSET = 17  # the first with LayerNormalization; grid sampling came with 16
# Traced with two images: with one, PyTorch's exporters take the number for a constant.
_BATCH = 2

Run = Callable[[np.ndarray], Sequence[np.ndarray]]


def write_onnx(graph: ExportGraph, path: Path) -> None:
    """ONNX by tracing.

    PyTorch's newer exporter (``dynamo=True``) took seven times as long on the box path, and what its optimiser left of
    it did not load (PyTorch 2.14); the result of tracing equals the network to rounding.

    Raises:
        ValueError: the package onnx is not installed.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ValueError("ONNX export needs the package onnx: pip install 'fx_d2[export]'")
    import onnx

    axes = {name: {0: "batch"} for name in (INPUT, *graph.names)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes that tracing makes constants are those of the input square
        torch.onnx.export(
            graph,
            (graph.example(_BATCH),),
            str(path),
            input_names=[INPUT],
            output_names=graph.names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    for value, shape in zip(model.graph.output, graph.outputs.values(), strict=True):
        for axis, length in zip(value.type.tensor_type.shape.dim[1:], shape, strict=True):
            axis.dim_value = length  # tracing leaves names of its own here
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def write_torchscript(graph: ExportGraph, path: Path) -> None:
    """TorchScript by tracing; loads with ``torch.jit.load`` and LibTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of torch.export, and still what C++ and Java load
        torch.jit.save(torch.jit.trace(graph, (graph.example(_BATCH),), check_trace=False), str(path))


def write_torch_export(graph: ExportGraph, path: Path) -> None:
    """An ``ExportedProgram``; loads with ``torch.export.load``."""
    shapes = ({0: torch.export.Dim("batch", min=1, max=1024)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(graph, (graph.example(_BATCH),), dynamic_shapes=shapes, strict=False)
        torch.export.save(program, str(path))


def open_onnx(path: Path) -> Run:
    """The exported file as a function; on the CPU.

    Raises:
        ValueError: the package onnxruntime is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise ValueError("running an ONNX file needs the package onnxruntime: pip install 'fx_d2[export]'")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {INPUT: images})


def open_torchscript(path: Path) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(str(path), map_location="cpu")
    return lambda images: [value.numpy() for value in module(torch.from_numpy(images))]


def open_torch_export(path: Path) -> Run:
    module = torch.export.load(str(path)).module()
    return lambda images: [value.numpy() for value in module(torch.from_numpy(images))]


# name: (ending, write, open)
FORMATS: dict[str, tuple[str, Callable[[ExportGraph, Path], None], Callable[[Path], Run]]] = {
    "onnx": (".onnx", write_onnx, open_onnx),
    "torchscript": (".ts", write_torchscript, open_torchscript),
    "torch_export": (".pt2", write_torch_export, open_torch_export),
}
