"""What can go wrong between a registered version and an answer.

ServingError
├── ModelError             the version's files cannot be served
│   ├── NotAScorer         a file is absent, or is not what its name says
│   ├── RefusedGraph       the graph asks for more than arithmetic on its input
│   ├── NotAVersion        a version's folder holds what is no plain file
│   ├── WrongDigest        the files are not those that were promoted
│   ├── NotPromoted        no promotion pinned the version's digest
│   ├── FailingGraph       the graph raises instead of predicting
│   ├── NotInLedger        the ledger of promotions says otherwise than the version's tags
│   ├── LedgerUnreadable   that ledger was changed or deleted
│   └── GoldenMismatch     the graph no longer gives the predictions written beside it
├── RegistryDown           the registry cannot be asked
│   └── CacheDown          its answer cannot be kept
├── NotReady               a worker did not get to load a version; it is offered again
├── SettingsError          the server was asked to start in a way that it refuses
│   ├── UnsafeCache        others can write to the folder where versions are kept
│   └── ModelNotFound      no version stands where --model points
├── BatchError             a file cannot be scored
│   ├── BadOutput          the job's words do not fit
│   └── FaultyRows         rows hold what the model cannot use
└── RequestError           one request cannot be answered; carries its HTTP status
    ├── NotHttp            400, the request's frame can be read in more than one way, or not at all
    ├── Malformed          400, the body is not what its Content-Type says
    ├── UnusableValues     400, cells that cannot be used, each with its place
    ├── CoverageRefused    400, an interval that this version cannot promise
    ├── NotAuthorized      401
    ├── NotFound           404
    ├── MethodNotAllowed   405
    ├── SlowBody           408
    ├── TooLarge           413
    ├── WrongType          415
    ├── WrongHost          421
    ├── HeadTooLarge       431
    ├── UnknownCoding      501
    ├── Busy               503, with Retry-After
    │   ├── NoPlace        503, and the connection is closed: the body was on its way
    │   ├── Full           no room for another connection
    │   └── Draining       the server stops
    ├── NoMetrics          503
    └── TooSlow            504
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.redaction import redact

Headers = tuple[tuple[bytes, bytes], ...]
"""Of an answer."""


@dataclass(frozen=True)
class Fault:
    """A cell that cannot be used: row counted from 0, what was expected, and the kind of what was found."""

    row: int | None
    column: str
    expected: str
    found: str


class ServingError(Exception):
    """Anything that the server reports rather than hides."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(text)
        self.__dict__.update(facts)


class ModelError(ServingError):
    """The version's files cannot be served."""


class NotAScorer(ModelError):
    """A file is absent, or is not what its name says."""

    def __init__(self, *, file: str, reason: str) -> None:
        super().__init__(f"{file} {reason}: log the model again with Slipway", file=file, reason=reason)


class RefusedGraph(ModelError):
    """The graph asks for more than arithmetic on its input."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"model.onnx is refused before it is run: {reason}; serve only files that Slipway wrote",
            reason=reason,
        )


class NotAVersion(ModelError):
    """A version's folder holds what is no plain file, or has a name that none of ours has."""

    def __init__(self, *, file: str) -> None:
        super().__init__(
            f"{file!r} is no plain file: a version holds nothing else; log the model again", file=file
        )


class WrongDigest(ModelError):
    """The files are not those that were promoted."""

    def __init__(self, *, expected: str, found: str, what: str = "scorer's digest") -> None:
        super().__init__(
            f"the {what} is {found}, expected {expected}: the files changed since they were recorded; "
            "download the version again",
            expected=expected,
            found=found,
        )


class NotPromoted(ModelError):
    """No promotion pinned the version's digest."""

    def __init__(self, *, uri: str) -> None:
        super().__init__(
            f"{uri} was never promoted, so nobody vouches for its files: promote it, or pass --allow-unpromoted",
            uri=uri,
        )


class FailingGraph(ModelError):
    """The graph raises instead of predicting."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"model.onnx fails on its golden rows: {reason}; serve only files that Slipway wrote",
            reason=reason,
        )


class NotInLedger(ModelError):
    """The ledger of promotions says otherwise than the version's tags."""

    def __init__(self, *, name: str, version: str, fault: str) -> None:
        super().__init__(
            f"the ledger of {name} does not vouch for version {version}: {fault}: somebody else wrote its tags; "
            f"go back with rollback, or set them to what `python -m training history --name {name}` expects",
            name=name,
            version=version,
            fault=fault,
        )


class LedgerUnreadable(ModelError):
    """The ledger of promotions was changed or deleted by somebody else."""

    def __init__(self, *, name: str, fault: str, repair: str) -> None:
        super().__init__(f"the ledger of {name} is broken: {fault}: {repair}", fault=fault, repair=repair)


class GoldenMismatch(ModelError):
    """The graph no longer gives the predictions written beside it."""

    def __init__(self, *, row: int, expected: float, found: float) -> None:
        super().__init__(
            f"golden row {row} gives {found!r}, expected {expected!r}: this machine computes the model differently; "
            "compare the versions in scorer.json with those installed",
            row=row,
            expected=expected,
            found=found,
        )


class RegistryDown(ServingError):
    """The registry cannot be asked, or the answer cannot be kept."""

    def __init__(self, *, uri: str, reason: str) -> None:
        super().__init__(redact(f"{uri}: the registry cannot be used now: {reason}"), uri=uri, reason=reason)


class CacheDown(RegistryDown):
    """What the registry has cannot be kept on this machine."""

    def __init__(self, *, uri: str, folder: Path, reason: str) -> None:
        text = f"{uri}: the cache {folder} cannot be used now: {reason}: make room there, or pass another --cache"
        ServingError.__init__(self, text, uri=uri, folder=folder, reason=reason)


