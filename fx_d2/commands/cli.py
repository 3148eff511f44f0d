"""The command ``fx-d2``: a page of all commands, and what runs one of them.

Nothing of PyTorch is imported for the page, ``doctor`` and ``install-detectron2``: they serve where it is missing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import __version__
from ..data.errors import nearest

USAGE = 2  # exit code, as argparse and fx_d2.tooling have it
# Missing ones are no fault of a command: one line says how to get them.
FOUNDATIONS = ("torch", "torchvision", "detectron2")


# name -> what the page says of it. The body is the module of that name beside this one.
GROUPS = {
    "Data": {
        "phantoms": "draw the synthetic cohort: radiographs with findings, boxes and masks",
        "check-data": "find faults and leaks in datasets before they are trained on",
        "visualize-data": "draw images with their annotations, or as training sees them",
        "dataset-tree": "write a tiny fake copy of a published dataset",
    },
    "Training": {
        "schedule": "print the plan of a run: units, passes, what is locked, learning rates",
        "train": "train, resume, or evaluate with --eval-only",
        "evaluate": "score stored predictions again, or compare two runs",
        "external": "hold a network against datasets that it was not trained on",
        "ablate": "test the method's claims: arms that differ in a few keys, over several seeds",
        "report": "write report.html and MODEL_CARD.md of a run",
    },
    "Use": {
        "predict": "find findings, boxes and masks in image files",
        "demo": "show predictions on a local page",
        "export": "write a network as ONNX, TorchScript or torch.export",
    },
    "Weights": {
        "convert": "turn weights of other projects into ours",
        "export-weights": "write one network of a checkpoint, or its backbone for timm",
    },
    "Installation": {
        "doctor": "check the installation and name the fix of what is wrong",
        "install-detectron2": "install Detectron2, once, after PyTorch",
    },
}
COMMANDS = {name: about for group in GROUPS.values() for name, about in group.items()}
ALONE = ("doctor", "install-detectron2")  # run without PyTorch and Detectron2, and take no arguments

HEAD = """\
usage: fx-d2 COMMAND [options] [KEY VALUE ...]

Foundation X on Detectron2: one network for chest radiographs that learns findings, boxes and masks from many datasets.

Try it on synthetic radiographs, without a GPU or data of your own (about 12 minutes on 2 cores):
  fx-d2 phantoms
  fx-d2 train --config-file phantom.yaml OUTPUT_DIR output/quickstart
"""
FOOT = """\
fx-d2 COMMAND --help explains a command; fx-d2 --version prints the version.
KEY VALUE pairs override the configuration, as in Detectron2: fx-d2 train --config-file phantom.yaml SEED 1
"""


def page() -> str:
    """What ``fx-d2 --help`` prints."""
    width = max(map(len, COMMANDS)) + 2
    groups = [
        "\n".join([f"{title}:", *(f"  {name:<{width}}{about}" for name, about in group.items())])
        for title, group in GROUPS.items()
    ]
    return "\n".join([HEAD, *(f"{group}\n" for group in groups), FOOT])


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs ``fx-d2 ARGUMENTS`` and ends the process with the command's exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else None
    if name in ("-h", "--help", "help"):
        print(page(), end="")
    elif name == "--version":
        print(f"fx-d2 {__version__}")
    elif name in COMMANDS:
        program = "python -m fx_d2" if Path(sys.argv[0]).name == "__main__.py" else sys.argv[0]
        sys.argv = [f"{program} {name}", *arguments[1:]]  # how argparse names the command, and the run's record
        run(name)
    elif name is None:
        print(page(), end="", file=sys.stderr)
        sys.exit(USAGE)
    else:
        print(f"error: no command {name!r}; {nearest(name, COMMANDS, 'commands')}", file=sys.stderr)
        sys.exit(USAGE)


def leave_out_deprecations() -> None:
    """Of third parties: their users cannot mend them. Ours stay; ``python -W`` and PYTHONWARNINGS decide instead."""
    if not sys.warnoptions:
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category, module=r"(?!fx_d2\b|__main__\b)")
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)  # of setuptools
        # For processes that begin anew, of several GPUs and of the loader; there a filter has no patterns.
        os.environ["PYTHONWARNINGS"] = "ignore::FutureWarning:torch.jit._script"


def run(name: str) -> None:
    """Runs a command on ``sys.argv`` and ends the process with its exit code."""
    leave_out_deprecations()
    if name in ALONE:
        function = main_of(name)
        about = sys.modules[function.__module__].__doc__
        argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
        sys.exit(function())
    try:
        function, run_tool = main_of(name), importlib.import_module("fx_d2.tooling").run_tool
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in FOUNDATIONS:
            raise
        reason = f"{error.name} is not installed; once PyTorch is, this installs Detectron2"
        print(f"error: {reason}: {sys.executable} -m fx_d2 install-detectron2", file=sys.stderr)
        sys.exit(USAGE)
    run_tool(lambda: sys.exit(function()))


def main_of(name: str) -> Callable[[], int | None]:
    """The main function of a command: it reads ``sys.argv`` and returns an exit code or None."""
    folder = "fx_d2" if name == "doctor" else __package__
    module = importlib.import_module(f"{folder}.{name.replace('-', '_')}")
    return module.invoke_main if name == "train" else module.main  # a training's main runs in every process
