"""One process that answers requests: two model files in, a listening socket inherited.

Started as `python -m serving.worker FD`; its stdin is the line to its parent, with the settings as
one line of JSON. Where that line ends, the parent is gone, and so is the worker. It imports neither
mlflow, scikit-learn nor pandas, and never unpickles. It serves only after the golden rows were
replayed equal; until then connections wait in the socket's queue.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys

import uvicorn

from data.redaction import log_to
from serving.errors import ServingError
from serving.front import App, Backend, access_logger
from serving.front.connections import Admission, protocol_class
from serving.runtimes import Runtime, forbid_imports, load, within_limits
from serving.settings import Settings
from serving.worker.draining_server import DrainingServer

logger = logging.getLogger("serving")


def load_all(settings: Settings) -> list[Runtime]:
    """Load and replay what is served first, and tell the parent that it can be; raises ModelError."""
    runtimes = []
    for model in settings.models:
        with within_limits(model, settings):
            runtimes.append(load(model, settings))
    os.write(0, b'{"loaded": true}\n')
    return runtimes


def run(settings: Settings, runtimes: list[Runtime], listener: socket.socket) -> None:
    """Serve until told to stop."""
    backend = Backend(runtimes, settings)
    app = App(backend)
    admission = Admission(app, settings.limits)
    config = uvicorn.Config(
        app,
        http=protocol_class(admission),
        loop="uvloop",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.limits.keep_alive_seconds,  # type: ignore[arg-type]  # a fraction is fine
        timeout_graceful_shutdown=round(settings.drain_seconds),
    )
    server = DrainingServer(config, backend, admission)
    signal.signal(signal.SIGHUP, lambda *_: _reload(backend))
    signal.signal(signal.SIGUSR1, lambda *_: server.drain(signal.SIGTERM))
    signal.signal(signal.SIGUSR2, lambda *_: server.drain(signal.SIGINT))
    gc.freeze()  # what was loaded stays: the collector need not walk through it again
    gc.set_threshold(20_000)
    server.run(sockets=[listener])
    backend.close()


def _reload(backend: Backend) -> None:
    try:
        backend.access.reload()
        logger.info("key file read again")
    except ServingError as error:
        logger.error("%s; the old keys stay", error)  # noqa: TRY400 - the text says it all


def _log_as_json_lines(access: logging.Logger) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    access.addHandler(handler)
    access.propagate = False


def main() -> int:
    """Serve on the inherited socket."""
    forbid_imports()
    sys.setswitchinterval(0.0005)  # a thread that loads the next version gives way sooner than after 5 ms
    log_to(logging.StreamHandler(), level=logging.INFO, form="%(asctime)s %(levelname)s %(message)s")
    _log_as_json_lines(access_logger)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with open(0, "rb", buffering=0, closefd=False) as line:
        settings = Settings.from_dict(json.loads(line.readline()))
    try:
        run(settings, load_all(settings), socket.socket(fileno=int(sys.argv[1])))
    except ServingError as error:
        logger.error("worker stops: %s", error)  # noqa: TRY400 - the text says it all
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
