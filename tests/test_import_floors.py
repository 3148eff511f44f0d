"""Walks the imports of the repository and asserts who may import whom, and that no imports run in a circle.

    floor 0   config, device, files, schedule, data/errors, data/labels, data/transforms, data/augmentation
    floor 1   data/*            modeling/*          siblings: neither imports the other
    floor 2   evaluation/*      checkpoint/*        visualization/*       phantoms/*
    floor 3   report/*          inspection/*
    floor 4   engine/*          tooling (what the tools share)
    floor 5   prediction/*
    floor 6   export/*          demo/*              ablation/*     external/*
    floor 7   commands/* (the bodies of `fx-d2 NAME`), __main__ above it
    above     tools/*, tests/*                      public names only

A module imports from lower floors and from its own group. `fx_d2/__init__.py` and `fx_d2/doctor.py` import nothing of
the package, since the doctor runs where the rest does not import.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "fx_d2"
GROUND = {"config", "device", "files", "schedule", "data.errors", "data.labels"}
GROUND |= {"data.transforms", "data.augmentation"}  # how an image becomes the network's input
FLOORS = {"data": 1, "modeling": 1, "evaluation": 2, "checkpoint": 2, "visualization": 2, "phantoms": 2}
FLOORS |= {"report": 3, "inspection": 3, "engine": 4, "tooling": 4, "prediction": 5, "export": 6, "demo": 6}
FLOORS |= {"ablation": 6, "external": 6, "commands": 7, "__main__": 8}
TOP = 9  # above all floors
ALONE = {"", "doctor"}


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    source: str  # dotted module, below the package, or "tools.x", "tests.x"
    target: str  # dotted name as it is imported, from the package on


def module_name(path: Path, root: Path) -> str:
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    """Every import statement of a file, inside functions too; relative ones made absolute."""
    source = module_name(path, root)
    package = source.split(".") if path.name == "__init__.py" else source.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            targets = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(str(path.relative_to(root)), node.lineno, source, target)


def place(dotted: str) -> tuple[int, str]:
    """(floor, group) of a dotted name; the group is what may import its own members."""
    if dotted.split(".")[0] != PACKAGE:
        return TOP, dotted.split(".")[0]
    inner = dotted[len(PACKAGE) + 1 :]
    if any(inner == name or inner.startswith(f"{name}.") for name in GROUND):
        return 0, "ground"
    group = inner.split(".")[0]
    if group in ALONE:
        return TOP, "alone"
    return FLOORS.get(group, -1), group


def fault(found: Import) -> str | None:
    """What is wrong with an import, or None."""
    if found.target.split(".")[0] not in (PACKAGE, "tools", "tests"):
        return None
    (floor, group), (target_floor, target_group) = place(found.source), place(found.target)
    inside = found.source.split(".")[0] == PACKAGE
    if inside and found.target.split(".")[0] != PACKAGE:
        return "the package imports tools or tests"
    if not inside:
        private = [part for part in found.target.split(".")[1:] if part.startswith("_") and not part.startswith("__")]
        return f"{private[0]} is not a public name" if private and found.target.startswith(PACKAGE) else None
    if group == "alone":
        return "imports the package, but must run where it does not import"
    if floor == -1:
        return f"{group} has no floor; give it one in this test and in the documentation"
    if target_group == group or target_floor < floor:
        return None
    return f"floor {floor} ({group}) may not import floor {target_floor} ({target_group})"


def faults(root: Path) -> list[str]:
    files = [path for top in (PACKAGE, "tools", "tests") for path in sorted((root / top).rglob("*.py"))]
    every = (found for path in files for found in imports_of(path, root))
    return [f"{i.file}:{i.line}: imports {i.target}: {why}" for i in every if (why := fault(i))]


def circle(root: Path) -> list[str]:
    """The first circle of modules that import each other, imports in functions and for type checking too; or []."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    modules = {f"{PACKAGE}.{name}" if name else PACKAGE for name in (module_name(p, root / PACKAGE) for p in files)}
    graph: dict[str, set[str]] = {}
    for found in (found for path in files for found in imports_of(path, root)):
        target = found.target if found.target in modules else found.target.rpartition(".")[0]
        if target in modules and target != found.source:
            graph.setdefault(found.source, set()).add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other():
    assert circle(ROOT) == []


