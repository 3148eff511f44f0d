"""Compares the network with recorded outputs of the published one (tools/dev/verify_parity.py)."""

from .verify import verify_folder

__all__ = ["verify_folder"]
