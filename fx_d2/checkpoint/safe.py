"""Reads files of weights without running the code that they may hold."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import serialization


class CheckpointError(ValueError):
    """A file that cannot be used as a checkpoint: torn, not of PyTorch's format, or asking to run code."""


def safe_load(path: str | Path, allowed: Sequence[Any] = (), verify: bool = False) -> Any:
    """What ``torch.save`` wrote to a file, on the CPU; only tensors and plain values, never code (``weights_only``).

    Args:
        path: the file.
        allowed: further classes whose instances the file may hold, such as ``argparse.Namespace``. Name only classes
            whose construction does nothing but keep values.
        verify: compare every record with its stored checksum, too (PyTorch itself does not): it finds changed bytes,
            for one more reading of the file. Files of before PyTorch 1.6 have no checksums.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is torn, not of PyTorch's format, or holds objects of other classes; the message
            names the file and, for a class, the class.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {str(path)!r} not found")
    if verify:
        _verify(path)
    try:
        with serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol: what cannot be read is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a stranger's bytes can fail anywhere inside the unpickler
        raise CheckpointError(f"checkpoint {str(path)!r} cannot be used: {_reason(error)}") from error


def _verify(path: Path) -> None:
    """Compares the checksums of a zip archive."""
    try:
        if not zipfile.is_zipfile(path):
            return  # the old format, or not ours: left to torch.load
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # names, sizes and flags of an archive can be anything, too
        raise CheckpointError(f"checkpoint {str(path)!r} cannot be used: {error}") from error
    if damaged:
        raise CheckpointError(f"checkpoint {str(path)!r} cannot be used: its record {damaged!r} is damaged")


def _reason(error: Exception) -> str:
    """One line for people; PyTorch's own message is a page of advice, some of it dangerous."""
    text = str(error)
    unsafe_class = re.search(r"(?:GLOBAL|global|class|Unsupported class) ([\w.]+)", text)
    if "eights only load failed" in text or "weights_only" in text:
        if unsafe_class:
            return f"it holds an object of {unsafe_class.group(1)}, which is not loaded since that could run code"
        return "it is damaged, or not a file of weights"
    if isinstance(error, EOFError) or "PytorchStreamReader" in text or "zip archive" in text:
        return "it is torn (the writing was cut off, or the copy is incomplete)"
    return f"it is damaged, or not a file of weights ({type(error).__name__})"
