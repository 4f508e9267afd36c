"""What stands behind one worker's doors, HTTP and gRPC alike: versions, rules, limits and counters."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from serving.access import Access, Watched, identities, tls
from serving.errors import NotFound, RequestError
from serving.front.capture import capture_of
from serving.front.feedback import feedback_of
from serving.front.logs import AccessLog, audit_of
from serving.front.served import Served
from serving.front.telemetry import Telemetry
from serving.front.work import WorkInFlight
from serving.protocols import Call, Errors
from serving.runtimes import Background, Runtime, Scored
from serving.settings import Settings

logger = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")


class Backend:
    """One worker's."""

    def __init__(self, runtimes: Iterable[Runtime], settings: Settings) -> None:
        self.settings = settings
        self.access = Access(settings)
        self.telemetry = Telemetry()
        self.served = Served(runtimes, self.telemetry)
        self.background = Background()
        self.work = WorkInFlight(settings.limits, self.background)
        self.capture = capture_of(settings)
        for each in self.served.by_key.values():
            self.prepare(each)
        self.feedback = feedback_of(settings)
        self.draining = False
        self.access_log = AccessLog(settings.access_log)
        self.audit = audit_of(settings)
        self.certificates = tls.certificates_of(settings)
        self.watched = self.access.watched()
        if self.certificates:
            self.watched.append(Watched("--tls-cert", self.certificates.files, self.certificates.load))
        self.statuses: dict[str, dict[str, Any]] = {}
        """What the parent says of what is followed, by key."""

    def prepare(self, runtime: Runtime) -> None:
        """Make ready what a version needs beside itself before it serves; from any thread."""
        if self.capture:
            self.capture.prepare(runtime)

    async def answer(self, call: Call[A], runtime: Runtime) -> tuple[Scored[A], bytes]:
        """Have a call answered, and count it; return the id of its first row, if it is kept; raises RequestError."""
        scored = await runtime.predict(call, self.background)
        telemetry, of = self.telemetry, (runtime.model.name, call.version)
        seconds = time.perf_counter() - call.began
        telemetry.scored(call.protocol.name, scored.rows, seconds, extra=scored.extra, of=of)
        if scored.unseen:
            telemetry.noticed("unseen_categories", scored.unseen)
        if scored.missing:
            telemetry.noticed("unexpected_gaps", scored.missing)
        if not self.capture or not scored.predicted or call.tries:
            return scored, b""
        return scored, self.capture.keep(runtime, scored.predicted, call.headers, call.began + seconds)

    def close(self) -> None:
        """Write what is only in memory, at the end."""
        self.telemetry.flush()
        if self.capture:
            self.capture.close()
        if self.feedback:
            self.feedback.close()
        if self.audit:
            self.audit.close()

    def identify(
        self, state: dict[str, Any], headers: Mapping[bytes, bytes], *scopes: str
    ) -> identities.Identity:
        """Return who asks to do one of these, and keep that for the audit; `state` has the names in a certificate."""
        who: identities.Identity = self.access.identify(headers, state.get("certificate", ()), scopes)
        state["who"] = who
        return who

    def check_certificate(self, state: dict[str, Any]) -> None:
        """Raise NoCertificate where one is asked for, and none that is let in came; the audit is told whose came."""
        names = state.get("certificate", ())
        if names:
            state["who"] = identities.Identity(stranger=names[0][1])
        self.access.check_certificate(names)
        state.pop("who", None)

    def knows(self, scope: Mapping[str, Any]) -> bool:
        """Return whether who sent a request may hear of versions: a caller that is known, or anybody."""
        if not self.access.asks:
            return True
        state = scope["state"]
        who = state.get("who")
        if who is None:  # nobody had to be let in
            who = self.access.identify(dict(scope["headers"]), state.get("certificate", ()))
        return bool(who.scopes)

    def admit(self, state: dict[str, Any], headers: Mapping[bytes, bytes], *scopes: str) -> None:
        """Let in who may do one of these; raises NotAuthorized or TooOften."""
        self.access.allow(self.identify(state, headers, *scopes), *scopes)

    def tries(self, who: identities.Identity, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request says that it is no traffic, and comes from somebody who may see the page.

        A program that may do no more than predict is kept whatever it says: nobody hides from the monitor.
        """
        return headers.get(b"x-capture") == b"no" and identities.PAGE in who.scopes

    def named(self, name: str, version: str, who: identities.Identity = identities.NOBODY) -> Runtime:
        """Return a model by its public name; raises NotFound.

        What is served instead is said to those alone who may score.
        """
        if runtime := self.served.named(name, version):
            return runtime
        served = self.served.named(name)
        what, instead = (
            ("version", served.description.label) if served else ("model", ", ".join(self.served.keys))
        )
        known = identities.PREDICT in who.scopes
        raise NotFound(f"no such {what}: {instead} is served" if known else f"no such {what}")

    def refuse(self, error: RequestError, errors: Errors[R]) -> R:
        """Count a request that was refused; return its answer."""
        self.telemetry.refused(errors.name, error.status, type(error).__name__)
        return errors.refused(error, _new_id())

    def fail(self, errors: Errors[R]) -> R:
        """Count and log the exception at hand; return an answer that says nothing of it but an id."""
        error_id = _new_id()
        logger.exception("request failed, the client got an error with the id %s", error_id)
        self.telemetry.refused(errors.name, 500, "Internal")
        return errors.failed(error_id)


def _new_id() -> str:
    return uuid.uuid4().hex[:12]
