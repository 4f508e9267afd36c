"""The HTTP front: one ASGI coroutine from a request's head to its answer.

Small bodies are decoded and scored where they stand (a row takes tens of microseconds, less
than a thread switch); large ones go to a thread. It knows no sockets and no processes.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

from serving import openapi
from serving.access import Access, Browsers, paths
from serving.errors import (
    Busy,
    CoverageRefused,
    Draining,
    Malformed,
    MethodNotAllowed,
    NotFound,
    RequestError,
)
from serving.front.access_log import AccessLog
from serving.front.connections import Bodies, Receive, Send
from serving.front.telemetry import Telemetry
from serving.protocols import Answer, invocations, responses, simple, tensors, translation, v1, v2
from serving.rows import Rows, budget, media, read_json
from serving.runtimes import Local, Remote, predict
from serving.scorer import SLIPWAY, Bounds, Floats
from serving.settings import Model, Settings

logger = logging.getLogger("serving")
TEXT_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
KEPT = frozenset({"/openapi.json", "/status", "/models"})
"""How pages end that name models, or say more of them than a probe needs: with the key alone."""
INLINE_BYTES = 64 * 2**10
"""Larger bodies are decoded in a thread, so that the loop answers others meanwhile."""
MOST_PARAMETERS = 100
RAW_BYTES = 2
"""Bytes of raw tensors, which are read at five times the rate, that count as one."""

ANSWER_BYTES = 64
"""That a row's answer takes while it is scored and written, at most."""
TRIM_SECONDS = (0.5, 10.0)
"""After a large request: those that come at once share what the allocators keep, and gRPC's own threads let go late."""

Encode = Callable[[Floats | Bounds], Answer]
T = TypeVar("T")
SCORING = {"/invocations": "mlflow", "/predict": "simple"}
DECODED = frozenset({"mlflow", "simple", "v1", "v2"})
"""Protocols of requests that bring rows."""
GET, POST = "GET, HEAD, OPTIONS", "POST, OPTIONS"

Loaded = Local | Remote


def load(model: Model, settings: Settings) -> Loaded:
    """Load a version in the way that the operator chose; raises ModelError."""
    if model.runtime == "pyfunc":
        return Remote(model, settings.limits, processes=settings.processes, joins=settings.joins)
    return Local.load(model, threads=settings.threads)


def tensors_for(serving: Remote, given: Sequence[tensors.Tensor], wanted: tensors.Asked) -> bytes:
    """Return MLflow's request for tensors; raises RequestError."""
    if wanted.coverage is not None:
        raise CoverageRefused("this model has no intervals")
    return translation.from_tensors(given, serving.signature["inputs"])


