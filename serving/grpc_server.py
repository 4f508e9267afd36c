"""Open Inference Protocol over gRPC: six calls, health and reflection, on a port of their own.

A shell around the same rows, scorer and limits as REST: what differs is where a tensor's values stand
in a message. Answers are raw where the request was. Needs the extra `grpc`.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from serving import tensors, translation
from serving.app import RAW_BYTES, tensors_for
from serving.errors import Malformed, RequestError
from serving.grpc_messages import CALLS, PACKAGE, POOL, SERVICE, message
from serving.remote import Remote
from serving.requests import JSON, Rows
from serving.responses import noticed
from serving.scorer_format import SLIPWAY
from serving.tensors import DATATYPES, NUMPY, Asked, Tensor

if TYPE_CHECKING:
    from serving.app import App, Loaded
    from serving.local import Local
    from serving.settings import Settings

logger = logging.getLogger("serving")

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
FIELDS = {
    "FP64": "fp64_contents",
    "FP32": "fp32_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
"""Where a tensor of a datatype has its values, if they are not raw."""

InferResponse = message("ModelInferResponse")


async def start(app: App, settings: Settings) -> Callable[[], Awaitable[None]]:
    """Listen on the port that the parent reserved; return what stops the server."""
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", settings.limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", settings.limits.header_bytes),
        ]
    )
    calls = Calls(app)
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            calls.guarded(getattr(calls, _snake(name))),
            request_deserializer=message(f"{name}Request").FromString,
            response_serializer=message(f"{name}Response").SerializeToString,
        )
        for name in CALLS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{PACKAGE}.{SERVICE}", handlers),))
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for name in ("", f"{PACKAGE}.{SERVICE}"):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    POOL.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
    shown = (f"{PACKAGE}.{SERVICE}", health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(shown, server, pool=POOL)
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


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class Calls:
    """The six calls."""

    def __init__(self, app: App) -> None:
        self._app = app

    def guarded(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Answer errors with the protocol's codes; nothing of a fault of ours but an id goes out."""

        async def answer(request: Any, context: Any) -> Any:
            try:
                return await call(request, context)
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
            return await context.abort(code, text)

        return answer

    async def server_live(self, _request: Any, _context: Any) -> Any:
        """Say that the process answers."""
        return message("ServerLiveResponse")(live=True)

    async def server_ready(self, _request: Any, _context: Any) -> Any:
        """Say whether requests should come here."""
        return message("ServerReadyResponse")(ready=not self._app.draining)

    async def model_ready(self, request: Any, _context: Any) -> Any:
        """Say that a model is served; raises NotFound."""
        self._app.named(request.name, request.version)
        return message("ModelReadyResponse")(ready=True)

    async def server_metadata(self, _request: Any, _context: Any) -> Any:
        """Describe the server."""
        return message("ServerMetadataResponse")(**tensors.server_metadata(SLIPWAY))

    async def model_metadata(self, request: Any, context: Any) -> Any:
        """Describe a model; raises NotFound."""
        self._check_key(context)
        return message("ModelMetadataResponse")(**self._app.named(request.name, request.version).metadata)

    def _check_key(self, context: Any) -> None:
        if self._app.settings.key_file is not None:
            given = context.invocation_metadata() or ()
            sent = {name.encode(): text.encode() for name, text in given if isinstance(text, str)}
            self._app.access.check_key(sent)

    async def model_infer(self, request: Any, context: Any) -> Any:
        """Score; raises RequestError."""
        began, app = time.perf_counter(), self._app
        self._check_key(context)
        serving = app.named(request.model_name, request.model_version)
        with app.admitted():
            if isinstance(serving, Remote):
                return await self._forward(request, serving, began)
            return await self._score(request, context, serving, began)

    async def _forward(self, request: Any, serving: Remote, began: float) -> Any:
        def translate() -> tuple[bytes, Asked]:
            given, wanted = decode(request)
            return tensors_for(serving, given, wanted), wanted

        app = self._app
        asked, wanted = await app.off_the_loop(translate, size=request.ByteSize())
        reply = await serving.ask(asked, JSON)
        outputs = await app.off_the_loop(lambda: translation.to_tensors(reply.body), size=len(reply.body))
        app.note("grpc", reply.rows, time.perf_counter() - began, serving)
        return _response(outputs, request, wanted, serving)

    async def _score(self, request: Any, context: Any, serving: Local, began: float) -> Any:
        limits = self._app.settings.limits
        left = context.time_remaining()  # None where the client sets no deadline
        seconds = limits.work_seconds if left is None else min(limits.work_seconds, left)

        def read() -> tuple[Rows, Asked]:
            given, wanted = decode(request)
            return tensors.rows_of(given, wanted, serving.scorer.schema, limits), wanted

        size = request.ByteSize() // (RAW_BYTES if request.raw_input_contents else 1)
        rows, wanted = await self._app.off_the_loop(read, size=size)
        if rows.unseen:
            context.set_trailing_metadata([(name.decode(), text.decode()) for name, text in noticed(rows)])
        return await self._app.evaluate(
            rows,
            lambda values: _response(
                tensors.outputs_of(values), request, wanted, serving, coverage=rows.coverage
            ),
            protocol="grpc",
            serving=serving,
            began=began,
            deadline=began + seconds,
        )


