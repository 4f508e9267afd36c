"""Open Inference Protocol over gRPC: six calls, health and reflection, on a port of their own.

A shell around the same rows, scorer and limits as REST: what differs is where a tensor's values stand
in a message. Needs the extra `grpc`.

No message is taken before the key is known: to gRPC each call is one that streams its request, so that its
only message is read, and expanded where it is compressed, when it is asked for. One that is asked for without
a key is never read. Health, readiness and liveness need none; few of these calls are taken at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from serving.errors import Busy, Malformed, NotAuthorized, NotFound, RequestError, SlowBody, TooLarge
from serving.front.app import INLINE_BYTES, RAW_BYTES, App, Loaded, tensors_for
from serving.front.rpc.coding import Request, decode, encode, parse
from serving.front.rpc.messages import PACKAGE, POOL, SERVICE, message
from serving.front.rpc.wire import check_fields
from serving.protocols import responses, tensors, translation
from serving.rows import Rows, budget, media
from serving.runtimes import Local, Remote
from serving.scorer import SLIPWAY
from serving.settings import Settings

logger = logging.getLogger("serving")

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
OPEN_CALLS = 64
"""At most so many calls at once that need no key and have a message, or a stream of answers, of their own."""

OPEN_BYTES = 64 * 2**10
"""The largest message of such a call: a name."""

OPEN_SECONDS = 5.0
"""How long such a message may take to come."""

PARSED_INLINE = RAW_BYTES * INLINE_BYTES
"""Larger messages are counted, and parsed in a thread."""

COPIES = 4
"""Of a large message in memory: as it came, as protobuf has it, its tensors, and the packed rows."""

NOTHING: AbstractContextManager[None] = nullcontext()

KEEPALIVE = [
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 2),
]
"""Clients may ping twice a second, also while they have no call; gRPC by itself allows one in five minutes."""

NO_COMPRESSION = [("grpc.compression_enabled_algorithms_bitset", 1)]
"""gRPC expands a message before anybody can ask what is in it: 15 kB take a tenth of a second, and 16 MiB."""

InferRequest = message("ModelInferRequest")
Answering = Callable[[Any, Any], Awaitable[Any]]


async def start(app: App, settings: Settings) -> Callable[[], Awaitable[None]]:
    """Listen on the port that the parent reserved; return what stops the server."""
    limits = settings.limits
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
    server.add_generic_rpc_handlers((Doors(app, Calls(app), healthy),))
    _listen(server, settings)
    await server.start()

    async def stop() -> None:
        await healthy.enter_graceful_shutdown()
        await server.stop(settings.drain_seconds)

    return stop


def _listen(server: grpc.aio.Server, settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    if settings.tls_cert and settings.tls_key:
        pair = (Path(settings.tls_key).read_bytes(), Path(settings.tls_cert).read_bytes())
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)


class Doors(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC comes without types
    """Which call is answered by what; without a key, where one is needed, by a refusal that reads nothing."""

    def __init__(self, app: App, calls: Calls, healthy: Any) -> None:
        self._app = app
        self._keyed = app.access.asks_for_keys
        self._open = calls.open_handlers(healthy)
        self._closed = calls.closed_handlers() | _reflected()

    def service(self, details: Any) -> Any:
        """Return the handler of a call, None for one that is not known."""
        handler = self._closed.get(details.method)
        if handler is None:
            return self._open.get(details.method)
        if self._keyed:
            try:
                self._app.access.check_key(_sent(details.invocation_metadata))
            except NotAuthorized as error:
                return self._refusal(str(error))
        return handler

    def _refusal(self, text: str) -> Any:
        async def refuse(_messages: Any, context: Any) -> None:
            self._app.telemetry.refused("grpc", NotAuthorized.status, NotAuthorized.__name__)
            await _abort(context, grpc.StatusCode.UNAUTHENTICATED, text)

        return grpc.stream_stream_rpc_method_handler(refuse)


def _sent(metadata: Iterable[tuple[str, str | bytes]] | None) -> dict[bytes, bytes]:
    """Return a call's metadata as HTTP's headers are."""
    return {name.encode(): text.encode() for name, text in metadata or () if isinstance(text, str)}


def _reflected() -> dict[str, Any]:
    """Return what answers reflection, by its method's name."""
    POOL.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
    shown = (f"{PACKAGE}.{SERVICE}", health.SERVICE_NAME, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(shown, pool=POOL)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {f"/{reflection.SERVICE_NAME}/ServerReflectionInfo": handler}


class Calls:
    """The six calls, and those of health."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._opened = 0

    def closed_handlers(self) -> dict[str, Any]:
        """Return what answers the calls that need a key, where the server has keys."""
        return {
            f"/{PACKAGE}.{SERVICE}/{name}": self._handler(name, call)
            for name, call in (
                ("ServerMetadata", self.server_metadata),
                ("ModelMetadata", self.model_metadata),
                ("ModelInfer", self.model_infer),
            )
        }

    def open_handlers(self, healthy: Any) -> dict[str, Any]:
        """Return what answers the calls that need none."""
        ours = {
            f"/{PACKAGE}.{SERVICE}/{name}": self._handler(name, call)
            for name, call in (
                ("ServerLive", self.server_live),
                ("ServerReady", self.server_ready),
                ("ModelReady", self.model_ready),
            )
        }
        return ours | self._health_handlers(healthy)

    def _handler(self, name: str, call: Answering) -> Any:
        return grpc.stream_unary_rpc_method_handler(
            self._guarded(call), response_serializer=message(f"{name}Response").SerializeToString
        )

    def _health_handlers(self, healthy: Any) -> dict[str, Any]:
        async def check(_messages: Any, context: Any) -> Any:
            with self._opening():
                return await healthy.Check(await self._named(health_pb2.HealthCheckRequest, context), context)

        async def watch(_messages: Any, context: Any) -> None:
            with self._opening():
                await healthy.Watch(await self._named(health_pb2.HealthCheckRequest, context), context)

        write = health_pb2.HealthCheckResponse.SerializeToString
        return {
            f"/{health.SERVICE_NAME}/Check": grpc.stream_unary_rpc_method_handler(
                self._guarded(check), response_serializer=write
            ),
            f"/{health.SERVICE_NAME}/Watch": grpc.stream_stream_rpc_method_handler(
                self._guarded(watch), response_serializer=write
            ),
        }

    def _guarded(self, call: Answering) -> Answering:
        """Answer errors with the protocol's codes; nothing of a fault of ours but an id goes out.

        The message is `call`'s alone: what is raised at the end stands in a cycle with this frame, and would keep it.
        """

        async def answer(messages: Any, context: Any) -> Any:
            try:
                return await call(messages, context)
            except (grpc.aio.AbortError, asyncio.CancelledError):
                raise
            except RequestError as error:
                self._app.telemetry.refused("grpc", error.status, type(error).__name__)
                code, text = CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error)
            except Exception:
                error_id = uuid.uuid4().hex[:12]
                logger.exception("call failed, the client got INTERNAL with error id %s", error_id)
                self._app.telemetry.refused("grpc", 500, "Internal")
                code, text = (
                    grpc.StatusCode.INTERNAL,
                    f"the server failed; its log has the reason under {error_id}",
                )
            return await _abort(context, code, text)

        return answer

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Count a call that needs no key and takes more than an instant; raises Busy."""
        if self._opened >= OPEN_CALLS:
            raise Busy("as many calls that need no key are in progress as this worker takes: try again")
        self._opened += 1
        try:
            yield
        finally:
            self._opened -= 1

    async def _named(self, kind: Any, context: Any) -> Any:
        """Return the small message of a call that says what it is about; raises RequestError."""
        raw = await _message(context, OPEN_SECONDS, self._app.loop)
        if len(raw) > OPEN_BYTES:
            raise TooLarge(what="bytes in a message that names a model or a service", limit=OPEN_BYTES)
        return parse(kind, raw)

    async def server_live(self, _messages: Any, _context: Any) -> Any:
        """Say that the process answers."""
        return message("ServerLiveResponse")(live=True)

    async def server_ready(self, _messages: Any, _context: Any) -> Any:
        """Say whether requests should come here."""
        return message("ServerReadyResponse")(ready=not self._app.draining)

    async def model_ready(self, _messages: Any, context: Any) -> Any:
        """Say that a model is served; raises NotFound."""
        with self._opening():
            request = await self._named(message("ModelReadyRequest"), context)
        self._serving(request.name, request.version, context)
        return message("ModelReadyResponse")(ready=True)

    async def server_metadata(self, _messages: Any, _context: Any) -> Any:
        """Describe the server."""
        return message("ServerMetadataResponse")(**tensors.server_metadata(SLIPWAY))

    async def model_metadata(self, _messages: Any, context: Any) -> Any:
        """Describe a model; raises NotFound."""
        request = await self._named(message("ModelMetadataRequest"), context)
        serving = self._serving(request.name, request.version, context)
        return message("ModelMetadataResponse")(**serving.metadata)

    def _serving(self, name: str, version: str, context: Any) -> Loaded:
        """Return a model; raises NotFound, with the names of others to those alone who have a key."""
        try:
            return self._app.named(name, version)
        except NotFound:
            return self._app.named(name, version, _sent(context.invocation_metadata()))

    async def model_infer(self, _messages: Any, context: Any) -> Any:
        """Score; raises RequestError."""
        app = self._app
        raw = await _message(context, app.settings.limits.body_seconds, app.loop)
        began, is_small = time.perf_counter(), len(raw) <= PARSED_INLINE
        with app.admitted(), NOTHING if is_small else app.reserved(COPIES * len(raw)) as held:
            request = parse(InferRequest, raw) if is_small else await self._parse(raw)
            size = len(raw) // (RAW_BYTES if request.raw_input_contents else 1)
            del raw
            serving = self._serving(request.model_name, request.model_version, context)
            if isinstance(serving, Remote):
                return await self._forward(request, serving, began, size=size, held=held)
            return await self._score(request, context, serving, began, size=size, held=held)

    async def _parse(self, raw: bytes) -> Any:
        """Parse a large message in a thread, if it has no more parts than a request may have."""

        def work() -> Any:
            check_fields(raw, self._app.settings.limits)
            return parse(InferRequest, raw)

        return await self._app.off_the_loop(work, size=len(raw))

    async def _forward(
        self, request: Any, serving: Remote, began: float, *, size: int, held: budget.Held | None
    ) -> Any:
        app, limits = self._app, self._app.settings.limits

        def translate() -> tuple[bytes, Request]:
            given, wanted = decode(request, limits)
            return tensors_for(serving, given, wanted.asked), wanted

        asked, wanted = await app.off_the_loop(translate, size=size, held=held)
        reply = await serving.ask(asked, media.JSON)
        outputs = await app.off_the_loop(lambda: translation.to_tensors(reply.body), size=len(reply.body))
        app.note("grpc", reply.rows, time.perf_counter() - began, serving)
        return encode(outputs, wanted, serving)

    async def _score(
        self, request: Any, context: Any, serving: Local, began: float, *, size: int, held: budget.Held | None
    ) -> Any:
        limits = self._app.settings.limits
        left = context.time_remaining()  # None where the client sets no deadline
        seconds = limits.work_seconds if left is None else min(limits.work_seconds, left)

        def read() -> tuple[Rows, Request]:
            given, wanted = decode(request, limits)
            return tensors.rows_of(given, wanted.asked, serving.scorer.schema, limits), wanted

        rows, wanted = await self._app.off_the_loop(read, size=size, held=held)
        if rows.unseen:
            context.set_trailing_metadata(
                [(name.decode(), text.decode()) for name, text in responses.noticed(rows)]
            )
        return await self._app.evaluate(
            rows,
            lambda values: encode(tensors.outputs_of(values), wanted, serving, coverage=rows.coverage),
            protocol="grpc",
            serving=serving,
            began=began,
            deadline=began + seconds,
        )


async def _abort(context: Any, code: grpc.StatusCode, text: str) -> None:
    """End a call with an error, quietly where it has ended already: gone, or compressed."""
    with suppress(grpc.aio.InternalError):
        await context.abort(code, text)


async def _message(context: Any, seconds: float, loop: asyncio.AbstractEventLoop) -> bytes:
    """Return the one message of a call; raises SlowBody or Malformed where it does not come.

    asyncio.timeout would do, and takes twenty microseconds.
    """
    task, is_late = asyncio.current_task(), False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        if task:
            task.cancel()

    timer = loop.call_later(seconds, give_up)
    try:
        raw: bytes = await context.read()
    except asyncio.CancelledError:
        if not is_late or not task or task.uncancel():
            raise
        raise SlowBody("the message did not come in time") from None
    finally:
        timer.cancel()
    if raw is grpc.aio.EOF:
        raise Malformed("the call came without a message")
    return raw
