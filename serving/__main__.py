"""`python -m serving --model ...`: fetch a version, start workers, keep them running."""

from __future__ import annotations

import argparse
import logging
import socket
import ssl
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from serving.access import read_hashes
from serving.crew import Crew
from serving.errors import ServingError, SettingsError
from serving.settings import LOOPBACK, Limits, Settings
from serving.store import locate


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    line = argparse.ArgumentParser(
        prog="python -m serving", description="Serve a model over HTTP.", allow_abbrev=False
    )
    line.add_argument(
        "--model", required=True, help="models:/NAME@ALIAS, models:/NAME/3, runs:/..., or a folder"
    )
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--port", type=_number(int, 0, 65535), default=5002, help="0 for any free port")
    line.add_argument("--workers", type=_number(int, 1, 256), default=1)
    line.add_argument("--threads", type=_number(int, 1, 256), default=1, help="of the scorer in each worker")
    line.add_argument("--api-key-file", help="SHA-256 hashes of the keys, one a line; read again on SIGHUP")
    line.add_argument("--no-auth", action="store_true", help="serve beyond this machine without keys")
    line.add_argument("--tls-cert")
    line.add_argument("--tls-key")
    line.add_argument("--access-log", type=_number(float, 0, 1), default=0.0, help="share of requests to log")
    line.add_argument("--drain-seconds", type=_number(float, 0, 3600), default=30.0)
    for limit in fields(Limits):
        kind = type(limit.default)
        low = 1 if kind is int else 0.001
        line.add_argument(
            f"--{limit.name.replace('_', '-')}", type=_number(kind, low, 2**40), default=limit.default
        )
    return line


def _number(kind: type, low: float, high: float) -> Any:
    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    read.__name__ = "whole number" if kind is int else "number"
    return read


def settings_of(given: argparse.Namespace, cache: Path) -> Settings:
    """Check what the options say together, and fetch the model; raises SettingsError."""
    if given.host not in LOOPBACK and not given.api_key_file and not given.no_auth:
        raise SettingsError(
            f"--host {given.host} is open to others: pass --api-key-file, or --no-auth to mean it"
        )
    if bool(given.tls_cert) != bool(given.tls_key):
        raise SettingsError("--tls-cert and --tls-key go together")
    if given.tls_cert:
        _check_tls(given.tls_cert, given.tls_key)
    if given.api_key_file:
        read_hashes(Path(given.api_key_file))
    located = locate(given.model, cache)
    return Settings(
        folder=str(located.folder),
        name=located.name,
        version=located.version,
        host=given.host,
        workers=given.workers,
        threads=given.threads,
        key_file=given.api_key_file,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        access_log=given.access_log,
        drain_seconds=given.drain_seconds,
        limits=Limits(**{limit.name: getattr(given, limit.name) for limit in fields(Limits)}),
    )


def _check_tls(cert: str, key: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SettingsError(
            f"--tls-cert {cert} and --tls-key {key}: no usable pair in PEM: {said}"
        ) from error


def _no_password() -> str:
    raise ValueError("the key asks for a password: pass one without")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that workers can inherit; raises SettingsError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.set_inheritable(True)
    return listener


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; 0 after a signal, 2 where the options don't hold, 3 where the model is refused."""
    given = parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        counters = Path(scratch, "metrics")
        counters.mkdir()
        try:
            settings = settings_of(given, Path(scratch, "model"))
            listener = listen(given.host, given.port)
        except ServingError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        scheme = "https" if settings.tls_cert else "http"
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        print(f"serving {given.model} on {scheme}://{given.host}:{listener.getsockname()[1]}", flush=True)
        return Crew(settings, listener, str(counters)).run()


if __name__ == "__main__":
    sys.exit(main())
