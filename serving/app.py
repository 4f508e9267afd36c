"""The HTTP front: one ASGI coroutine from a request's head to its answer.

Small bodies are decoded and scored where they stand (a row takes tens of microseconds, less
than a thread switch); large ones go to a thread. It knows no sockets and no processes.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import numpy as np

from serving import openapi, remote, tensors
from serving.access import Access
from serving.access_log import AccessLog
from serving.coercion import Floats
from serving.errors import (
    Busy,
    CoverageRefused,
    Malformed,
    MethodNotAllowed,
    NotFound,
    RequestError,
    SlowBody,
    TooLarge,
    TooSlow,
)
from serving.intervals import Bounds
from serving.protocols import mlflow, simple, v2
from serving.remote import Remote
from serving.requests import JSON, Rows, expand, media_type
from serving.responses import Answer, Headers, dump, failed, noticed, refused
from serving.scorer import BLOCK_ROWS, Scorer
from serving.scorer_format import SLIPWAY
from serving.settings import Limits, Model, Settings
from serving.telemetry import Telemetry, exposition
from serving.tensors import Asked, Tensor

logger = logging.getLogger("serving")
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
TEXT_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
INLINE_BYTES, INLINE_SECONDS = 64 * 2**10, 0.001
"""Larger bodies are decoded, and longer work is done, in a thread, so that the loop answers others meanwhile."""

Encode = Callable[[Floats | Bounds], Answer]
Score = Callable[[Floats], Floats]
T = TypeVar("T")
SCORING = {"/invocations": "mlflow", "/predict": "simple"}
V2_MODEL = re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer)?")


@dataclass(frozen=True)
class Serving:
    """One loaded version. A request takes it once, so that no answer mixes two."""

    model: Model
    scorer: Scorer
    together: Together
    together_scaled: Together
    inline_rows: int
    label: str
    headers: Headers
    described: bytes

    @classmethod
    def load(cls, model: Model, *, threads: int) -> Serving:
        """Read, check, replay and warm a version; raises ModelError."""
        scorer = Scorer.load(Path(model.folder), threads=threads, digest=model.digest)
        scorer.replay_golden()
        label = model.version or scorer.digest[:12]
        described = openapi.document(scorer.document, name=model.key or model.name, version=model.version)
        servers = {"servers": [{"url": prefix_of(model.key)}]} if model.key else {}
        return cls(
            model=model,
            scorer=scorer,
            together=Together(scorer.predict),
            together_scaled=Together(scorer.predict_with_scale),
            inline_rows=_rows_within(INLINE_SECONDS, scorer),
            label=label,
            headers=((b"x-model-version", label.encode()),),
            described=dump(described | servers),
        )

    @property
    def public_name(self) -> str:
        """What the Open Inference Protocol calls it."""
        return self.model.key or self.model.name

    @property
    def metadata(self) -> dict[str, Any]:
        """What the Open Inference Protocol says of it."""
        document = self.scorer.document
        return tensors.metadata(self.public_name, self.label, self.scorer.schema, document.intervals)

    @property
    def mlflow_version(self) -> str:
        """What it was logged with."""
        return self.scorer.document.versions.get("mlflow", "")

    def close(self) -> None:
        """Leave; there is nothing to end."""

    @property
    def facts(self) -> tuple[str, str, str]:
        """Name, version and digest, for the metrics."""
        return self.model.name, self.model.version, self.scorer.digest


Loaded = Serving | Remote


def load(model: Model, settings: Settings) -> Loaded:
    """Load a version in the way that the operator chose; raises ModelError."""
    if model.runtime == "pyfunc":
        return Remote(model, settings.limits, processes=settings.processes, joins=settings.joins)
    return Serving.load(model, threads=settings.threads)


class App:
    """One worker's application."""

    def __init__(self, servings: Iterable[Loaded], settings: Settings) -> None:
        self.settings = settings
        self.access = Access(settings.key_file, loopback=settings.is_loopback)
        self.access_log = AccessLog(settings.access_log)
        self.telemetry = Telemetry()
        self.draining = False
        self.status: dict[str, dict[str, Any]] = {}
        self._serving: dict[str, Loaded] = {}
        self._warm: dict[str, tuple[Loaded, ...]] = {}
        for serving in servings:
            self.swap(serving)
        self._in_flight = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scoring")
        self._routes = {
            prefix_of(key) + path: (key, protocol)
            for key in self._serving
            for path, protocol in SCORING.items()
        }
        self._by_name = {(key or serving.model.name): key for key, serving in self._serving.items()}
        self._routes |= {f"/v2/models/{name}/infer": (key, "v2") for name, key in self._by_name.items()}
        self._pages = self._open_pages()

    def warm(self, model: Model) -> Loaded | None:
        """Return a version that is still loaded, if it is: the one in service or the one before."""
        return next((serving for serving in self._warm.get(model.key, ()) if serving.model == model), None)

    def swap(self, serving: Loaded) -> None:
        """Serve another version from the next request on; the old one finishes its own and stays warm."""
        key = serving.model.key
        old = self._serving.get(key)
        if old is not serving:
            self.telemetry.serves(serving.facts, old.facts if old else None)
            self._serving[key] = serving
            retired = [each for each in self._warm.get(key, ()) if each not in (serving, old)]
            self._warm[key] = (serving, old) if old else (serving,)
            for each in retired:
                each.close()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        key, protocol = self._routes.get(scope["path"]) or self._other_route(scope["path"])
        serving = self._serving.get(key)
        try:
            answer = await self._answer(scope, receive, protocol, serving, began)
        except RequestError as error:
            answer = self._refuse(error, protocol)
        except Exception:
            answer = self._fail(protocol)
        if answer.error_id or self.settings.access_log:
            label = serving.label if serving else ""
            self.access_log.note(scope, answer, time.perf_counter() - began, label)
        await _send(send, answer, serving.headers if serving else ())

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it answers on. Asking asyncio for it costs a system call, getpid, every time."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    async def _answer(
        self, scope: Mapping[str, Any], receive: Receive, protocol: str, serving: Loaded | None, began: float
    ) -> Answer:
        headers = dict(scope["headers"])
        self.access.check_host(headers)
        if protocol in ("none", "v2 page") or serving is None:
            return self._page(scope, headers)
        if scope["method"] != "POST":
            raise MethodNotAllowed(allowed="POST")
        self.access.check_key(headers)
        if self._in_flight >= self.settings.limits.in_flight:
            raise Busy("as many requests as this worker takes are in flight: try again")
        self._in_flight += 1
        try:
            body = await read_body(receive, headers, self.settings.limits, self.loop)
            if isinstance(serving, Remote):
                return await self._forward(body, headers, protocol, serving, began)
            return await self._score(body, headers, protocol, serving, began, query=scope["query_string"])
        finally:
            self._in_flight -= 1

    async def _score(
        self,
        body: bytes,
        headers: Mapping[bytes, bytes],
        protocol: str,
        serving: Serving,
        began: float,
        *,
        query: bytes,
    ) -> Answer:
        deadline = time.perf_counter() + self.settings.limits.work_seconds
        size = INLINE_BYTES + 1 if b"content-encoding" in headers else len(body)
        rows, encode = await self.off_the_loop(
            partial(self._decode, body, headers, protocol, serving), size=size
        )
        if b"coverage" in query:
            rows = _within(rows, query)
        return await self.evaluate(
            rows, encode, protocol=protocol, serving=serving, began=began, deadline=deadline
        )

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request that came by another door than HTTP; raises Busy."""
        if self._in_flight >= self.settings.limits.in_flight:
            raise Busy("as many requests as this worker takes are in flight: try again")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def off_the_loop(self, work: Callable[[], T], *, size: int) -> T:
        """Do what may take long, by the size of its input, in a thread."""
        return work() if size <= INLINE_BYTES else await self.loop.run_in_executor(self._threads, work)

    async def evaluate(
        self,
        rows: Rows,
        encode: Callable[[Floats | Bounds], T],
        *,
        protocol: str,
        serving: Serving,
        began: float,
        deadline: float,
    ) -> T:
        """Score a request's rows and encode what came of them, whatever the protocol; count it."""
        if rows.coverage is not None:
            answer = encode(await self._bounds(rows, rows.coverage, serving, deadline))
        elif len(rows.matrix) <= serving.inline_rows:
            answer = encode(await serving.together.predict(rows.matrix, self.loop))
        else:
            answer = await self.loop.run_in_executor(
                self._threads, lambda: encode(predict(serving.scorer.predict, rows.matrix, deadline))
            )
        self.note(protocol, len(rows.matrix), time.perf_counter() - began, serving, extra=rows.extra)
        if rows.unseen:
            self.telemetry.noticed("unseen_categories", rows.unseen)
        if rows.missing:
            self.telemetry.noticed("unexpected_gaps", rows.missing)
        return answer

    async def _bounds(self, rows: Rows, coverage: float, serving: Serving, deadline: float) -> Bounds:
        """Return predictions with intervals; raises CoverageRefused before anything is scored."""
        scorer = serving.scorer
        scorer.intervals.quantile_for(coverage)
        if len(rows.matrix) <= serving.inline_rows:
            return scorer.bounds(await serving.together_scaled.predict(rows.matrix, self.loop), coverage)
        found = await self.loop.run_in_executor(
            self._threads, predict, scorer.predict_with_scale, rows.matrix, deadline
        )
        return scorer.bounds(found, coverage)

    async def _forward(
        self, body: bytes, headers: Mapping[bytes, bytes], protocol: str, serving: Remote, began: float
    ) -> Answer:
        """Have MLflow's process answer; the protocols differ in what stands around the rows."""
        limits = self.settings.limits
        if b"content-encoding" in headers:
            body = expand(body, _text(headers, b"content-encoding").lower(), limits)
        kind = media_type(_text(headers, b"content-type"))
        if protocol == "v2":
            given, request = v2.decode(body, kind, headers, limits)
            outputs = await self.tensors_of(serving, given, request.asked)
            answer = v2.encode(outputs, request, name=serving.public_name, version=serving.label)
        elif protocol == "simple":
            asked, single = remote.from_simple(body, kind, limits)
            answer = Answer(remote.to_simple(await serving.ask(asked, JSON), single=single))
        else:
            answer = Answer(await serving.ask(body, kind))
        self.note(protocol, 0, time.perf_counter() - began, serving)
        return answer

    async def tensors_of(self, serving: Remote, given: Sequence[Tensor], wanted: Asked) -> list[Tensor]:
        """Return the outputs of a model that MLflow runs; raises RequestError."""
        if wanted.coverage is not None:
            raise CoverageRefused("this model has no intervals")
        asked = remote.from_tensors(given, serving.signature)
        return remote.to_tensors(await serving.ask(asked, JSON))

    def note(self, protocol: str, rows: int, seconds: float, serving: Loaded, *, extra: int = 0) -> None:
        """Count a request that was answered."""
        of = (serving.model.name, serving.label)
        self.telemetry.scored(protocol, rows, seconds, extra=extra, of=of)

    def _decode(
        self, body: bytes, headers: Mapping[bytes, bytes], protocol: str, serving: Serving
    ) -> tuple[Rows, Encode]:
        limits, schema = self.settings.limits, serving.scorer.schema
        if b"content-encoding" in headers:
            body = expand(body, _text(headers, b"content-encoding").lower(), limits)
        kind = media_type(_text(headers, b"content-type"))
        if protocol == "mlflow":
            rows = mlflow.decode(body, kind, schema, limits)
            return rows, lambda values: mlflow.encode(values, rows)
        if protocol == "v2":
            given, request = v2.decode(body, kind, headers, limits)
            rows = tensors.rows_of(given, request.asked, schema, limits)
            return rows, lambda values: _with_notes(
                v2.encode(
                    tensors.outputs_of(values),
                    request,
                    name=serving.public_name,
                    version=serving.label,
                    coverage=rows.coverage,
                ),
                rows,
            )
        rows, single = simple.decode(body, kind, schema, limits)
        return rows, lambda values: simple.encode(values, rows, single=single)

    def _other_route(self, path: str) -> tuple[str, str]:
        """Return the model's key and the protocol of a path that is none of the few exact ones."""
        if not path.startswith("/v2"):
            return _key_of(path), "none"
        place = V2_MODEL.fullmatch(path)
        key = self._by_name.get(place["name"]) if place else None
        if place is None or key is None or place["version"] not in (None, self._serving[key].label):
            return "", "v2 page"
        return key, "v2" if place["rest"] == "/infer" else "v2 page"

    def _v2_page(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Answer:
        """Answer the protocol's questions; raises NotFound for a model or version that is not served."""
        page, place = self._pages.get(scope["path"]), V2_MODEL.fullmatch(scope["path"])
        if not page and not place:
            raise NotFound("no such path: see /v2 and /v2/models/NAME")
        serving = self.named(place["name"], place["version"] or "") if place else None
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(allowed="GET")
        if page:
            return page()
        if place and place["rest"] == "/ready":
            return Answer(dump({"name": place["name"], "ready": True}))
        self.access.check_key(headers)
        return Answer(dump(serving.metadata if serving else None))

    def named(self, name: str, version: str) -> Loaded:
        """Return a model by the name that V2 has for it; raises NotFound. No version means the one served."""
        key = self._by_name.get(name)
        if key is None:
            raise NotFound(f"no such model: served are {', '.join(self._by_name)}")
        serving = self._serving[key]
        if version not in ("", serving.label):
            raise NotFound(f"no such version: served is {serving.label}")
        return serving

    def _open_pages(self) -> dict[str, Callable[[], Answer]]:
        pages: dict[str, Callable[[], Answer]] = {
            "/ping": lambda: Answer(b"\n"),
            "/health": lambda: Answer(b"\n"),
            "/livez": lambda: Answer(b'{"status":"alive"}'),
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/status": lambda: Answer(dump(self._status())),
        }
        common = dict(pages)
        pages |= {
            "/v2": lambda: Answer(dump(tensors.server_metadata(SLIPWAY))),
            "/v2/health/live": lambda: Answer(b'{"live":true}'),
            "/v2/health/ready": lambda: Answer(
                dump({"ready": not self.draining}), 503 if self.draining else 200
            ),
        }
        for key in self._serving:
            prefix = prefix_of(key)
            pages |= {prefix + path: page for path, page in common.items()}
            pages[prefix + "/version"] = partial(self._mlflow_version, key)
            pages[prefix + "/openapi.json"] = partial(self._described, key)
        return pages

    def _mlflow_version(self, key: str) -> Answer:
        return Answer(self._serving[key].mlflow_version.encode())

    def _described(self, key: str) -> Answer:
        return Answer(self._serving[key].described)

    def _status(self) -> dict[str, Any]:
        """Return what is served and what the parent said of its place; shows it in the metrics too."""
        models = {}
        for key, serving in self._serving.items():
            told = self.status.get(key, {})
            state = "DRAINING" if self.draining else told.get("state", "READY")
            stale = round(max(0.0, time.time() - told["seen"]), 1) if told.get("seen") else None
            self.telemetry.show_state(serving.model.name, state, stale)
            facts = {"name": serving.model.name, "version": serving.label, "digest": serving.facts[2]}
            shown = {name: value for name, value in told.items() if name != "seen"}
            models[key or serving.model.name] = shown | {
                "state": state,
                "registry_stale_seconds": stale,
                "serving": facts,
            }
        return {"models": models}

    def _page(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Answer:
        if scope["path"].startswith("/v2"):
            return self._v2_page(scope, headers)
        page = self._pages.get(scope["path"])
        if page is None:
            raise NotFound(
                "no such path: POST to /invocations or /predict (/models/NAME/... for several), or read /openapi.json"
            )
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(allowed="GET")
        if scope["path"].endswith(("/openapi.json", "/status")):
            self.access.check_key(headers)
        return page()

    def _ready(self) -> Answer:
        if self.draining:
            return Answer(b'{"status":"draining"}', 503)
        return Answer(b'{"status":"ready"}')

    def _metrics(self) -> Answer:
        self.telemetry.in_flight.set(self._in_flight)
        self.telemetry.flush()
        self._status()
        return Answer(exposition(), headers=(TEXT_TYPE,))

    def _refuse(self, error: RequestError, protocol: str) -> Answer:
        self.telemetry.refused(protocol, error.status, type(error).__name__)
        answer = v2.refused if protocol.startswith("v2") else refused
        return answer(error, uuid.uuid4().hex[:12])

    def _fail(self, protocol: str) -> Answer:
        error_id = uuid.uuid4().hex[:12]
        logger.exception("request failed, the client got 500 with error id %s", error_id)
        self.telemetry.refused(protocol, 500, "Internal")
        return v2.failed(error_id) if protocol.startswith("v2") else failed(error_id)


class Together:
    """Scores the requests that one turn of the event loop brought in one run of the graph.

    A run costs 30 to 40 us however few its rows are. Nobody waits: a request alone is scored at
    the end of the turn it came in. The graph works row by row, so neighbours don't mix; a matrix
    product may round its last digit differently for another number of rows.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._waiting: list[tuple[Floats, asyncio.Future[Floats]]] = []

    def predict(self, matrix: Floats, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Floats]:
        """Return what these rows score, an array whose first axis is theirs, at the end of this turn."""
        if not self._waiting:
            loop.call_soon(self._run)
        promised: asyncio.Future[Floats] = loop.create_future()
        self._waiting.append((matrix, promised))
        return promised

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            joined = waiting[0][0] if len(waiting) == 1 else np.concatenate([matrix for matrix, _ in waiting])
            values = self._score(joined)
        except Exception as error:  # each request reports it as its own
            for _, promised in waiting:
                if not promised.done():
                    promised.set_exception(error)
            return
        start = 0
        for matrix, promised in waiting:
            if not promised.done():
                promised.set_result(values[start : start + len(matrix)])
            start += len(matrix)


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limits: Limits, loop: asyncio.AbstractEventLoop
) -> bytes:
    """Return the whole body; raises TooLarge as soon as that is known, or SlowBody."""
    declared = headers.get(b"content-length", b"0")
    if len(declared) > 18 or int(declared) > limits.body_bytes:
        raise TooLarge(what="bytes of body", limit=limits.body_bytes)
    task = asyncio.current_task(loop)
    assert task is not None
    late: list[asyncio.Task[Any]] = []

    def give_up() -> None:
        late.append(task)
        task.cancel()

    timer = loop.call_later(limits.body_seconds, give_up)  # asyncio.timeout takes 2 us more a request
    try:
        return await _read_all(receive, limits)
    except asyncio.CancelledError as error:
        if not late:
            raise
        task.uncancel()
        raise SlowBody(f"the body took longer than {limits.body_seconds:g} s") from error
    finally:
        timer.cancel()


async def _read_all(receive: Receive, limits: Limits) -> bytes:
    whole = bytearray()
    while True:
        message = await receive()
        if message.get("type") == "http.disconnect":
            raise Malformed("the connection ended before the body did")
        part: bytes = message.get("body", b"")
        if len(whole) + len(part) > limits.body_bytes:
            raise TooLarge(what="bytes of body", limit=limits.body_bytes)
        if not message.get("more_body"):
            return bytes(whole + part) if whole else part
        whole += part


def prefix_of(key: str) -> str:
    """Return how a model's paths begin: nothing where it is alone."""
    return f"/models/{key}" if key else ""


def _key_of(path: str) -> str:
    parts = path.split("/", 3)
    return parts[2] if len(parts) == 4 and parts[1] == "models" else ""


def _rows_within(seconds: float, scorer: Scorer) -> int:
    """Return how many rows this model scores in so long, measured."""
    matrix = np.resize(scorer.golden.matrix, (200, scorer.golden.matrix.shape[1]))
    scorer.predict(matrix)
    began = time.perf_counter()
    scorer.predict(matrix)
    return int(len(matrix) * seconds / (time.perf_counter() - began))


def predict(score: Score, matrix: Floats, deadline: float) -> Floats:
    """Return what the rows score; raises TooSlow between two blocks after the deadline."""
    if len(matrix) <= BLOCK_ROWS:
        return score(matrix)
    parts = []
    for start in range(0, len(matrix), BLOCK_ROWS):
        if time.perf_counter() > deadline:
            raise TooSlow("scoring took too long and was stopped: send fewer rows at once")
        parts.append(score(matrix[start : start + BLOCK_ROWS]))
    return np.concatenate(parts)


async def _send(send: Send, answer: Answer, extra: tuple[tuple[bytes, bytes], ...]) -> None:
    length = (b"content-length", str(len(answer.body)).encode())
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": (*answer.headers, length, *extra)}
    )
    await send({"type": "http.response.body", "body": answer.body})


def _within(rows: Rows, query: bytes) -> Rows:
    """Return the rows with the coverage that the address asks for; raises Malformed."""
    given = parse_qs(query.decode("latin-1")).get("coverage", [])
    try:
        (coverage,) = given
        return rows.within(float(coverage))
    except ValueError as error:
        raise Malformed("coverage in the address must be one number, such as ?coverage=0.9") from error


def _with_notes(answer: Answer, rows: Rows) -> Answer:
    return answer._replace(headers=answer.headers + noticed(rows)) if rows.unseen else answer


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()
