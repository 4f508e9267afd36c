"""What can go wrong between a registered version and an answer.

ServingError
├── ModelError             the version's files cannot be served
├── NotReady               a worker did not get to load a version; it is offered again
├── ServerFailed           a server that was started for a purpose of ours does not get ready
├── SettingsError          the server was asked to start in a way that it refuses
│   └── BadCapture         predictions cannot be kept as an option asks
├── BatchError             a file cannot be scored
│   ├── BadOutput          the job's words do not fit
│   ├── WorkersLost        processes that scored were killed again and again
│   └── FaultyRows         rows hold what the model cannot use
└── RequestError           one request cannot be answered; carries its HTTP status
    ├── NotHttp            400, the request's frame can be read in more than one way, or not at all
    ├── Malformed          400, the body is not what its Content-Type says
    ├── UnusableValues     400, cells that cannot be used, each with its place
    ├── CoverageRefused    400, an interval that this version cannot promise
    ├── NotAuthorized      401
    │   ├── NoToken        401, a token that is none
    │   ├── NoFeedbackKey  401, a key that scores sends no labels
    │   ├── NotAllowed     403, a known caller without the scope
    │   └── NoCertificate  403, no certificate of a client that is let in
    ├── TooOften           429, with Retry-After
    ├── WrongOrigin        403, a page that was not let in
    ├── NotFound           404
    │   └── NotExplained   404, this version has nothing that explains it
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
    │   ├── NotKept        what was sent cannot be written
    │   └── Draining       the server stops
    ├── NoRoom             507, the disk is full
    ├── NoMetrics          503
    └── TooSlow            504

What one room alone raises stands in its own `errors.py`: of a version's files in `scorer`, `registry`, `signatures`.

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template makes the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data.facts import FactError

Headers = tuple[tuple[bytes, bytes], ...]
"""Of an answer."""


@dataclass(frozen=True)
class Fault:
    """A cell that cannot be used: row counted from 0, what was expected, and the kind of what was found."""

    row: int | None
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Say where, what was expected and what was found."""
        row = "" if self.row is None else f"row {self.row}, "
        return f"{row}column {self.column!r}: expected {self.expected}, found {self.found}"


class ServingError(FactError):
    """Anything that the server reports rather than hides."""


class ModelError(ServingError):
    """The version's files cannot be served."""


class NotReady(ServingError):
    """A worker did not get to load a version; it is offered again."""

    template = "worker {pid} {what} while it loaded the version"
    pid: int
    what: str


class ServerFailed(ServingError):
    """A server that was started for a purpose of ours does not get ready."""

    template = "{what} did not start: {said}"
    what: str
    said: str


class SettingsError(ServingError):
    """The server was asked to start in a way that it refuses."""


class BadCapture(SettingsError):
    """Predictions cannot be kept as an option asks."""

    template = "--{option} {given}: {reason}"
    option: str
    given: str
    reason: str


class RequestError(ServingError):
    """One request cannot be answered. The text goes to the client, so it never quotes the request."""

    status = 400
    code = "BAD_REQUEST"
    headers = Headers()

    @staticmethod
    def shown(text: str) -> str:
        """Return all of it: a column may be called as if it were a secret."""
        return text


CLOSE = (b"connection", b"close")
RETRY = (b"retry-after", b"1")


class NotHttp(RequestError):
    """A request whose frame can be read in more than one way, or not at all."""

    headers = (CLOSE,)


class Malformed(RequestError):
    """The body is not what its Content-Type says."""


class UnusableValues(RequestError):
    """Cells that cannot be used."""

    template = "{first}{more}"
    faults: Sequence[Fault]
    count: int

    @property
    def first(self) -> Fault:
        """The cell that is named."""
        return self.faults[0]

    @property
    def more(self) -> str:
        """How many others there are."""
        return f" (and {self.count - 1} more)" if self.count > 1 else ""


class CoverageRefused(RequestError):
    """An interval that this version cannot promise."""


class NotAuthorized(RequestError):
    """No key, or one that is not in the key file."""

    template = "send a key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
    status, code = 401, "UNAUTHENTICATED"
    headers = Headers(((b"www-authenticate", b"Bearer"),))


class NoFeedbackKey(NotAuthorized):
    """No key that may send labels: one that scores may not."""

    template = (
        "send a key for feedback as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'; one that scores is none"
    )


class NoToken(NotAuthorized):
    """A token that is none here, and why."""

    template = "{doubt}: send a token of this server's issuer as 'Authorization: Bearer TOKEN'"
    doubt: str


class NotAllowed(NotAuthorized):
    """A key or token that is known, and may not do this."""

    template = "this key or token may not do this: it needs the scope {scope}"
    status, code = 403, "PERMISSION_DENIED"
    headers = Headers()
    scope: str


class NoCertificate(NotAuthorized):
    """No certificate came with the connection, or one of a name that is not let in."""

    template = "connect with a client certificate {which}: this server asks for one"
    status, code = 403, "PERMISSION_DENIED"
    headers = Headers()
    which: str


