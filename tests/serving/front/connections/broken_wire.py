"""A wire between a server and its registry that can be cut, slowed, cut short, or made to talk nonsense."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

NONSENSE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"


class Wire:
    """A TCP relay on a port of its own; `mode` is whole, cut, slow, nonsense or short (downloads end early)."""

    def __init__(self, port: int) -> None:
        self.mode = "whole"
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(connection,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with closing(client):
            try:
                while asked := client.recv(65536):
                    if self.mode == "cut":
                        return
                    if self.mode == "slow":
                        threading.Event().wait(20)
                        return
                    if self.mode == "nonsense":
                        client.sendall(NONSENSE)
                        return
                    self._pass_on(client, asked)
            except OSError:
                return

    def _pass_on(self, client: socket.socket, asked: bytes) -> None:
        """Relay one request on a connection of its own, and its answer up to its end."""
        is_download = b"GET /api/2.0/mlflow-artifacts/artifacts/" in asked
        with closing(socket.create_connection(("127.0.0.1", self._to))) as server:
            server.sendall(asked.replace(b"Connection: keep-alive", b"Connection: close"))
            answer = bytearray()
            while part := server.recv(65536):
                answer += part
        client.sendall(answer[:-50] if is_download and self.mode == "short" else answer)
        client.shutdown(socket.SHUT_RDWR)
