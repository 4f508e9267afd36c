"""What the server was told at its start: plain values that travel to the workers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

LOOPBACK = ("127.0.0.1", "::1", "localhost")
STDOUT = "-"
"""Where a file's name is asked for."""
LOOPBACK_HOSTS = frozenset({b"127.0.0.1", b"::1", b"[::1]", b"localhost"})


@dataclass(frozen=True)
class Limits:
    """How much one request, and how many at once. Each has an option of its name.

    Attributes
    ----------
    body_bytes : int
        Of the body, also after gzip or Parquet's own compression is undone.
    rows : int
        In one request.
    columns : int
        In one request, those included that the model ignores.
    json_depth : int
        Levels of JSON; a request of rows has at most four.
    header_bytes : int
        Request line and headers.
    body_seconds : float
        For the headers, and again for the body, to arrive.
    grpc_message_bytes : int
        Of one message over gRPC, also after its own compression is undone; `body_bytes` where that is less. A large one
        is held four times against `memory_bytes`.
    work_seconds : float
        For decoding and scoring.
    in_flight : int
        Requests at once in one worker, counted from the moment that their bodies are there.
    waiting_bodies : int
        Bodies that one worker waits for; half of them may be of one client.
    body_rate : int
        Bytes a second that a body must have come at, once five seconds are over.
    memory_bytes : int
        That the requests in work of one worker may take, by estimate.
    keep_alive_seconds : float
        For which an idle connection stays open: longer than a balancer's own idle time.
    write_seconds : float
        In which a client has to take some of its answer.
    connections : int
        At once in one worker; fewer where the system allows fewer open files.
    connections_per_client : int
        Of one address, or of one IPv6 network of 64 bits, in one worker; 0 for any number.
    """

    body_bytes: int = 64 * 2**20
    rows: int = 1_000_000
    columns: int = 10_000
    json_depth: int = 64
    header_bytes: int = 64 * 2**10
    body_seconds: float = 30.0
    grpc_message_bytes: int = 16 * 2**20
    work_seconds: float = 60.0
    in_flight: int = 512
    waiting_bodies: int = 512
    body_rate: int = 1000
    memory_bytes: int = 2 * 2**30
    keep_alive_seconds: float = 75.0
    write_seconds: float = 30.0
    connections: int = 10_000
    connections_per_client: int = 0


@dataclass(frozen=True)
class Model:
    """A version on this machine, and the key of its paths: none where the server has one model.

    `runtime` is "scorer", or "pyfunc" where MLflow itself has to run it.
    """

    folder: str
    key: str = ""
    name: str = ""
    version: str = ""
    digest: str | None = None
    runtime: str = "scorer"

    @property
    def prefix(self) -> str:
        """How its paths begin."""
        return f"/models/{self.key}" if self.key else ""

    @property
    def public_name(self) -> str:
        """What the Open Inference Protocol calls it."""
        return self.key or self.name


@dataclass(frozen=True)
class CaptureRules:
    """What is kept of the predictions, and where; nothing where there is no folder.

    Attributes
    ----------
    folder : str
        Of captures.
    share : float
        Of the requests, above 0.
    rows : int
        A second, of all workers together; 0 for any number.
    sync : float
        Seconds after which what was written is on the disk; 0 leaves that to the system.
    rotate : float
        Seconds after which a file is closed, for who makes Parquet of it; one that is large is closed before.
    exclude, hashed : tuple of str
        Columns that are left out, and categories that are written as a keyed hash.
    key_file : str
        Whose content is the key of that hash.
    keep : float
        Seconds after which a closed file goes that nobody took; 0 keeps all.
    """

    folder: str = ""
    share: float = 1.0
    rows: int = 0
    sync: float = 1.0
    rotate: float = 300.0
    exclude: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    key_file: str = ""
    keep: float = 0.0

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> CaptureRules:
        """Read the JSON form back."""
        return cls(**{**written, "exclude": tuple(written["exclude"]), "hashed": tuple(written["hashed"])})


@dataclass(frozen=True)
class TokenRules:
    """Which tokens are taken: none where there is no file of keys.

    Attributes
    ----------
    jwks : str
        The file of the issuer's public keys.
    issuer, audience : str
        What a token has to say.
    scopes : tuple of str
        What it has to hold: one for all that scores, and SCOPE=THEIRS for one of ours.
    """

    jwks: str = ""
    issuer: str = ""
    audience: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """All that a worker needs to know beside the models' files; `grpc_port` is 0 where gRPC is off.

    `processes` and `joins` are for models that MLflow runs: how many processes each worker has for one,
    and whether requests that wait may be joined into one call. `load_seconds` and `load_bytes` bound what
    loading a version may take; a worker that gives no sign of life for `hung_seconds` is replaced. For
    `drain_delay` seconds after a signal the server says that it is not ready, and takes requests as before.
    """

    models: tuple[Model, ...]
    host: str = "127.0.0.1"
    grpc_port: int = 0
    grpc_compression: bool = False
    workers: int = 1
    processes: int = 1
    joins: bool = False
    threads: int = 1
    key_file: str | None = None
    feedback_key_file: str | None = None
    metrics_need_key: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    page: bool = False
    prefix: str = ""
    trust_proxy: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    tls_client_crl: str | None = None
    tls_client_sans: tuple[str, ...] = ()
    tokens: TokenRules = TokenRules()
    audit_log: str = ""
    audit_accepted: bool = False
    access_log: float = 0.0
    drain_seconds: float = 30.0
    drain_delay: float = 0.0
    load_seconds: float = 60.0
    load_bytes: int = 2**30
    hung_seconds: float = 20.0
    limits: Limits = field(default_factory=Limits)
    capture: CaptureRules = CaptureRules()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK

    def as_json(self) -> str:
        """Return the JSON form."""
        return json.dumps(asdict(self))

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Settings:
        """Read the JSON form back."""
        models = tuple(Model(**model) for model in written["models"])
        lists = {
            name: tuple(written.get(name, ()))
            for name in ("allowed_hosts", "allowed_origins", "tls_client_sans")
        }
        limits, capture = Limits(**written["limits"]), CaptureRules.from_dict(written["capture"])
        tokens = TokenRules(**{**written["tokens"], "scopes": tuple(written["tokens"]["scopes"])})
        read = {"models": models, "limits": limits, "capture": capture, "tokens": tokens}
        return cls(**{**written, **lists, **read})
