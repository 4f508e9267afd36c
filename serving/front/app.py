"""The HTTP door: one ASGI coroutine from a request's head to its answer.

Small bodies are decoded and scored where they stand (a row takes tens of microseconds, less
than a thread switch); large ones go to a thread. It knows no sockets and no processes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from serving.access import Browsers, identities
from serving.errors import Headers, RequestError
from serving.front.backend import Backend
from serving.front.connections import Bodies, Receive, Send
from serving.front.feedback import Sent
from serving.front.logs import MOST_PATH
from serving.front.questions import POST, Questions
from serving.front.routes import UNREAD, Route, Routes
from serving.front.telemetry import Telemetry
from serving.protocols import Answer, Call, tensors, v2
from serving.rows import budget
from serving.runtimes import INLINE_BYTES, Runtime

Scope = Mapping[str, Any]
NO_HEADERS: Headers = ()
NOT_MODIFIED = 304


class Head(NamedTuple):
    """A request whose body is still to be read: what its path means, who answers, and what it holds of the budget."""

    scope: Scope
    route: Route
    runtime: Runtime | None
    began: float
    held: budget.Held


class App:
    """One worker's application."""

    def __init__(self, backend: Backend) -> None:
        settings = backend.settings
        self.telemetry: Telemetry = backend.telemetry
        self._backend, self._settings = backend, settings
        self._work_seconds = settings.limits.work_seconds
        self._browsers = Browsers(settings.allowed_origins)
        self._bodies = Bodies(settings.limits)
        self._questions = Questions(backend, self._browsers)
        self._routes = Routes(backend.served, settings, self._questions.pages)

    async def turn_away(self, error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer probes as ever, and what would be scored with an error."""
        route = self._routes.known.get(scope["path"]) or self._routes.other(scope)[1]
        if not route.brings or scope["method"] != "POST":
            return await self(scope, receive, send)
        answer = self._backend.refuse(error, route.errors)
        self._backend.access_log.note(scope, answer, 0.0, "")
        self._note(scope, answer, type(error).__name__)
        return await _send(send, answer, self._browsers.headers(scope["headers"]))

    def refuse_unread(self, error: RequestError) -> Answer:
        """Count and log what never became a request; return its answer."""
        answer = self._backend.refuse(error, UNREAD)
        unread = {"method": "", "path": ""}
        self._backend.access_log.note(unread, answer, 0.0, "")
        self._note(unread, answer, type(error).__name__)
        return answer

    def _note(self, scope: Scope, answer: Answer, reason: str) -> None:
        """Have the audit know how a request ended: a refusal always, an answer where somebody had to be let in."""
        audit, state = self._backend.audit, scope.get("state", {})
        if audit is None or not (reason or (audit.takes_accepted and "who" in state)):
            return
        what = {
            "door": "http",
            "method": scope["method"],
            "path": scope["path"][:MOST_PATH],
            "status": answer.status,
            "client": (scope.get("client") or ("",))[0],
        }
        who = state.get("who", identities.NOBODY)
        if reason:
            audit.refused(who, what | {"error_id": answer.error_id}, reason=reason)
        else:
            audit.accepted(who, what)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began, backend = time.perf_counter(), self._backend
        if "state" not in scope:  # ASGI leaves it to servers
            scope = {**scope, "state": {}}
        asked, route = scope, self._routes.known.get(scope["path"])
        if route is None:
            asked, route = self._routes.other(scope)
        runtime = backend.served.by_key.get(route.key)
        held, named, reason = budget.Held(backend.work.budget), NO_HEADERS, ""
        try:
            answer, named = await self._answer(Head(asked, route, runtime, began, held), receive)
        except RequestError as error:
            answer, reason = backend.refuse(error, route.errors), type(error).__name__
        except Exception:
            answer, reason = backend.fail(route.errors), "Internal"
        if backend.audit:
            self._note(asked, answer, reason)
        if answer.error_id or self._settings.access_log:
            label = runtime.description.label if runtime else ""
            backend.access_log.note(scope, answer, time.perf_counter() - began, label)
        says_version = runtime and answer.status not in (401, 403) and backend.knows(asked)
        extra = runtime.description.headers + named if runtime and says_version else named
        if self._settings.allowed_origins:
            extra += self._browsers.headers(scope["headers"])
        try:
            await _send(send, answer, extra)
        finally:
            if held.peak:
                backend.work.let_go(held)

    async def _answer(self, head: Head, receive: Receive) -> tuple[Answer, Headers]:
        """Return an answer, and what it has beside its own headers: the id under which its first row was kept."""
        scope, route, runtime, began, held = head
        backend, headers = self._backend, dict(scope["headers"])
        backend.access.check_host(headers)
        if backend.access.asks_for_certificates and not self._questions.is_probe(scope["path"]):
            backend.check_certificate(scope["state"])
        if runtime is None or not route.brings:
            return self._questions.answer(scope, headers), NO_HEADERS
        if scope["method"] != "POST":
            return self._questions.options(scope, headers, POST), NO_HEADERS
        if route.protocol is None:
            return await self._labelled(head, runtime, headers, receive), NO_HEADERS
        backend.admit(scope["state"], headers, identities.PREDICT)
        body = await self._bodies.read(receive, headers, scope.get("client"), held)
        backend.work.enter()
        try:
            description = runtime.description
            deadline = time.perf_counter() + self._work_seconds
            call = Call(
                route.protocol,
                body,
                description.name,
                description.label,
                _size(body, headers),
                len(body),
                began,
                deadline,
                held,
                headers,
                scope["query_string"],
                backend.tries(scope["state"]["who"], headers),
            )
            scored, prediction_id = await backend.answer(call, runtime)
            return scored.answer, ((b"x-prediction-id", prediction_id),) if prediction_id else NO_HEADERS
        finally:
            backend.work.leave()

    async def _labelled(
        self, head: Head, runtime: Runtime, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Answer:
        """Answer a request that brings labels; raises RequestError."""
        backend, feedback = self._backend, self._backend.feedback
        assert feedback is not None
        try:
            backend.admit(head.scope["state"], headers, identities.FEEDBACK)
            self._browsers.check(headers)
            body = await self._bodies.read(receive, headers, head.scope.get("client"), head.held)
            name = runtime.model.name or runtime.description.name
            deadline = time.perf_counter() + self._work_seconds
            answer = await feedback.take(Sent(name, body, headers, backend.work.reserved, deadline))
        except RequestError as error:
            feedback.refused(error)
            raise
        self.telemetry.took(head.route.errors.name, answer.status)
        return answer


def _size(body: bytes, headers: Mapping[bytes, bytes]) -> int:
    """Return how long it takes to read a body, in bytes of JSON."""
    if b"content-encoding" in headers or b"apache" in headers.get(b"content-type", b"").lower():
        return INLINE_BYTES + 1  # a few bytes of gzip, Parquet or Arrow may be a million rows
    return len(body) // (tensors.RAW_BYTES if v2.HEADER_LENGTH in headers else 1)


async def _send(send: Send, answer: Answer, extra: Headers) -> None:
    length: Headers = ((b"content-length", b"%d" % len(answer.body)),)
    if answer.status == NOT_MODIFIED:  # its length would be that of the whole
        length = ()
    headers = (*answer.headers, *length, *extra)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
