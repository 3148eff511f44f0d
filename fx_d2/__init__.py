"""fx_d2: one model, three tasks, many chest radiograph datasets; trained in cycles, on Detectron2.

The public names below are loaded when first asked for; a configuration registers the model parts that it names in
Detectron2's registries. `import fx_d2` alone imports nothing, so that `fx-d2 doctor` runs where Detectron2 does not.
"""

from __future__ import annotations

import importlib
import os

# Read once, when PyTorch loads its threads. By default they spin while they wait; with loader processes on the same
# cores a training step then takes ten times as long (measured on 2 cores: 7 s instead of 0.5 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

# public name -> module that defines it
_PUBLIC = {
    "add_fx_config": ".config",
    "get_config_file": ".config",
    "get_fx_cfg": ".config",
    "CycleSchedule": ".schedule",
    "Unit": ".schedule",
    "register_datasets": ".data.catalog",
    "FoundationX": ".modeling",
    "Predictor": ".prediction",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    """Loads a public name (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names: {', '.join(_PUBLIC)}")
    value = getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
