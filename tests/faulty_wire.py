"""A wire with faults: a proxy before an HTTP server, a database or a bucket that loses, cuts, delays or refuses.

What goes wrong, and where, is said by `Fault`; all else passes as it is.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

LARGEST = 1 << 16
"""Bytes that pass at once."""

PREPARED = re.compile(rb"(_pg3_\d+)\0([^\0]+)\0")
"""A statement under its name, as psycopg sends it once."""

INSUFFICIENT = (
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: 69\r\n\r\n<Error><Code>InsufficientStorage</Code><Message>full</Message></Error>"
)
"""What an S3 server says whose disk is full."""


def disk_full() -> bytes:
    """Return what PostgreSQL says whose disk is full: an error, and that the transaction failed."""
    fields = b"SERROR\0VERROR\0C53100\0Mcould not extend file: No space left on device\0\0"
    return b"E" + struct.pack("!I", len(fields) + 4) + fields + b"Z" + struct.pack("!I", 5) + b"E"


@dataclass
class Fault:
    """What goes wrong.

    Attributes
    ----------
    at : bytes or callable
        In what a client sends, or whether it is that.
    kind : str
        `lost`: it never arrives; `unanswered`: it arrives, and no answer comes back; `cut`: of the answer come the
        first `bytes_left` only; `slow`: it arrives after `seconds`; `says`: it does not arrive, and `answer` comes
        back.
    times : int
        How often, before all passes again.
    """

    at: bytes | Callable[[bytes], bool]
    kind: Literal["lost", "unanswered", "cut", "slow", "says"]
    times: int = 1_000_000
    bytes_left: int = 0
    seconds: float = 0.0
    answer: bytes = b""
    happened: int = 0

    def befalls(self, sent: bytes) -> bool:
        """Return whether it happens to what a client sends, and count it."""
        if self.happened >= self.times:
            return False
        is_there = self.at in sent if isinstance(self.at, bytes) else self.at(sent)
        self.happened += is_there
        return is_there


@dataclass
class FaultyWire:
    """The proxy, on a port of its own.

    Attributes
    ----------
    upstream : int
        The port on this machine that it passes everything to.
    fault : Fault or None
        What goes wrong now.
    requests : list of str
        The first line of each HTTP request.
    """

    upstream: int
    listener: socket.socket
    fault: Fault | None = None
    requests: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.listener.getsockname()[1])

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[Fault]:
        """Let something go wrong until the block ends."""
        self.fault = fault
        try:
            yield fault
        finally:
            self.fault = None

    def serve(self) -> None:
        """Take clients until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        """Pass a client's connection on, with the faults that befall it."""
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.upstream)) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            left: list[int] = []
            prepared: dict[bytes, bytes] = {}
            answers = threading.Thread(target=self._answer, args=(server, client, left), daemon=True)
            answers.start()
            while sent := client.recv(LARGEST):
                self._note(sent)
                fault, said = self.fault, _spelled_out(sent, prepared)
                befallen = fault if fault and fault.befalls(said) else None
                if befallen and befallen.kind == "lost":
                    break
                if befallen and befallen.kind == "says":
                    client.sendall(befallen.answer)
                    continue
                if befallen and befallen.kind == "slow":
                    time.sleep(befallen.seconds)
                is_cut = befallen is not None and befallen.kind in ("cut", "unanswered")
                left[:] = (
                    [befallen.bytes_left] if befallen and is_cut else []
                )  # a later answer is whole again
                server.sendall(sent)
            for each in (client, server):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket, left: list[int]) -> None:
        """Pass answers back, as much of them as is left."""
        with suppress(OSError):
            while came := server.recv(LARGEST):
                rest = next(iter(left), LARGEST)
                client.sendall(came[:rest])
                if rest < len(came) or (left and rest == len(came)):
                    break
                left[:] = [rest - len(came)] if left else []
            for each in (client, server):
                each.shutdown(socket.SHUT_RDWR)

    def _note(self, sent: bytes) -> None:
        line, is_there, _ = sent.partition(b" HTTP/1.1\r\n")
        if is_there and len(line) < 2000:
            self.requests.append(line.decode("latin-1"))


def _spelled_out(sent: bytes, prepared: dict[bytes, bytes]) -> bytes:
    """Return what is sent with the text of statements that psycopg names by the sixth time; keep the texts."""
    prepared.update(PREPARED.findall(sent))
    return sent + b"".join(text for name, text in prepared.items() if name + b"\0" in sent)


@contextmanager
def faulty_wire(upstream: int) -> Iterator[FaultyWire]:
    """Pass on to a port of this machine until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = FaultyWire(upstream, listener)
        threading.Thread(target=wire.serve, daemon=True).start()
        try:
            yield wire
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
