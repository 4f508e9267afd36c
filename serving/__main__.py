"""`python -m serving --model ...`: fetch a version, start workers, keep them running."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from data.own_files import scratch
from data.redaction import log_to
from serving import access
from serving.caller_options import add_callers, check_callers, token_rules
from serving.capture_options import age, capture_rules, check_feedback, prepare_captures
from serving.errors import ModelError, ServingError, SettingsError
from serving.fleet import MODEL_BROKEN, Crew, Followed, Rules, follow, reserve
from serving.registry import Cache, given_run, is_remote
from serving.settings import LOOPBACK, Limits, Model, Settings
from serving.signatures import Trust

logger = logging.getLogger(__package__)

MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
"""Where a container with a read-only root can still write, though nobody sets TMPDIR."""

NAMED = re.compile(r"(?P<key>[A-Za-z0-9][\w.-]{0,63})=(?P<uri>.+)", re.ASCII)
"""--model NAME=PLACE; a folder whose name looks so is written ./NAME=PLACE."""


class _WithDefaults(argparse.HelpFormatter):
    """Help that names each default, unless that is to do nothing."""

    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        said_already = f"({action.default})" in said
        if said_already or not action.default or action.default == argparse.SUPPRESS:
            return said
        return f"{said} ({action.default})"


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    line = argparse.ArgumentParser(
        prog="python -m serving",
        description="Serve a model over HTTP.",
        allow_abbrev=False,
        formatter_class=_WithDefaults,
    )
    line.add_argument(
        "--model",
        required=True,
        action="append",
        help="models:/NAME@ALIAS, models:/NAME/3, runs:/..., or a folder; NAME=... for several",
    )
    line.add_argument(
        "--poll-seconds", type=_number(float, 0.05, 3600), default=2.0, help="between two looks"
    )
    line.add_argument("--cache", help="where versions are kept; the user's cache folder if not given")
    line.add_argument(
        "--allow-unpromoted", action="store_true", help="serve versions whose files no promotion vouches for"
    )
    line.add_argument(
        "--trust",
        metavar="FILE",
        action="append",
        default=[],
        help="public key in PEM: serve only versions that it signed; may be given several times",
    )
    line.add_argument(
        "--runtime",
        choices=("scorer", "pyfunc"),
        default="scorer",
        help="pyfunc: MLflow loads the model, which may run code of its own, in processes beside each worker",
    )
    line.add_argument("--processes", type=_number(int, 1, 256), default=1, help="with pyfunc, of each worker")
    line.add_argument(
        "--joining",
        action=argparse.BooleanOptionalAction,
        help="with pyfunc, requests that wait go into one call; for models that look at each row for itself",
    )
    line.add_argument("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 or :: for all")
    line.add_argument("--port", type=_number(int, 0, 65535), default=5002, help="0 for any free port")
    line.add_argument("--grpc-port", type=_number(int, 0, 65535), help="also serve gRPC; 0 for any free port")
    line.add_argument(
        "--grpc-compression",
        action="store_true",
        help="let clients compress gRPC messages: 15 kB may become 16 MiB before anything can be checked",
    )
    line.add_argument("--workers", type=_number(int, 1, 256), default=1, help="processes that answer")
    line.add_argument("--threads", type=_number(int, 1, 256), default=1, help="of the scorer in each worker")
    add_callers(line)
    line.add_argument(
        "--allow-host",
        type=access.host,
        action="append",
        default=[],
        help="answer to this Host header too, as proxies send it; on loopback only localhost if not given, "
        "elsewhere any; may be given several times",
    )
    line.add_argument(
        "--allow-origin",
        type=access.origin,
        action="append",
        default=[],
        help="let pages of this origin, such as https://app.example.com, ask from a browser; * for all; "
        "may be given several times",
    )
    line.add_argument(
        "--page",
        action=argparse.BooleanOptionalAction,
        help="answer browsers at / with a page to try the model; on for this machine alone if not given",
    )
    line.add_argument(
        "--prefix", type=access.prefix, default="", help="answer under this path too, such as /models/flights"
    )
    line.add_argument(
        "--trust-proxy",
        action="store_true",
        help="take the prefix in /openapi.json from the header X-Forwarded-Prefix",
    )
    line.add_argument("--access-log", type=_number(float, 0, 1), default=0.0, help="share of requests to log")
    line.add_argument(
        "--drain-seconds",
        type=_number(float, 0, 3600),
        default=30.0,
        help="for requests under way at the end",
    )
    line.add_argument(
        "--drain-delay",
        type=_number(float, 0, 3600),
        default=0.0,
        help="seconds after SIGTERM for which requests are still taken while /readyz says 503: as long as a balancer "
        "takes to notice",
    )
    line.add_argument(
        "--load-seconds",
        type=_number(float, 1, 3600),
        default=60.0,
        help="of processor time that loading a version may take",
    )
    line.add_argument(
        "--load-bytes",
        type=_number(int, 2**20, 2**44),
        default=2**30,
        help="of memory that loading a version may take, beside 60 times its file",
    )
    line.add_argument(
        "--hung-seconds",
        type=_number(float, 1, 3600),
        default=20.0,
        help="without a sign of life after which a worker is killed and replaced",
    )
    _add_capture(line)
    said = _said_of(Limits)
    for limit in fields(Limits):
        kind, default = type(limit.default), getattr(Limits(), limit.name)
        low = min(default, 1 if kind is int else 0.001)
        line.add_argument(
            f"--{limit.name.replace('_', '-')}",
            type=_number(kind, low, 2**40),
            default=default,
            help=f"{said.get(limit.name, '')} ({default})",
        )
    return line


def _add_capture(line: argparse.ArgumentParser) -> None:
    line.add_argument("--capture", metavar="DIR", help="keep rows and predictions in this folder")
    line.add_argument(
        "--capture-share",
        type=_number(float, 1e-6, 1),
        help="of the requests that are kept, drawn by lot; 1 if not given",
    )
    line.add_argument(
        "--capture-rows",
        type=_number(int, 1, 2**40),
        help="kept a second at most, about, of all workers; fewer requests are drawn where more come",
    )
    line.add_argument(
        "--capture-sync",
        type=_number(float, 0, 3600),
        help="seconds after which what was kept is on the disk, 1 if not given; 0 leaves that to the system",
    )
    line.add_argument(
        "--capture-rotate",
        type=_number(
            float, 0.1, 600
        ),  # a monitor takes a day a quarter of an hour after midnight: it must be closed
        help="seconds after which a file of captures is closed, so that others take it, 600 at most; 300 if not given",
    )
    line.add_argument(
        "--capture-keep",
        metavar="AGE",
        type=age,
        help="delete files that are older and that nobody made Parquet of, such as 90d; nothing if not given",
    )
    line.add_argument(
        "--capture-exclude", metavar="COLUMNS", action="append", help="left out, separated by commas"
    )
    line.add_argument(
        "--capture-hash",
        metavar="COLUMNS",
        action="append",
        help="categories that are kept as HMAC-SHA256, separated by commas; with --capture-hash-key",
    )
    line.add_argument(
        "--capture-hash-key", metavar="FILE", help="whose content is the key, of 16 bytes or more"
    )
    line.add_argument(
        "--feedback-key-file",
        metavar="FILE",
        help="SHA-256 hashes of the keys that may send labels to /feedback; with --capture",
    )


def _said_of(limits: type) -> dict[str, str]:
    """Return what a class's docstring says of each attribute."""
    described = re.findall(r"^(\w+) : \w+\n((?:    .+\n?)+)", inspect.getdoc(limits) or "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in described}


def _number(kind: type, low: float, high: float) -> Any:
    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    read.__name__ = "whole number" if kind is int else "number"
    return read


def sources_of(models: Sequence[str]) -> dict[str, str]:
    """Return what to serve under which key: one place without a key, or NAME=PLACE each; raises SettingsError."""
    named = [NAMED.fullmatch(model) for model in models]
    if len(models) == 1 and not named[0]:
        return {"": models[0]}
    sources = {match["key"]: match["uri"] for match in named if match}
    if len(sources) != len(models):
        raise SettingsError("several --model need a name of their own each: --model NAME=PLACE")
    return sources


def cache_of(given: argparse.Namespace, folder: Path | None) -> Cache:
    """Return where versions are kept: the folder that was given, else the user's, else the server's own."""
    if not any(is_remote(uri) for uri in sources_of(given.model).values()):
        return Cache(Path())  # a folder's model is served as it lies there
    if given.cache:
        cache = Cache(Path(given.cache).resolve())
        with suppress(OSError):  # it may hold what is needed; where not, the download says so
            cache.check()
        return cache
    try:
        cache = Cache(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "slipway"))
        cache.check()
    except (OSError, RuntimeError) as error:  # read-only, full; or a user without a home
        if folder is None:
            raise SettingsError(f"there is no folder to keep versions in ({error}): pass --cache") from error
        logger.warning("%s: versions are kept in %s until the server ends; pass --cache", error, folder)
        return Cache(folder / "cache")
    return cache


