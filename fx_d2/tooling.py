"""What the command-line tools share: ``--config-file``, trailing KEY VALUE pairs, errors of one line.

``FX_D2_TRACEBACK=1`` in the environment shows where an error comes from.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from .config import find_config_file, get_fx_cfg
from .device import resolve_device

# Exit codes, beside 0. A mistake of the user, as argparse has it.
USAGE = 2
INTERRUPTED = 130


def config_argument_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    about = "a configuration file, or the name of one that comes with the package: phantom.yaml"
    parser.add_argument("--config-file", default="", metavar="FILE", help=about)
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that override the configuration")
    return parser


def config_from_args(args: argparse.Namespace) -> CfgNode:
    """Defaults, then the file, then the pairs, fitted to this machine (:func:`fx_d2.device.resolve_device`).

    Raises:
        ValueError: a file, key or value is wrong; the message names it and the nearest valid one.
    """
    cfg = get_fx_cfg()
    if args.config_file:
        args.config_file = find_config_file(args.config_file)  # Detectron2 copies the file into the log
        cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    resolve_device(cfg)
    cfg.freeze()
    return cfg


def run_tool(main: Callable[[], Any]) -> None:
    """Runs the main function of a tool; a tool ends with ``run_tool(main)`` under ``if __name__ == "__main__"``.

    A mistake in a configuration, a dataset or a file (ValueError and its kind ``DataError``, OSError,
    FloatingPointError) ends the process with one line on standard error and exit code 2. Any other error is ours and
    keeps its traceback, as does a ValueError that a library raised. An exit code that ``main`` asks for with
    SystemExit is kept, also if it comes from a process that ``main`` launched.
    """
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        if _wants_traceback() or not (isinstance(error, OSError) or _raised_here(error)):
            raise
        _fail(str(error))
    except ProcessRaisedException as error:
        reason = child_error(str(error))
        if _wants_traceback() or reason is None:
            raise
        _fail(reason)
    except ProcessExitedException as error:
        if error.exit_code > 0:
            sys.exit(error.exit_code)
        _fail(f"{error}; the other processes were ended", 1)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


def child_error(text: str) -> str | None:
    """The message at the end of a launched process's traceback, None if it is not one for people."""
    found = re.findall(r"^(?:\w+\.)*(\w+): (.*)", text, flags=re.MULTILINE)
    kinds = ("ValueError", "DataError", "CheckpointError", "OSError", "FloatingPointError", "FileNotFoundError")
    return found[-1][1] if found and found[-1][0] in kinds else None


def _wants_traceback() -> bool:
    return os.environ.get("FX_D2_TRACEBACK", "0") not in ("", "0")


def _raised_here(error: BaseException) -> bool:
    """Whether the package or a tool raised an error itself, and so wrote its message."""
    frames = traceback.extract_tb(error.__traceback__)
    here = [Path(__file__).resolve().parent, Path(sys.argv[0]).resolve().parent]
    return bool(frames) and any(Path(frames[-1].filename).resolve().is_relative_to(folder) for folder in here)


def _fail(message: str, code: int = USAGE) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
