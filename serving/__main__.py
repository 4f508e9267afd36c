"""`python -m serving --model ...`: fetch a version, start workers, keep them running."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from data.own_files import scratch
from data.redaction import log_to
from serving.errors import ModelError, ServingError, SettingsError
from serving.fleet import MODEL_BROKEN, Crew, Followed, Rules, follow, reserve
from serving.options import parser, prepare_captures, settings_of, sources_of
from serving.registry import Cache, given_run, is_remote
from serving.signatures import Trust

logger = logging.getLogger(__package__)

MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
"""Where a container with a read-only root can still write, though nobody sets TMPDIR."""


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


class _Told:
    """SIGTERM while a version is fetched: no signal ends the first process of a container that does not take it.

    What a handler raises may become a library's own error: pydantic makes a SchemaError of it while MLflow is imported.
    """

    def __init__(self) -> None:
        self.to_end = False
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self.to_end = True
        raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; 0 after a signal, 2 where the options don't hold, 3 where the model is refused."""
    given = parser().parse_args(argv)
    log_to(logging.StreamHandler(), level=logging.WARNING, form="%(asctime)s %(levelname)s %(message)s")
    raise_file_limit()
    logger.setLevel(logging.INFO)
    told = _Told()
    with scratch(otherwise=MEMORY) as folder:
        if folder is None:
            logger.warning("no temporary folder can be made: /metrics is off; set TMPDIR to have it")
        try:
            return serve(given, folder)
        except Exception as error:
            if told.to_end:
                return 0
            if not isinstance(error, ServingError):
                raise
            print(f"error: {error}", file=sys.stderr)
            given_run.refused(f"serve {', '.join(given.model)}", str(error))
            return MODEL_BROKEN if isinstance(error, ModelError) else 2


def serve(given: argparse.Namespace, folder: Path | None) -> int:
    """Serve until a signal comes; raises ServingError before that."""
    settings = settings_of(given)
    cache = cache_of(given, folder)
    have_home(folder)
    rules = Rules(
        cache,
        given.poll_seconds,
        given.allow_unpromoted,
        given.runtime,
        Trust.in_files(given.trust),
        tells=settings.page,
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