class App:
    """One worker's application."""

    def __init__(self, servings: Iterable[Loaded], settings: Settings) -> None:
        self.settings = settings
        self.access = Access(settings)
        self.browsers = Browsers(settings.allowed_origins)
        self.access_log = AccessLog(settings.access_log)
        self.telemetry = Telemetry()
        self.draining = False
        self.status: dict[str, dict[str, Any]] = {}
        self._serving: dict[str, Loaded] = {}
        self._warm: dict[str, tuple[Loaded, ...]] = {}
        for serving in servings:
            self.swap(serving)
        self._in_flight = 0
        self.budget = budget.Budget(settings.limits.memory_bytes)
        self._bodies = Bodies(settings.limits)
        self._trims = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scoring")
        self._routes = {
            serving.model.prefix + path: (key, protocol)
            for key, serving in self._serving.items()
            for path, protocol in SCORING.items()
        }
        self._by_name = {serving.model.public_name: key for key, serving in self._serving.items()}
        self._routes |= {f"/v2/models/{name}/infer": (key, "v2") for name, key in self._by_name.items()}
        self._routes |= {f"/v1/models/{name}:predict": (key, "v1") for name, key in self._by_name.items()}
        self._routes |= {settings.prefix + path: route for path, route in self._routes.items()}
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

    async def turn_away(
        self, error: RequestError, scope: Mapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Answer probes as ever, and what would be scored with an error."""
        _, protocol = self._routes.get(scope["path"]) or self._other_route(scope)[1]
        if protocol not in DECODED or scope["method"] != "POST":
            return await self(scope, receive, send)
        answer = self._refuse(error, protocol)
        self.access_log.note(scope, answer, 0.0, "")
        return await _send(send, answer, self.browsers.headers(scope["headers"]))

    def refuse_unread(self, error: RequestError) -> Answer:
        """Count and log what never became a request; return its answer."""
        answer = self._refuse(error, "none")
        self.access_log.note({"method": "", "path": ""}, answer, 0.0, "")
        return answer

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        asked, route = scope, self._routes.get(scope["path"])
        if route is None:
            asked, route = self._other_route(scope)
        key, protocol = route
        serving = self._serving.get(key)
        held = budget.Held(self.budget)
        try:
            answer = await self._answer(asked, receive, protocol, serving, began=began, held=held)
        except RequestError as error:
            answer = self._refuse(error, protocol)
        except Exception:
            answer = self._fail(protocol)
        if answer.error_id or self.settings.access_log:
            label = serving.label if serving else ""
            self.access_log.note(scope, answer, time.perf_counter() - began, label)
        extra = serving.headers if serving and answer.status != 401 else ()
        if self.settings.allowed_origins:
            extra += self.browsers.headers(scope["headers"])
        try:
            await _send(send, answer, extra)
        finally:
            if held.peak:
                self._let_go(held)

    @contextmanager
    def reserved(self, size: int) -> Iterator[budget.Held]:
        """Hold memory for a request that came by another door than HTTP; raises Busy or TooLarge."""
        held = budget.Held(self.budget)
        held.set(size)
        try:
            yield held
        finally:
            self._let_go(held)

    def _let_go(self, held: budget.Held) -> None:
        """Give back what a request held, and soon after a large one what the allocators keep."""
        held.set(0)
        if held.peak >= budget.TRIM_BYTES:
            self.trim_soon()

    def trim_soon(self) -> None:
        """Give back what the allocators keep, in a moment and once more later, in a thread."""
        if not self._trims:
            self._trims = True
            for seconds in TRIM_SECONDS:
                self.loop.call_later(seconds, self.loop.run_in_executor, self._threads, self._trim)

    def _trim(self) -> None:
        self._trims = False
        budget.give_back()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it answers on. Asking asyncio for it costs a system call, getpid, every time."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    async def _answer(
        self,
        scope: Mapping[str, Any],
        receive: Receive,
        protocol: str,
        serving: Loaded | None,
        *,
        began: float,
        held: budget.Held,
    ) -> Answer:
        headers = dict(scope["headers"])
        self.access.check_host(headers)
        if serving is None or protocol not in DECODED:
            return self._page(scope, headers)
        if scope["method"] != "POST":
            return self._options(scope, headers, POST)
        self.access.check_key(headers)
        body = await self._bodies.read(receive, headers, scope.get("client"), held)
        if self._in_flight >= self.settings.limits.in_flight:
            raise Busy("as many requests as this worker takes are in flight: try again")
        self._in_flight += 1
        query = scope["query_string"]
        try:
            if isinstance(serving, Remote):
                return await self._forward(
                    body, headers, protocol, serving, began=began, held=held, query=query
                )
            return await self._score(body, headers, protocol, serving, began=began, held=held, query=query)
        finally:
            self._in_flight -= 1

    async def _score(
        self,
        body: bytes,
        headers: Mapping[bytes, bytes],
        protocol: str,
        serving: Local,
        *,
        began: float,
        held: budget.Held,
        query: bytes,
    ) -> Answer:
        deadline = time.perf_counter() + self.settings.limits.work_seconds
        size = len(body) // (RAW_BYTES if v2.HEADER_LENGTH in headers else 1)
        if b"content-encoding" in headers or b"apache" in headers.get(b"content-type", b"").lower():
            size = INLINE_BYTES + 1  # a few bytes of gzip, Parquet or Arrow may be a million rows
        rows, encode = await self.off_the_loop(
            partial(self._decode, body, headers, protocol, serving, query), size=size, held=held
        )
        if len(rows.matrix) > serving.inline_rows:
            held.set(len(body) + rows.matrix.nbytes + ANSWER_BYTES * len(rows.matrix))
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

    async def off_the_loop(self, work: Callable[[], T], *, size: int, held: budget.Held | None = None) -> T:
        """Do what may take long, by the size of its input, in a thread, and hold what it needs."""
        if size <= INLINE_BYTES:
            return work()
        return await self.loop.run_in_executor(self._threads, partial(held.run, work) if held else work)

    async def evaluate(
        self,
        rows: Rows,
        encode: Callable[[Floats | Bounds], T],
        *,
        protocol: str,
        serving: Local,
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

    async def _bounds(self, rows: Rows, coverage: float, serving: Local, deadline: float) -> Bounds:
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
        self,
        body: bytes,
        headers: Mapping[bytes, bytes],
        protocol: str,
        serving: Remote,
        *,
        began: float,
        held: budget.Held,
        query: bytes,
    ) -> Answer:
        """Have MLflow's process answer; the protocols differ in what stands around the rows."""
        if query and _coverage_in(query):
            raise CoverageRefused("this model has no intervals")
        size = INLINE_BYTES + 1 if b"content-encoding" in headers else len(body)
        body, kind, encode = await self.off_the_loop(
            partial(self._translate, body, headers, protocol, serving), size=size, held=held
        )
        if size > INLINE_BYTES:
            held.set(2 * len(body))  # it waits for a process, and is written to it
        reply = await serving.ask(body, kind)
        answer = await self.off_the_loop(partial(encode, reply.body), size=len(reply.body))
        self.note(protocol, reply.rows, time.perf_counter() - began, serving)
        return answer

    def _translate(
        self, body: bytes, headers: Mapping[bytes, bytes], protocol: str, serving: Remote
    ) -> tuple[bytes, str, Callable[[bytes], Answer]]:
        """Return MLflow's request for a request, its Content-Type, and what makes the answer of MLflow's."""
        limits = self.settings.limits
        if b"content-encoding" in headers:
            body = media.expand(body, _text(headers, b"content-encoding").lower(), limits)
        kind = media.media_type(_text(headers, b"content-type"))
        if protocol == "v2":
            given, request = v2.decode(body, kind, headers, limits)
            encode = partial(
                v2.encode, request=request, name=serving.model.public_name, version=serving.label
            )
            asked = tensors_for(serving, given, request.asked)
            return asked, media.JSON, lambda found: encode(translation.to_tensors(found))
        if protocol == "v1":
            name, rows = v1.read(body, kind, limits)
            asked = translation.from_instances(name, rows, serving.signature["inputs"])
            return asked, media.JSON, partial(v1.encode_reply, columnar=name == "inputs")
        if protocol == "simple":
            asked, single = translation.from_simple(body, kind, limits)
            return asked, media.JSON, lambda found: Answer(translation.to_simple(found, single=single))
        if kind not in (media.JSON, media.CSV, media.PARQUET):
            raise media.wrong_type(kind, media.JSON, media.CSV, media.PARQUET)
        if kind == media.JSON:
            body = media.without_mark(body)
        if kind == media.JSON and type(read_json(body, limits)) is not dict:
            raise Malformed("the body must be an object")
        return body, kind, Answer

    def note(self, protocol: str, rows: int, seconds: float, serving: Loaded, *, extra: int = 0) -> None:
        """Count a request that was answered."""
        of = (serving.model.name, serving.label)
        self.telemetry.scored(protocol, rows, seconds, extra=extra, of=of)

    def _decode(
        self, body: bytes, headers: Mapping[bytes, bytes], protocol: str, serving: Local, query: bytes
    ) -> tuple[Rows, Encode]:
        limits, schema = self.settings.limits, serving.scorer.schema
        if b"content-encoding" in headers:
            body = media.expand(body, _text(headers, b"content-encoding").lower(), limits)
        kind = media.media_type(_text(headers, b"content-type"))
        if protocol == "mlflow":
            rows = _within(invocations.decode(body, kind, schema, limits), query)
            return rows, lambda values: invocations.encode(values, rows)
        if protocol == "v2":
            rows, request = v2.decode_rows(body, kind, headers, schema, limits)
            rows = _within(rows, query)
            return rows, lambda values: _with_notes(
                v2.encode(
                    tensors.outputs_of(values),
                    request,
                    name=serving.model.public_name,
                    version=serving.label,
                    coverage=rows.coverage,
                ),
                rows,
            )
        if protocol == "v1":
            rows, columnar = v1.decode(body, kind, schema, limits)
            rows = _within(rows, query)
            return rows, lambda values: v1.encode(values, rows, columnar=columnar)
        rows, single = simple.decode(body, kind, schema, limits)
        rows = _within(rows, query)
        return rows, lambda values: simple.encode(values, rows, single=single)

    def _other_route(self, scope: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, str]]:
        """Return a request as if it had asked for the path that the server knows, the model's key and protocol."""
        path = paths.plain(scope["path"])
        if path not in self._pages and path not in self._routes:
            path = paths.plain(path, self.settings.prefix)
        return {**scope, "path": path}, self._routes.get(path) or self._rare_route(path)

    def _rare_route(self, path: str) -> tuple[str, str]:
        """Return the model's key and the protocol of a path that is none of the few exact ones."""
        protocol = "v2" if paths.is_v2(path) else "v1" if paths.is_v1(path) else ""
        if not protocol:
            return _key_of(path), "none"
        place = (paths.V2_MODEL if protocol == "v2" else paths.V1_MODEL).fullmatch(path)
        key = self._by_name.get(place["name"]) if place else None
        if place is None or key is None or place["version"] not in (None, self._serving[key].label):
            return "", protocol + " page"
        return key, protocol if place["rest"] in ("/infer", ":predict") else protocol + " page"

    def _model_page(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Answer:
        """Answer both protocols' questions about a model; raises NotFound for one that is not served."""
        path = scope["path"]
        place = paths.V2_MODEL.fullmatch(path) or paths.V1_MODEL.fullmatch(path)
        if place is None:
            raise NotFound("no such path: see /v2 and /v2/models/NAME, or /v1/models/NAME")
        serving = self.named(place["name"], place["version"] or "", headers)
        if scope["method"] not in ("GET", "HEAD"):
            return self._options(scope, headers, GET)
        if paths.is_v1(path):
            return v1.state(place["name"], serving.label, ready=not self.draining)
        if place["rest"] == "/ready":
            return self._readiness({"name": place["name"], "ready": not self.draining})
        self.access.check_key(headers)
        return Answer(responses.dump(serving.metadata))

    def _options(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], allowed: str) -> Answer:
        """Say what a path allows, and what a browser may send there; raises MethodNotAllowed."""
        if scope["method"] != "OPTIONS":
            raise MethodNotAllowed(allowed=allowed)
        return Answer(b"", headers=((b"allow", allowed.encode()), *self.browsers.preflight(headers)))

    def named(self, name: str, version: str, headers: Mapping[bytes, bytes] | None = None) -> Loaded:
        """Return a model by the name that V2 has for it; no version means the one served.

        Raises NotFound, which says what is served to those alone who may score: pass their headers.
        """
        key = self._by_name.get(name)
        serving = self._serving[key] if key is not None else None
        if serving is not None and version in ("", serving.label):
            return serving
        what, found = ("version", serving.label) if serving else ("model", ", ".join(self._by_name))
        told = self.access.knows(headers or {})
        raise NotFound(f"no such {what}: {found} is served" if told else f"no such {what}")

    def _open_pages(self) -> dict[str, Callable[[], Answer]]:
        pages: dict[str, Callable[[], Answer]] = {
            "/ping": lambda: Answer(b"\n"),
            "/health": lambda: Answer(b"\n"),
            "/livez": lambda: Answer(b'{"status":"alive"}'),
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/status": lambda: Answer(responses.dump(self._status())),
        }
        common = dict(pages)
        pages |= {
            "/v2": lambda: Answer(responses.dump(tensors.server_metadata(SLIPWAY))),
            "/": lambda: Answer(b'{"status":"alive"}'),  # KServe's first protocol asks so
            "/v1/models": lambda: Answer(responses.dump({"models": list(self._by_name)})),
            "/v2/health/live": lambda: Answer(b'{"live":true}'),
            "/v2/health/ready": lambda: self._readiness({"ready": not self.draining}),
        }
        for key, serving in self._serving.items():
            prefix = serving.model.prefix
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
            self.telemetry.show_state(serving.model.name, state, stale, agrees=not told.get("ledger"))
            facts = {"name": serving.model.name, "version": serving.label, "digest": serving.facts[2]}
            shown = {name: value for name, value in told.items() if name != "seen"}
            models[key or serving.model.name] = shown | {
                "state": state,
                "registry_stale_seconds": stale,
                "serving": facts,
            }
        return {"models": models}

    def _page(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Answer:
        path = scope["path"]
        page = self._pages.get(path)
        if page is None and self.browsers.preflight(headers) and scope["method"] == "OPTIONS":
            return self._options(scope, headers, POST)  # so that the page gets to read the 404
        if page is None and (paths.is_v2(path) or paths.is_v1(path)):
            return self._model_page(scope, headers)
        if page is None:
            raise NotFound(
                "no such path: POST to /invocations or /predict (/models/NAME/... for several), or read /openapi.json"
            )
        if scope["method"] not in ("GET", "HEAD"):
            return self._options(scope, headers, GET)
        last = path[path.rindex("/") :]
        if last in KEPT or (last == "/metrics" and self.settings.metrics_need_key):
            self.access.check_key(headers)
        return self._rooted(page(), headers) if last == "/openapi.json" else page()

    def _rooted(self, described: Answer, headers: Mapping[bytes, bytes]) -> Answer:
        """Return an OpenAPI document with the paths that clients see: a proxy's, or the server's own prefix."""
        told = headers.get(b"x-forwarded-prefix", b"").decode("latin-1").rstrip("/")
        trusted = self.settings.trust_proxy and paths.PREFIX.fullmatch(told)
        prefix = told if trusted else self.settings.prefix
        return described._replace(body=openapi.under(described.body, prefix)) if prefix else described

    def _ready(self) -> Answer:
        return self._readiness({"status": "draining" if self.draining else "ready"})

    def _readiness(self, said: dict[str, Any]) -> Answer:
        if self.draining:
            return Answer(responses.dump(said), 503, (responses.JSON_TYPE, *Draining.headers))
        return Answer(responses.dump(said))

    def _metrics(self) -> Answer:
        self.telemetry.in_flight.set(self._in_flight)
        self.telemetry.flush()
        self._status()
        return Answer(self.telemetry.exposition(), headers=(TEXT_TYPE,))

    def _refuse(self, error: RequestError, protocol: str) -> Answer:
        self.telemetry.refused(protocol, error.status, type(error).__name__)
        answer = v2.refused if protocol.startswith("v") else responses.refused
        return answer(error, uuid.uuid4().hex[:12])

    def _fail(self, protocol: str) -> Answer:
        error_id = uuid.uuid4().hex[:12]
        logger.exception("request failed, the client got 500 with error id %s", error_id)
        self.telemetry.refused(protocol, 500, "Internal")
        return v2.failed(error_id) if protocol.startswith("v") else responses.failed(error_id)


def _key_of(path: str) -> str:
    parts = path.split("/", 3)
    return parts[2] if len(parts) == 4 and parts[1] == "models" else ""


async def _send(send: Send, answer: Answer, extra: tuple[tuple[bytes, bytes], ...]) -> None:
    length = (b"content-length", str(len(answer.body)).encode())
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": (*answer.headers, length, *extra)}
    )
    await send({"type": "http.response.body", "body": answer.body})


def _within(rows: Rows, query: bytes) -> Rows:
    """Return the rows with the coverage that the address asks for, if it does; raises Malformed."""
    given = _coverage_in(query) if query else []
    if not given:
        return rows
    try:
        (coverage,) = given
        return rows.within(float(coverage))
    except ValueError as error:
        raise Malformed("coverage in the address must be one number, such as ?coverage=0.9") from error


def _coverage_in(query: bytes) -> list[str]:
    """Return what an address says of the coverage; other names in it are for proxies and logs. Raises Malformed."""
    try:
        found = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise Malformed(f"the address has more than {MOST_PARAMETERS} parameters") from error
    return found.get("coverage", [])


def _with_notes(answer: Answer, rows: Rows) -> Answer:
    return answer._replace(headers=answer.headers + responses.noticed(rows)) if rows.unseen else answer


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()