class TooOften(RequestError):
    """A caller asks more often than its key may."""

    template = "this key asks more often than it may: ask again in {seconds} s"
    status, code = 429, "RESOURCE_EXHAUSTED"
    seconds: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.headers = ((b"retry-after", b"%d" % self.seconds),)


class NotFound(RequestError):
    """No such path."""

    status, code = 404, "ENDPOINT_NOT_FOUND"


class NotExplained(NotFound):
    """A version that has nothing that explains it."""

    template = "this version has no explanations: {reason}"
    code = "RESOURCE_DOES_NOT_EXIST"
    reason: str


class MethodNotAllowed(RequestError):
    """The path exists for another method."""

    template = "use {method} here"
    status, code = 405, "METHOD_NOT_ALLOWED"
    allowed: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self.headers = ((b"allow", self.allowed.encode()),)

    @property
    def method(self) -> str:
        """The first of those that are allowed."""
        return self.allowed.partition(",")[0]


class SlowBody(RequestError):
    """The body did not arrive in time."""

    status, code = 408, "REQUEST_TIMEOUT"
    headers = (CLOSE,)


class TooLarge(RequestError):
    """More bytes, rows or columns than this server takes at once."""

    template = "more than {limit} {what}: send less at once"
    status, code = 413, "REQUEST_LIMIT_EXCEEDED"
    headers = (CLOSE,)
    what: str
    limit: int


class WrongType(RequestError):
    """A Content-Type or Content-Encoding that is not read here."""

    status, code = 415, "UNSUPPORTED_MEDIA_TYPE"


class WrongHost(RequestError):
    """A Host header that names another machine: a page in a browser may be reaching for loopback."""

    status, code = 421, "BAD_REQUEST"


class WrongOrigin(RequestError):
    """A page of an origin that this server was not told of sends what a browser sends without asking first."""

    status, code = 403, "PERMISSION_DENIED"
    template = "a page of this origin may not send labels here: start the server with --allow-origin ORIGIN"


class Busy(RequestError):
    """As many requests are in flight as this worker takes."""

    status, code = 503, "TEMPORARILY_UNAVAILABLE"
    headers = Headers((RETRY,))


class NoPlace(Busy):
    """As many bodies, or bytes of them, are on their way as this worker waits for."""

    headers = (RETRY, CLOSE)


class HeadTooLarge(RequestError):
    """More bytes around a body than this server reads."""

    template = "more than {limit} bytes of head: send fewer or shorter headers"
    status, code = 431, "REQUEST_LIMIT_EXCEEDED"
    headers = (CLOSE,)
    limit: int


class UnknownCoding(RequestError):
    """A Transfer-Encoding that is not read here."""

    template = "the only Transfer-Encoding here is chunked: compress with Content-Encoding"
    status, code = 501, "NOT_IMPLEMENTED"
    headers = (CLOSE,)


class Full(Busy):
    """No room for another connection."""

    headers = (RETRY, CLOSE)


class Draining(Busy):
    """The server stops."""

    template = "the server stops: ask again, there or elsewhere"
    headers = (RETRY, CLOSE)


class NotKept(Busy):
    """What was sent to be kept cannot be written."""

    template = "the labels cannot be written, none of them was kept: try again, and tell who runs this server"


class NoRoom(RequestError):
    """The disk has no room for what was sent to be kept."""

    template = "the disk is full, none of the labels was kept: send them again when there is room"
    status, code = 507, "RESOURCE_EXHAUSTED"


class NoMetrics(RequestError):
    """The worker counts nothing: there was no room for its files."""

    template = "this worker counts nothing: there was no room for its files when it started"
    status, code = 503, "TEMPORARILY_UNAVAILABLE"


class TooSlow(RequestError):
    """Scoring took longer than a request may; the work has stopped."""

    status, code = 504, "DEADLINE_EXCEEDED"


class BatchError(ServingError):
    """A file cannot be scored."""


class BadOutput(BatchError):
    """The job's words do not fit each other or the place."""

    template = "{reason}: {repair}"
    reason: str
    repair: str


class WorkersLost(BatchError):
    """Processes that scored were killed again and again."""

    template = (
        "a process was killed while it scored, {count} times, and {left} parts lack: it wants memory as a rule; "
        "run the same again with more, or on fewer processors (taskset -c 0)"
    )
    count: int
    left: int


class FaultyRows(BatchError):
    """Rows hold what the model cannot use; rows are counted from 1."""

    template = (
        "{values} cannot be used, {outcome}: mend the input, or pass on_fault=null "
        "to leave their predictions empty\n{listed}"
    )
    faults: Sequence[Fault]
    count: int
    outcome: str = "nothing was written"

    @property
    def values(self) -> str:
        """How many cells there are."""
        return "1 value" if self.count == 1 else f"{self.count:,} values"

    @property
    def listed(self) -> str:
        """A line for each of the first cells, and one for the others."""
        others = self.count - len(self.faults)
        more = f"\n  and {others:,} more" if others > 0 else ""
        return "\n".join(f"  {fault}" for fault in self.faults) + more