def have_home(folder: Path | None) -> None:
    """Name a home where the user has none: MLflow does not even import without."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(folder or "/")


def settings_of(given: argparse.Namespace, models: tuple[Model, ...] = ()) -> Settings:
    """Check what the options say together; raises SettingsError."""
    check_callers(given)
    check_feedback(given)
    if given.runtime == "scorer" and (given.processes != 1 or given.joining is not None):
        raise SettingsError("--processes and --joining go with --runtime pyfunc")
    settings = Settings(
        models=models,
        host=given.host,
        grpc_compression=given.grpc_compression,
        workers=given.workers,
        processes=given.processes,
        joins=bool(given.joining),
        threads=given.threads,
        key_file=given.api_key_file,
        feedback_key_file=given.feedback_key_file,
        metrics_need_key=given.metrics_need_key,
        allowed_hosts=tuple(given.allow_host),
        allowed_origins=tuple(given.allow_origin),
        page=given.host in LOOPBACK if given.page is None else given.page,
        prefix=given.prefix,
        trust_proxy=given.trust_proxy,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        tls_client_ca=given.tls_client_ca,
        tls_client_crl=given.tls_client_crl,
        tls_client_sans=tuple(given.tls_client_san),
        tokens=token_rules(given),
        audit_log=given.audit_log or "",
        audit_accepted=given.audit_accepted,
        access_log=given.access_log,
        drain_seconds=given.drain_seconds,
        drain_delay=given.drain_delay,
        load_seconds=given.load_seconds,
        load_bytes=given.load_bytes,
        hung_seconds=given.hung_seconds,
        limits=Limits(**{limit.name: getattr(given, limit.name) for limit in fields(Limits)}),
        capture=capture_rules(given),
    )
    access.Access(settings)
    access.tls.certificates_of(settings)
    return settings


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that workers can inherit, of both families for `::`; raises SettingsError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        both = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.set_inheritable(True)
    return listener


def raise_file_limit() -> None:
    """Take as many open files as the system grants: each connection is one."""
    import resource  # noqa: PLC0415 - not on every system

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS grants less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _end_before_the_start(*_: object) -> None:
    """End while a version is fetched: no signal ends the first process of a container that does not take it."""
    raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; 0 after a signal, 2 where the options don't hold, 3 where the model is refused."""
    given = parser().parse_args(argv)
    log_to(logging.StreamHandler(), level=logging.WARNING, form="%(asctime)s %(levelname)s %(message)s")
    raise_file_limit()
    logger.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _end_before_the_start)
    with scratch(otherwise=MEMORY) as folder:
        if folder is None:
            logger.warning("no temporary folder can be made: /metrics is off; set TMPDIR to have it")
        try:
            return serve(given, folder)
        except ServingError as error:
            print(f"error: {error}", file=sys.stderr)
            given_run.refused(f"serve {', '.join(given.model)}", str(error))
            return MODEL_BROKEN if isinstance(error, ModelError) else 2


def serve(given: argparse.Namespace, folder: Path | None) -> int:
    """Serve until a signal comes; raises ServingError before that."""
    settings = settings_of(given)
    cache = cache_of(given, folder)
    have_home(folder)
    rules = Rules(
        cache, given.poll_seconds, given.allow_unpromoted, given.runtime, Trust.in_files(given.trust)
    )
    followed = [Followed(key, uri, rules) for key, uri in sources_of(given.model).items()]
    settings = replace(settings, models=tuple(each.model for each in followed))
    prepare_captures(settings)
    listener = listen(given.host, given.port)
    reserved = None if given.grpc_port is None else reserve(given.host, given.grpc_port)
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{given.host}]" if ":" in given.host else given.host
    address = f"{scheme}://{host}:{listener.getsockname()[1]}"
    if reserved:
        settings = replace(settings, grpc_port=reserved.port)
        address += f" and grpc://{host}:{settings.grpc_port}"
    print(f"serving {', '.join(given.model)} on {address}", flush=True)
    given_run.done(f"serve {', '.join(given.model)}")
    crew = Crew(settings, listener, folder)
    follow(followed, crew)
    return crew.run()


if __name__ == "__main__":
    sys.exit(main())
