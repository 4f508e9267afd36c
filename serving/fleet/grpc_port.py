"""The port that the workers' gRPC servers share: taken by one server alone, before any worker starts.

Each worker listens on it by itself, with SO_REUSEPORT, which lets any process of the same user join: a second
server would get half of the first one's calls. So the parent binds it without that option first, keeps it for as
long as it runs, and only then lets its workers in. It never listens itself, or calls would go to it.
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

from serving.errors import SettingsError


class Reserved:
    """A port that is kept, on every address of a host."""

    def __init__(self, port: int, kept: ExitStack) -> None:
        self.port, self._kept = port, kept

    def close(self) -> None:
        """Let others have it."""
        self._kept.close()


def reserve(host: str, port: int) -> Reserved:
    """Keep a port for the workers' gRPC servers, 0 for any free one; raises SettingsError where it is in use."""
    if not find_spec("grpc_reflection"):
        raise SettingsError("--grpc-port needs gRPC: pip install '.[grpc]' in Slipway's folder")
    with ExitStack() as kept:
        try:
            for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                port = _keep(kept.enter_context(socket.socket(family, socket.SOCK_STREAM)), address, port)
        except OSError as error:
            raise SettingsError(_text(host, port, error)) from error
        return Reserved(port, kept.pop_all())


def _text(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen for gRPC on {host}:{port}: the port is in use: pass another --grpc-port"
    return f"cannot listen for gRPC on {host}:{port}: {error.strerror or error}"


def _keep(kept: socket.socket, address: tuple[Any, ...], port: int) -> int:
    """Bind a socket as the only one, then let those with SO_REUSEPORT in; return its port.

    Connections of a server that has just stopped are no reason to refuse, which needs SO_REUSEADDR; but then two
    that have bound and do not listen yet may both be let through. So it listens, as only one of them can, until
    nobody else may bind.
    """
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(port > 0))
    kept.bind((address[0], port, *address[2:]))
    if port:
        kept.listen(0)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if port:
        kept.shutdown(socket.SHUT_RD)  # ends listening, not the binding
    return int(kept.getsockname()[1])
