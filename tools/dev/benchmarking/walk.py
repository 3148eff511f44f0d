"""The backward pass in Python, node by node: PyTorch's own engine needs a device, fake tensors on CUDA have none."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor
from torch.autograd.graph import Node


def walk_backward(loss: Tensor) -> None:
    """As ``loss.backward()`` of a scalar, without hooks; a gradient's first value is kept, the next ones are added."""
    assert loss.grad_fn is not None
    waiting = _parents(loss.grad_fn)
    gradients: dict[Node, dict[int, Tensor]] = defaultdict(dict)
    gradients[loss.grad_fn][0] = torch.ones_like(loss)
    ready = [loss.grad_fn]
    with torch.no_grad():
        while ready:
            node = ready.pop()
            own = gradients.pop(node, {})
            edges = [edge for edge in node.next_functions if edge[0] is not None]
            for (parent, number), gradient in zip(edges, _apply(node, own), strict=True):
                if gradient is not None:
                    gradient = _fitted(gradient, parent._input_metadata[number])
                    received = gradients[parent]
                    received[number] = received[number] + gradient if number in received else gradient
                waiting[parent] -= 1
                if not waiting[parent]:
                    ready.append(parent)


def _fitted(gradient: Tensor, metadata) -> Tensor:
    """Summed over what was broadcast and in the type of the value, as the engine does between two nodes."""
    gradient = gradient if gradient.shape == metadata.shape else gradient.sum_to_size(metadata.shape)
    return gradient if gradient.dtype == metadata.dtype else gradient.to(metadata.dtype)


def _parents(root: Node) -> dict[Node, int]:
    """Of every node that the root reaches the number of edges that lead to it."""
    edges: dict[Node, int] = {}
    ready = [root]
    while ready:
        for parent, _ in ready.pop().next_functions:
            if parent is not None:
                if parent not in edges:
                    ready.append(parent)
                edges[parent] = edges.get(parent, 0) + 1
    return edges


def _apply(node: Node, gradients: dict[int, Tensor]) -> list[Tensor | None]:
    """The gradients of the inputs that need one; None where the node received none. A leaf keeps what it received."""
    if hasattr(node, "variable"):
        leaf = node.variable
        for gradient in gradients.values():
            leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
        return []
    edges = [parent for parent, _ in node.next_functions]
    if not gradients:
        return [None] * sum(edge is not None for edge in edges)
    received = [gradients.get(i) for i in range(len(node._input_metadata))]
    if isinstance(node, torch.autograd.function.BackwardCFunction):  # its inputs may be no tensors, which have no edge
        found, needed = node.apply(*received), node.needs_input_grad
    else:
        found, needed = node(*received), [edge is not None for edge in edges]
    found = found if isinstance(found, tuple) else (found,)
    return [gradient for gradient, need in zip(found, needed, strict=True) if need]
