#!/usr/bin/env python
r"""Breaks each term of each loss and matching cost once and names those that no test notices.

    python tools/dev/mutate_losses.py [--only losses/mask.py] [--list]

An operator is exchanged for its opposite, a term or factor left out, a constant moved. Every change runs the tests of
the modeling in a process of its own until the first one fails. Exit code 1: some change went unnoticed.
"""

from __future__ import annotations

import fx_d2  # isort: skip  # noqa: F401  (first: it sets how PyTorch's threads wait)
import argparse
import ast
import copy
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import detectron2.modeling  # noqa: F401  (imported once, before the processes part)
import pytest
from tqdm import tqdm

from fx_d2.tooling import run_tool

ROOT = Path(__file__).parents[2]
MODELING = ROOT / "fx_d2" / "modeling"
# File -> its functions that are losses, costs or parts of them; empty: all.
TARGETS: dict[str, tuple[str, ...]] = {
    "losses/classification.py": (),
    "losses/mask.py": (),
    "losses/box.py": (),
    "detr/matcher.py": ("match_costs", "costs_to_assign", "assign"),
    "detr/boxes.py": ("giou",),
    "detr/denoising.py": ("content", "attention_mask", "pairs", "noise_boxes", "make_denoising"),
    "detr/targets.py": ("pad", "of_assignment"),
    "foundation_x.py": ("consistency_loss", "finish"),
    "heads/box.py": ("begin", "finish", "_weighted"),
    "heads/mask.py": ("finish",),
    "heads/classification.py": ("finish",),
    "reduce.py": ("boxes_per_process",),
}
TESTS = ["losses", "loss_weights", "detr", "static_box_step", "foundation_x", "heads"]
OPPOSITE = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}


def mutants(source: str, functions: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What was changed, and the changed source."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        if not _inside(tree, node, functions):
            continue
        for what, change in _changes(node):
            changed = copy.deepcopy(tree)
            target = next(other for i, other in enumerate(ast.walk(changed)) if i == number)
            change(target)
            line = getattr(node, "lineno", 0)
            yield f"line {line}: {ast.unparse(node)}  ->  {what}", ast.unparse(ast.fix_missing_locations(changed))


def _inside(tree: ast.Module, node: ast.AST, functions: tuple[str, ...]) -> bool:
    """Whether the node stands in the body of one of the functions."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and (not functions or function.name in functions):
            if any(node is inner for statement in function.body for inner in ast.walk(statement)):
                return True
    return False


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitOr):  # that one stands in types
        opposite = OPPOSITE.get(type(node.op))
        if opposite:
            yield type(node.op).__name__ + " becomes " + opposite.__name__, lambda n: setattr(n, "op", opposite())
        yield "left side alone", lambda n: _become(n, n.left)
        yield "right side alone", lambda n: _become(n, n.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
        yield "sign or negation left out", lambda n: _become(n, n.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield "constant + 0.5", lambda n: setattr(n, "value", n.value + 0.5)


def _become(node: ast.AST, other: ast.AST) -> None:
    node.__class__ = other.__class__
    node.__dict__ = other.__dict__


def survives(path: Path, source: str) -> bool:
    """Runs the tests on the changed source; whether all pass."""
    child = os.fork()
    if child == 0:
        _replace(path, source)
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        files = [str(ROOT / "tests" / "modeling" / f"test_{name}.py") for name in TESTS]
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *files]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _replace(path: Path, source: str) -> None:
    """From now on the module of this file is made from ``source``."""
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(self, name):
        return compile(source, str(path), "exec") if Path(self.path) == path else original(self, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    for name in [name for name in sys.modules if name.split(".")[0] == "fx_d2"]:
        del sys.modules[name]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(TARGETS), help="one file")
    parser.add_argument("--list", action="store_true", help="name the changes, run nothing")
    args = parser.parse_args(arguments)
    names = [args.only] if args.only else list(TARGETS)
    found = [(MODELING / n, *mutant) for n in names for mutant in mutants((MODELING / n).read_text(), TARGETS[n])]
    if args.list:
        print(*(f"{path.relative_to(MODELING)} {what}" for path, what, _ in found), sep="\n")
        return 0
    if not survives(MODELING / "losses" / "mask.py", (MODELING / "losses" / "mask.py").read_text()):
        raise ValueError("the tests fail without any change; mend that first")
    left = []
    for path, what, source in tqdm(found, unit="change"):
        if survives(path, source):
            left.append(what)
            tqdm.write(f"unnoticed: {path.relative_to(MODELING)} {what}")
    print(f"{len(found)} changes, {len(left)} unnoticed")
    return 1 if left else 0


if __name__ == "__main__":
    run_tool(lambda: sys.exit(main()))
