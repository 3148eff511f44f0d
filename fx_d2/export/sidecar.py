"""What a user of an exported file must know, as JSON beside it."""

from __future__ import annotations

from collections.abc import Mapping

from .graph import INPUT, ExportGraph

FORMAT = "fx_d2 export"
VERSION = 1
_MEANING = {
    "scores": {
        "cls": "probability of each class, in the order of classes",
        "box": "score of each detection, highest first",
    },
    "classes": {"box": "index into classes of each detection"},
    "boxes": {"box": "x0, y0, x1, y1 of each detection as shares of the input square"},
    "masks": {"mask": "probability of each class at each pixel of the input square"},
}


def describe(graph: ExportGraph, letterbox: bool, findings: Mapping, about: Mapping) -> dict:
    """Input, outputs, classes and findings of an exported file.

    Args:
        letterbox: how an image becomes the input square. findings: as ``FindingMap.table`` gives them.
        about: further entries, such as the file's name.
    """
    way = "keep the aspect ratio, centre, pad with 0" if letterbox else "stretch to the square"
    return {
        "format": FORMAT,
        "version": VERSION,
        **about,
        "input": {
            "name": INPUT,
            "shape": ["batch", 1, graph.size, graph.size],
            "dtype": "float32",
            "values": "grey 0..255, air dark and bone bright; normalisation is inside",
            "resize": f"{way}; average areas where shrinking, bilinear otherwise",
        },
        "outputs": [
            {
                "name": name,
                "unit": str(unit),
                "tensor": tensor,
                "shape": ["batch", *shape],
                "dtype": "int64" if tensor == "classes" else "float32",
                "meaning": _MEANING[tensor][unit.task],
            }
            for name, ((unit, tensor), shape) in zip(graph.names, graph.outputs.items(), strict=True)
        ],
        "units": {
            str(unit): {
                "dataset": unit.dataset,
                "task": unit.task,
                "classes": list(graph.network.classes[unit].names),
                "exclusive": graph.network.classes[unit].exclusive,
            }
            for unit in graph.units
        },
        "gates": graph.network.gates(graph.units),
        "findings": findings,
        **({"notice": graph.network.notice} if graph.network.notice else {}),
    }
