"""Calls over gRPC with bytes of our own making, and messages as protobuf writes them."""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc

from serving.protocols.v2_messages.messages import message

SERVICE = "/inference.GRPCInferenceService/"
KEY = "a key of more than sixteen letters"
KNOWN = (("x-api-key", KEY),)


@dataclass
class Caller:
    """A channel to a server; each call answers with a code's name and a text, or OK and the answer's bytes."""

    port: int
    options: list[tuple[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Caller:
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{self.port}", options=[("grpc.max_send_message_length", -1), *self.options]
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(self, path: str, body: bytes, *, metadata: tuple = (), **options: Any) -> tuple[str, Any]:
        """Send bytes to a method."""
        call = self.channel.unary_unary(path if path.startswith("/") else SERVICE + path)
        try:
            return "OK", call(body, timeout=60, metadata=metadata, **options)
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def infer(self, request: Any, **options: Any) -> tuple[str, Any]:
        """Send a ModelInferRequest, or the bytes of one; the answer is parsed."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        code, found = self.call("ModelInfer", body, **options)
        return code, message("ModelInferResponse").FromString(found) if code == "OK" else found


def one_row(model: str = "line", **parameters: Any) -> Any:
    """Return a request of one row for y = wx + b, with parameters."""
    request = message("ModelInferRequest")(model_name=model)
    request.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp64_contents.append(3.0)
    fill(request.parameters, parameters)
    return request


def fill(into: Any, parameters: dict[str, Any]) -> None:
    """Set parameters as a client does that knows their types."""
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    for name, value in parameters.items():
        if value is None:
            into[name].SetInParent()
        else:
            setattr(into[name], kinds[type(value)], value)


def compressed_at_once(port: int, path: str, body: bytes, calls: int) -> int:
    """Send one message that was compressed beforehand on many connections; return how many were answered."""
    machine = zlib.compressobj(9, wbits=31)
    content = machine.compress(body) + machine.flush()
    data = b"\1" + struct.pack(">I", len(content)) + content
    heads = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path if path.startswith("/") else SERVICE + path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-encoding": "gzip",
    }
    head = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in heads.items()
    )
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, 4, 1, head)
    sent += b"".join(_frame(0, 0, 1, data[start : start + 2**14]) for start in range(0, len(data), 2**14))
    sent += _frame(0, 1, 1, b"")
    answered = []
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            for _ in range(calls)
        ]
        for client in clients:
            client.sendall(sent)
        readers = [threading.Thread(target=_read, args=(client, answered)) for client in clients]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    return sum(answered)


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def _read(client: socket.socket, answered: list[bool]) -> None:
    found = b""
    while b"grpc-status" not in found and (more := client.recv(2**16)):
        found += more
    answered.append(b"grpc-status" in found)
