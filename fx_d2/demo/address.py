"""Where the page listens."""

from __future__ import annotations

import ipaddress
import socket


def refuse_taken(host: str, port: int) -> None:
    """Finds a taken port before the network is loaded; the server would end with a line in its log only.

    Raises:
        ValueError: the address cannot be listened on.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(f"cannot listen on {host}, port {port}: {error.strerror}; choose another --port") from None


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches the address."""
    return host == "localhost" or (host[:1].isdigit() and ipaddress.ip_address(host).is_loopback)
