"""What answers each call of the Open Inference Protocol, and of gRPC's health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from serving.access import identities, tls
from serving.errors import Busy, NotFound, RequestError, TooLarge
from serving.front.backend import Backend
from serving.front.rpc.exchange import abort, metadata_of, take_message
from serving.protocols import Answer, Call, responses, tensors
from serving.protocols.v2_messages import (
    PACKAGE,
    SERVICE,
    OpenInferenceMessages,
    Refusal,
    check_fields,
    message,
    parse,
)
from serving.runtimes import INLINE_BYTES, Runtime
from serving.scorer import SLIPWAY

OPEN_CALLS = 64
"""At most so many calls at once that need no key and have a message, or a stream of answers, of their own."""

OPEN_BYTES = 64 * 2**10
"""The largest message of such a call: a name."""

OPEN_SECONDS = 5.0
"""How long such a message may take to come."""

PARSED_INLINE = tensors.RAW_BYTES * INLINE_BYTES
"""Larger messages are counted, and parsed in a thread."""

COPIES = 4
"""Of a large message in memory: as it came, as protobuf has it, its tensors, and the packed rows."""

NOTHING: AbstractContextManager[None] = nullcontext()

ANSWERED = Answer(b"")
"""To the access log."""

NO_HEADERS: Mapping[bytes, bytes] = {}

InferRequest = message("ModelInferRequest")
Answering = Callable[[Any, Any], Awaitable[Any]]


class Calls:
    """The six calls, and those of health."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._protocol = OpenInferenceMessages(backend.settings.limits)
        self._opened = 0
        self._samples = backend.settings.access_log > 0
        self._asks = backend.access.asks or backend.audit is not None

    def closed_handlers(self) -> dict[str, Any]:
        """Return what answers the calls that need a key, where the server has keys."""
        either = (identities.PREDICT, identities.PAGE)
        return dict(
            self._handler(name, call, *scopes)
            for name, call, scopes in (
                ("ServerMetadata", self.server_metadata, either),
                ("ModelMetadata", self.model_metadata, either),
                ("ModelInfer", self.model_infer, (identities.PREDICT,)),
            )
        )

    def open_handlers(self, healthy: Any) -> dict[str, Any]:
        """Return what answers the calls that need none."""
        ours = dict(
            self._handler(name, call)
            for name, call in (
                ("ServerLive", self.server_live),
                ("ServerReady", self.server_ready),
                ("ModelReady", self.model_ready),
            )
        )
        return ours | self._health_handlers(healthy)

    def _handler(self, name: str, call: Answering, *scopes: str) -> tuple[str, Any]:
        """Return a call's path and what answers it, for those alone who may do one of these."""
        path = f"/{PACKAGE}.{SERVICE}/{name}"
        write = message(f"{name}Response").SerializeToString
        return path, grpc.stream_unary_rpc_method_handler(
            self.guarded(call, path, *scopes), response_serializer=write
        )

    def _health_handlers(self, healthy: Any) -> dict[str, Any]:
        async def check(_messages: Any, context: Any) -> Any:
            with self._opening():
                return await healthy.Check(await self._small(health_pb2.HealthCheckRequest, context), context)

        async def watch(_messages: Any, context: Any) -> None:
            with self._opening():
                await healthy.Watch(await self._small(health_pb2.HealthCheckRequest, context), context)

        write = health_pb2.HealthCheckResponse.SerializeToString
        checked, watched = (f"/{health.SERVICE_NAME}/{name}" for name in ("Check", "Watch"))
        return {
            checked: grpc.stream_unary_rpc_method_handler(
                self.guarded(check, checked), response_serializer=write
            ),
            watched: grpc.stream_stream_rpc_method_handler(
                self.guarded(watch, watched), response_serializer=write
            ),
        }

    def guarded(self, call: Answering, path: str, *scopes: str) -> Answering:
        """Let in who may do one of these, and answer errors with the protocol's codes.

        Nothing of a fault of ours but an id goes out. Who is refused has no message of his read.

        The message is `call`'s alone: what is raised at the end stands in a cycle with this frame, and would keep it.
        """

        async def answer(messages: Any, context: Any) -> Any:
            state: dict[str, Any] = {}
            began = time.perf_counter()
            try:
                if scopes and self._asks:
                    self._admit(state, context, scopes)
                answered = await call(messages, context)
            except (grpc.aio.AbortError, asyncio.CancelledError):
                raise
            except RequestError as error:
                refusal, reason = self._backend.refuse(error, self._protocol), type(error).__name__
            except Exception:
                refusal, reason = self._backend.fail(self._protocol), "Internal"
            else:
                self._note(state, context, path, "")
                if self._samples:
                    self._log(path, ANSWERED, began, getattr(answered, "model_version", ""))
                return answered
            self._note(state, context, path, reason, refusal.status)
            self._log(path, refusal, began)
            return await abort(context, refusal)

        return answer

    def _admit(self, state: dict[str, Any], context: Any, scopes: tuple[str, ...]) -> None:
        headers = metadata_of(context.invocation_metadata())
        self._backend.admit(self._state(state, context), headers, *scopes)

    def _state(self, state: dict[str, Any], context: Any) -> dict[str, Any]:
        """Put the names in the client's certificate to what is known of a call."""
        if self._backend.access.asks_for_certificates:
            state["certificate"] = tls.names_over_grpc(context.auth_context())
        return state

    def _note(
        self, state: Mapping[str, Any], context: Any, path: str, reason: str, status: int = 200
    ) -> None:
        """Have the audit know how a call ended; statuses are HTTP's for the same."""
        audit, who = self._backend.audit, state.get("who", identities.NOBODY)
        if audit is None or not (reason or (audit.takes_accepted and "who" in state)):
            return
        what = {"door": "grpc", "method": "POST", "path": path, "status": status, "client": context.peer()}
        if reason:
            audit.refused(who, what, reason=reason)
        else:
            audit.accepted(who, what)

    def _log(self, path: str, ended: Answer | Refusal, began: float, version: str = "") -> None:
        """Have the access log know how a call ended, as HTTP's requests are told to it."""
        asked = {"method": "POST", "path": path}
        self._backend.access_log.note(asked, ended, time.perf_counter() - began, version)

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

    async def _small(self, kind: Any, context: Any) -> Any:
        """Return the small message of a call that says what it is about; raises RequestError."""
        raw = await take_message(context, OPEN_SECONDS, self._backend.background.loop)
        if len(raw) > OPEN_BYTES:
            raise TooLarge(what="bytes in a message that names a model or a service", limit=OPEN_BYTES)
        return parse(kind, raw)

    async def server_live(self, _messages: Any, _context: Any) -> Any:
        """Say that the process answers."""
        return message("ServerLiveResponse")(live=True)

    async def server_ready(self, _messages: Any, _context: Any) -> Any:
        """Say whether requests should come here."""
        return message("ServerReadyResponse")(ready=not self._backend.draining)

    async def model_ready(self, _messages: Any, context: Any) -> Any:
        """Say that a model is served; raises NotFound, or NoCertificate where HTTP would."""
        self._backend.check_certificate(self._state({}, context))
        with self._opening():
            request = await self._small(message("ModelReadyRequest"), context)
        self._named(request.name, request.version, context)
        return message("ModelReadyResponse")(ready=True)

    async def server_metadata(self, _messages: Any, _context: Any) -> Any:
        """Describe the server."""
        return message("ServerMetadataResponse")(**tensors.server_metadata(SLIPWAY))

    async def model_metadata(self, _messages: Any, context: Any) -> Any:
        """Describe a model; raises NotFound."""
        request = await self._small(message("ModelMetadataRequest"), context)
        runtime = self._named(request.name, request.version, context)
        return message("ModelMetadataResponse")(**runtime.description.metadata)

    def _named(self, name: str, version: str, context: Any) -> Runtime:
        """Return a model; raises NotFound, with the names of others to those alone who have a key."""
        try:
            return self._backend.named(name, version)
        except NotFound:
            state, headers = self._state({}, context), metadata_of(context.invocation_metadata())
            who = self._backend.identify(state, headers, identities.PREDICT)
            return self._backend.named(name, version, who)

    async def model_infer(self, _messages: Any, context: Any) -> Any:
        """Score; raises RequestError."""
        backend, limits = self._backend, self._backend.settings.limits
        raw = await take_message(context, limits.body_seconds, backend.background.loop)
        began, weight = time.perf_counter(), len(raw)
        is_small = weight <= PARSED_INLINE
        with backend.work.admitted(), NOTHING if is_small else backend.work.reserved(COPIES * weight) as held:
            request = parse(InferRequest, raw) if is_small else await self._parse(raw)
            del raw
            runtime = self._named(request.model_name, request.model_version, context)
            left = context.time_remaining()  # None where the client sets no deadline
            headers = metadata_of(context.invocation_metadata()) if backend.capture else NO_HEADERS
            call = Call(
                protocol=self._protocol,
                body=request,
                model=runtime.description.name,
                version=runtime.description.label,
                size=weight // (tensors.RAW_BYTES if request.raw_input_contents else 1),
                kept=(COPIES - 1) * weight,
                began=began,
                deadline=began + (limits.work_seconds if left is None else min(limits.work_seconds, left)),
                held=held,
                headers=headers,
                tries=b"x-capture" in headers and self._tries(context, headers),
            )
            scored, prediction_id = await backend.answer(call, runtime)
        if prediction_id:
            await context.send_initial_metadata((("x-prediction-id", prediction_id.decode()),))
        if scored.unseen:
            noticed = responses.noticed(scored.unseen)
            context.set_trailing_metadata([(name.decode(), text.decode()) for name, text in noticed])
        return scored.answer

    def _tries(self, context: Any, headers: Mapping[bytes, bytes]) -> bool:
        who = self._backend.identify(self._state({}, context), headers, identities.PREDICT)
        return self._backend.tries(who, headers)

    async def _parse(self, raw: bytes) -> Any:
        """Parse a large message in a thread, if it has no more parts than a request may have."""

        def work() -> Any:
            check_fields(raw, self._backend.settings.limits)
            return parse(InferRequest, raw)

        return await self._backend.background.sized(work, size=len(raw))
