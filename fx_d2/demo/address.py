"""Where the page listens, and by which names it is reached."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit


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


class HostCheck:
    """ASGI middleware: answers 400 where the Host header is not an address or a name of this computer.

    Against DNS rebinding: a page elsewhere may let its own name lead to this computer, and so read the demo as its own
    origin. Numbers cannot be made to lead elsewhere, so every IP address is a good host.

    Args:
        host: what the page listens on.
    """

    def __init__(self, app: Any, host: str) -> None:
        self.app, self.names = app, {"localhost", host.lower()}
        if not is_loopback(host):
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def accepts(self, header: str) -> bool:
        try:
            name = urlsplit(f"//{header}").hostname or ""
            if name in self.names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if len(headers) == 1 and self.accepts(headers[0]):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"unknown host; use the address that the demo prints\n"})