class NotReady(ServingError):
    """A worker did not get to load a version; it is offered again."""

    def __init__(self, *, pid: int, what: str) -> None:
        super().__init__(f"worker {pid} {what} while it loaded the version", pid=pid, what=what)


class SettingsError(ServingError):
    """The server was asked to start in a way that it refuses."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(redact(text), **facts)


class UnsafeCache(SettingsError):
    """Others can write to the folder where versions are kept, so what lies there proves nothing."""

    def __init__(self, *, folder: Path, reason: str) -> None:
        text = (
            f"the cache {folder} {reason}: pass --cache {folder}/slipway, or make it yours (chown, chmod 700)"
        )
        super().__init__(text, folder=folder, reason=reason)


class ModelNotFound(SettingsError):
    """No version stands where --model points."""

    def __init__(self, *, uri: str, reason: str) -> None:
        super().__init__(f"--model {uri}: {reason}", uri=uri, reason=reason)


class RequestError(ServingError):
    """One request cannot be answered. The text goes to the client, so it never quotes the request."""

    status = 400
    code = "BAD_REQUEST"
    headers: Headers = ()


CLOSE = (b"connection", b"close")


class NotHttp(RequestError):
    """A request whose frame can be read in more than one way, or not at all."""

    headers = (CLOSE,)


class Malformed(RequestError):
    """The body is not what its Content-Type says."""


class UnusableValues(RequestError):
    """Cells that cannot be used."""

    def __init__(self, *, faults: Sequence[Fault], count: int) -> None:
        first = faults[0]
        place = (
            f"column {first.column!r}" if first.row is None else f"row {first.row}, column {first.column!r}"
        )
        more = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(
            f"{place}: expected {first.expected}, found {first.found}{more}",
            faults=tuple(faults),
            count=count,
        )


class CoverageRefused(RequestError):
    """An interval that this version cannot promise."""


class NotAuthorized(RequestError):
    """No key, or one that is not in the key file."""

    status, code = 401, "UNAUTHENTICATED"
    headers = ((b"www-authenticate", b"Bearer"),)


class NotFound(RequestError):
    """No such path."""

    status, code = 404, "ENDPOINT_NOT_FOUND"


class MethodNotAllowed(RequestError):
    """The path exists for another method."""

    status, code = 405, "METHOD_NOT_ALLOWED"

    def __init__(self, *, allowed: str) -> None:
        super().__init__(f"use {allowed.partition(',')[0]} here", allowed=allowed)
        self.headers = ((b"allow", allowed.encode()),)


class SlowBody(RequestError):
    """The body did not arrive in time."""

    status, code = 408, "REQUEST_TIMEOUT"
    headers = (CLOSE,)


class TooLarge(RequestError):
    """More bytes, rows or columns than this server takes at once."""

    status, code = 413, "REQUEST_LIMIT_EXCEEDED"
    headers = (CLOSE,)

    def __init__(self, *, what: str, limit: int) -> None:
        super().__init__(f"more than {limit} {what}: send less at once", what=what, limit=limit)


class WrongType(RequestError):
    """A Content-Type or Content-Encoding that is not read here."""

    status, code = 415, "UNSUPPORTED_MEDIA_TYPE"


class WrongHost(RequestError):
    """A Host header that names another machine: a page in a browser may be reaching for loopback."""

    status, code = 421, "BAD_REQUEST"


class Busy(RequestError):
    """As many requests are in flight as this worker takes."""

    status, code = 503, "TEMPORARILY_UNAVAILABLE"
    headers: Headers = ((b"retry-after", b"1"),)


class NoPlace(Busy):
    """As many bodies, or bytes of them, are on their way as this worker waits for."""

    headers = (*Busy.headers, CLOSE)


class HeadTooLarge(RequestError):
    """More bytes around a body than this server reads."""

    status, code = 431, "REQUEST_LIMIT_EXCEEDED"
    headers = (CLOSE,)

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"more than {limit} bytes of head: send fewer or shorter headers", limit=limit)


class UnknownCoding(RequestError):
    """A Transfer-Encoding that is not read here."""

    status, code = 501, "NOT_IMPLEMENTED"
    headers = (CLOSE,)


class Full(Busy):
    """No room for another connection."""

    headers = (*Busy.headers, CLOSE)


class Draining(Busy):
    """The server stops."""

    headers = (*Busy.headers, CLOSE)


class NoMetrics(RequestError):
    """The worker counts nothing: there was no room for its files."""

    status, code = 503, "TEMPORARILY_UNAVAILABLE"


class TooSlow(RequestError):
    """Scoring took longer than a request may; the work has stopped."""

    status, code = 504, "DEADLINE_EXCEEDED"


class BatchError(ServingError):
    """A file cannot be scored."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(redact(text), **facts)


class BadOutput(BatchError):
    """The job's words do not fit each other or the place."""

    def __init__(self, *, reason: str, repair: str) -> None:
        super().__init__(f"{reason}: {repair}", reason=reason, repair=repair)


class FaultyRows(BatchError):
    """Rows hold what the model cannot use; rows are counted from 1."""

    def __init__(self, *, faults: Sequence[Fault], count: int) -> None:
        shown = "\n".join(
            f"  {_place(fault)}: expected {fault.expected}, found {fault.found}" for fault in faults
        )
        more = f"\n  and {count - len(faults):,} more" if count > len(faults) else ""
        values = "1 value" if count == 1 else f"{count:,} values"
        super().__init__(
            f"{values} cannot be used, nothing was written: mend the input, or pass on_fault=null "
            f"to leave their predictions empty\n{shown}{more}",
            faults=faults,
            count=count,
        )


def _place(fault: Fault) -> str:
    return f"column {fault.column!r}" if fault.row is None else f"row {fault.row}, column {fault.column!r}"