def decode(request: Any) -> tuple[list[Tensor], Asked]:
    """Return a request's tensors, and what it wants back; raises RequestError."""
    raw = request.raw_input_contents
    if not request.inputs or (raw and len(raw) != len(request.inputs)):
        raise Malformed("a request must have inputs, and raw_input_contents for each of them or none")
    given = [_tensor(each, raw[place] if raw else None) for place, each in enumerate(request.inputs)]
    return given, _wanted(request)


def _wanted(request: Any) -> Asked:
    coverage = None
    for name, parameter in request.parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if name == "coverage" and choice in ("double_param", "int64_param"):
            coverage = getattr(parameter, choice)
        elif name != "binary_data_output":
            raise Malformed("parameters may hold coverage, a double, and nothing else")
    return tensors.asked(request.id, [output.name for output in request.outputs], coverage)


def _tensor(given: Any, raw: bytes | None) -> Tensor:
    shape, datatype = list(given.shape), given.datatype
    if datatype not in FIELDS:
        raise Malformed(f"a tensor's datatype must be one of {', '.join(DATATYPES)}")
    if not shape or min(shape) < 0:
        raise Malformed("a tensor's shape must be whole numbers, none below 0")
    if raw is not None:
        return Tensor(given.name, datatype, shape, tensors.unpack(raw, datatype, prod(shape)))
    values = getattr(given.contents, FIELDS[datatype])
    if datatype == "BYTES":
        try:
            return Tensor(given.name, datatype, shape, [text.decode("utf-8") for text in values])
        except UnicodeDecodeError as error:
            raise Malformed("BYTES must be text in UTF-8") from error
    array = np.array(values, dtype=NUMPY[FIELDS_TYPES.get(FIELDS[datatype], datatype)])
    kind = NUMPY[datatype]
    if kind.kind in "iu" and array.size and not _within(array, kind):
        raise Malformed(f"a tensor's data must be of its datatype, {datatype}")
    return Tensor(given.name, datatype, shape, array)


FIELDS_TYPES = {"int_contents": "INT32", "uint_contents": "UINT32"}
"""The datatype of the fields that hold narrower ones too."""


def _within(array: Any, kind: np.dtype[Any]) -> bool:
    span = np.iinfo(kind)
    return bool(array.min() >= span.min and array.max() <= span.max)


def _response(
    outputs: Sequence[Tensor],
    request: Any,
    wanted: Asked,
    serving: Loaded,
    *,
    coverage: float | None = None,
) -> Any:
    answer = InferResponse(model_name=serving.model.public_name, model_version=serving.label, id=wanted.id)
    for found in tensors.chosen(outputs, wanted):
        output = answer.outputs.add(name=found.name, datatype=found.datatype, shape=found.shape)
        if request.raw_input_contents:
            answer.raw_output_contents.append(tensors.pack(found))
            continue
        values = (
            [text.encode() for text in found.values] if found.datatype == "BYTES" else found.values.tolist()
        )
        getattr(output.contents, FIELDS[found.datatype]).extend(values)
    if coverage is not None:
        answer.parameters["coverage"].double_param = coverage
    return answer
