"""Open Inference Protocol over gRPC: six calls, health and reflection, on a port of their own.

A shell around the same rows, scorer and limits as REST: what differs is where a tensor's values stand
in a message. Needs the extra `grpc`.

No message is taken before the key is known: to gRPC each call is one that streams its request, so that its
only message is read, and expanded where it is compressed, when it is asked for. One that is asked for without
a key is never read. Health, readiness and liveness need none; few of these calls are taken at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from serving.access import identities
from serving.front.backend import Backend
from serving.front.rpc.calls import OPEN_CALLS, Calls
from serving.protocols.v2_messages import PACKAGE, POOL, SERVICE

KEEPALIVE = [
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 2),
]
"""Clients may ping twice a second, also while they have no call; gRPC by itself allows one in five minutes."""

NO_COMPRESSION = [("grpc.compression_enabled_algorithms_bitset", 1)]
"""gRPC expands a message before anybody can ask what is in it: 15 kB take a tenth of a second, and 16 MiB."""


class StoppingCalls(NamedTuple):
    """What ends a server of calls: first it says that others should be asked, then it takes no more."""

    leave: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


async def start(backend: Backend) -> StoppingCalls:
    """Listen on the port that the parent reserved; return what stops the server."""
    settings, limits = backend.settings, backend.settings.limits
    server = grpc.aio.server(
        maximum_concurrent_rpcs=2 * limits.in_flight
        + OPEN_CALLS,  # as many again may wait for their messages
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", min(limits.grpc_message_bytes, limits.body_bytes)),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", limits.header_bytes),
            *([] if settings.grpc_compression else NO_COMPRESSION),
            *KEEPALIVE,
        ],
    )
    healthy = health.aio.HealthServicer()
    for name in ("", f"{PACKAGE}.{SERVICE}"):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    server.add_generic_rpc_handlers((Doors(Calls(backend), healthy),))
    _listen(server, backend)
    await server.start()

    async def stop() -> None:
        await healthy.enter_graceful_shutdown()
        await server.stop(settings.drain_seconds)

    return StoppingCalls(healthy.enter_graceful_shutdown, stop)


def _listen(server: grpc.aio.Server, backend: Backend) -> None:
    settings, certificates = backend.settings, backend.certificates
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    if certificates is None:
        server.add_insecure_port(address)
        return

    def newest() -> Any:
        """Return what a new connection is shown; gRPC calls this in a thread of its own."""
        return grpc.ssl_server_certificate_configuration([certificates.pair], certificates.client_ca)

    asks = certificates.client_ca is not None
    server.add_secure_port(address, grpc.dynamic_ssl_server_credentials(newest(), newest, asks))


class Doors(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC comes without types
    """Which call is answered by what."""

    def __init__(self, calls: Calls, healthy: Any) -> None:
        self._known = calls.open_handlers(healthy) | calls.closed_handlers() | _reflected(calls)

    def service(self, details: Any) -> Any:
        """Return the handler of a call, None for one that is not known."""
        return self._known.get(details.method)


def _reflected(calls: Calls) -> dict[str, Any]:
    """Return what answers reflection, by its method's name."""
    POOL.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
    shown = (f"{PACKAGE}.{SERVICE}", health.SERVICE_NAME, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(shown, pool=POOL)
    path = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"

    async def reflect(messages: Any, context: Any) -> None:
        async for answer in servicer.ServerReflectionInfo(messages, context):
            await context.write(answer)

    handler = grpc.stream_stream_rpc_method_handler(
        calls.guarded(reflect, path, identities.PREDICT, identities.PAGE),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {path: handler}