def test_a_circle_is_found_wherever_its_imports_stand(tmp_path):
    (tmp_path / "fx_d2" / "data").mkdir(parents=True)
    (tmp_path / "fx_d2" / "data" / "__init__.py").write_text("")
    (tmp_path / "fx_d2" / "data" / "a.py").write_text("def late():\n    from .b import f\n")
    (tmp_path / "fx_d2" / "data" / "b.py").write_text("if TYPE_CHECKING:\n    from . import c\n")
    (tmp_path / "fx_d2" / "data" / "c.py").write_text("import os\n")
    assert circle(tmp_path) == []
    (tmp_path / "fx_d2" / "data" / "c.py").write_text("from fx_d2.data.a import late\n")
    found = circle(tmp_path)
    assert set(found) == {"fx_d2.data.a", "fx_d2.data.b", "fx_d2.data.c"} and found[0] == found[-1]


def test_every_module_imports_from_below():
    found = faults(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_the_walk_sees_the_package():
    """Guards against a walk that passes because it found nothing."""
    config = {i.target for i in imports_of(ROOT / PACKAGE / "config" / "cycle.py", ROOT)}
    assert f"{PACKAGE}.schedule.Unit" in config and "detectron2.config.CfgNode" in config


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("fx_d2/schedule.py", "from .data import loader", "floor 0 (ground) may not import floor 1 (data)"),
        ("fx_d2/data/labels.py", "from . import mapper", "floor 0 (ground) may not import floor 1 (data)"),
        ("fx_d2/data/mapper.py", "from ..modeling.ema import ModelEMA", "may not import floor 1 (modeling)"),
        ("fx_d2/modeling/heads/box.py", "import fx_d2.data.masks", "may not import floor 1 (data)"),
        ("fx_d2/evaluation/box.py", "from ..visualization import overlay", "may not import floor 2 (visualization)"),
        ("fx_d2/data/__init__.py", "from ..engine.build import build", "may not import floor 4 (engine)"),
        ("fx_d2/engine/build.py", "from tools import train_net", "the package imports tools or tests"),
        ("fx_d2/doctor.py", "from .config import get_fx_cfg", "must run where it does not import"),
        ("fx_d2/__init__.py", "from .config import get_fx_cfg", "must run where it does not import"),
        ("fx_d2/extra/new.py", "from ..config import get_fx_cfg", "extra has no floor"),
        ("tools/predict.py", "from fx_d2.engine.build import _secret", "_secret is not a public name"),
    ],
)
def test_a_forbidden_import_is_reported_with_file_and_line(tmp_path, file, line, why):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(f"import os\n\n\ndef late():\n    {line}\n")
    found = faults(tmp_path)
    assert len(found) == 1 and found[0].startswith(f"{Path(file)}:5: ") and why in found[0], found


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("fx_d2/config/defaults.py", "from .schedule import Unit"),
        ("fx_d2/data/mapper.py", "from .labels import NIH"),
        ("fx_d2/data/readers/coco.py", "from ..images import read_image"),
        ("fx_d2/modeling/heads/box.py", "from ...schedule import Unit"),
        ("fx_d2/engine/hooks/teacher.py", "from ...modeling.ema import ModelEMA"),
        ("fx_d2/visualization/overlay.py", "from ..data.masks import decode_masks"),
        ("tools/train_net.py", "from fx_d2 import get_fx_cfg, __version__"),
        ("tests/engine/test_x.py", "from tests.engine.toy import model"),
    ],
)
def test_a_permitted_import_passes(tmp_path, file, line):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(f"{line}\n")
    assert faults(tmp_path) == []
