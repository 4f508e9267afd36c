"""Clients of the Open Inference Protocol at both doors of a server, and the golden rows as each of them sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from serving.protocols.v2_messages.messages import message

TEXTS = ("date", "carrier", "origin", "dest")


@dataclass
class Both:
    """A server with both doors."""

    http: Any
    grpc: str

    @classmethod
    def of(cls, served: Any) -> Both:
        """A running server, whose port of gRPC the kernel knows."""
        return cls(served, f"127.0.0.1:{grpc_port(served.process.pid, int(served.url.rpartition(':')[2]))}")

    def infer(self, request: Any, *, seconds: float = 20.0, metadata: tuple = ()) -> Any:
        """Call ModelInfer with our own messages."""
        with grpc.insecure_channel(self.grpc) as channel:
            call = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=message("ModelInferRequest").SerializeToString,
                response_deserializer=message("ModelInferResponse").FromString,
            )
            return call(request, timeout=seconds, metadata=metadata)

    def refusal(self, request: Any, **options: Any) -> str:
        """Call ModelInfer with what is refused; return the code's name."""
        with pytest.raises(grpc.RpcError) as caught:
            self.infer(request, **options)
        return caught.value.code().name


def grpc_port(pid: int, http_port: int) -> int:
    """The other port that a server's workers listen on."""
    ports = {
        each.laddr.port
        for child in psutil.Process(pid).children(recursive=True)
        for each in child.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }
    (found,) = ports - {http_port}
    return found


def without_gaps(golden: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The golden rows that raw texts can have."""
    return [case["row"] for case in golden if None not in case["row"].values()]


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One JSON tensor for each column."""
    return [
        {"name": name, "shape": [len(rows)], "datatype": kind_of(name), "data": [row[name] for row in rows]}
        for name in rows[0]
    ]


def kind_of(name: str) -> str:
    """The datatype that the metadata names."""
    return "BYTES" if name in TEXTS else "FP64"


def triton_inputs(client: Any, rows: list[dict[str, Any]], **options: Any) -> list[Any]:
    """The same as Triton's client has them."""
    inputs = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=object if name in TEXTS else np.float64)
        inputs.append(client.InferInput(name, [len(rows)], kind_of(name)))
        inputs[-1].set_data_from_numpy(values, **options)
    return inputs


def typed(rows: list[dict[str, Any]]) -> Any:
    """A gRPC request with typed contents."""
    request = message("ModelInferRequest")(model_name="flights", id="typed")
    for name in rows[0]:
        tensor = request.inputs.add(name=name, datatype=kind_of(name), shape=[len(rows), 1])
        if name in TEXTS:
            tensor.contents.bytes_contents.extend(row[name].encode() for row in rows)
        else:
            tensor.contents.fp64_contents.extend(row[name] for row in rows)
    return request
