"""uvicorn's server with a parent: it does what it is ordered, drains in one of two ways, and ends with its parent."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn

from serving.access import Watched
from serving.errors import ServingError
from serving.front import Backend
from serving.front.connections import Admission
from serving.runtimes import Runtime, load
from serving.settings import Model

if TYPE_CHECKING:
    from serving.front.rpc import StoppingCalls

SPARE_SECONDS = 2.0
"""So much later than the parent would end it, a worker ends that was signalled alone."""

logger = logging.getLogger("serving")


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which drains in one of two ways.

    SIGTERM ends this worker: it takes no more connections, since others do. SIGINT ends the whole
    server: nobody else would take them, so it tells each until the end that the server stops. The
    parent says the same by SIGUSR1 and SIGUSR2, which nobody else sends.
    """

    def __init__(self, config: uvicorn.Config, backend: Backend, admission: Admission) -> None:
        super().__init__(config)
        self._backend = backend
        self._admission = admission
        self._prepared: dict[Model, Runtime] = {}
        self._grpc: StoppingCalls | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen at both doors, and to the parent."""
        self._listeners = sockets or []
        self.servers = await self._listening()
        self.started = True
        if self._backend.settings.grpc_port:
            os.environ.setdefault(
                "GRPC_VERBOSITY", "NONE"
            )  # else a line for each client that does not get through
            from serving.front.rpc import start  # noqa: PLC0415 - an extra, and 20 MB that REST does not need

            self._grpc = await start(self._backend)
        self._loop = asyncio.get_running_loop()
        self._obeying = asyncio.create_task(self._obey())
        if self._backend.watched:
            self._watching = asyncio.create_task(self._watch())

    async def _listening(self) -> list[Any]:
        """Listen as uvicorn does, but with a limit on the time of a TLS handshake.

        On a copy of each socket, so that another server can take its place, with another certificate.
        """
        loop = asyncio.get_running_loop()
        certificates = self._backend.certificates
        tls = certificates.context if certificates else None
        seconds = self._backend.settings.limits.body_seconds if tls else None
        return [
            await loop.create_server(
                self._connection, sock=each.dup(), ssl=tls, backlog=2048, ssl_handshake_timeout=seconds
            )
            for each in self._listeners
        ]

    async def _watch(self) -> None:
        """Read files again that changed; whoever connects from then on is shown the new certificate."""
        self._shown = self._backend.certificates.context if self._backend.certificates else None
        complaint = ""
        while not self.should_exit:
            await asyncio.sleep(Watched.SECONDS)
            try:
                await self._look()
                complaint = ""
            except Exception as error:  # no file is left to open, say
                if complaint != (complaint := str(error)):
                    logger.error("files cannot be looked at, that is tried again: %s", error)  # noqa: TRY400

    async def _look(self) -> None:
        for each in self._backend.watched:
            each.look()
        certificates = self._backend.certificates
        if certificates and certificates.context is not self._shown and not self.should_exit:
            before, self.servers = self.servers, await self._listening()
            self._shown = certificates.context
            for server in before:
                server.close()

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def _obey(self) -> None:
        """Do what the parent orders; where its line ends, the parent is gone."""
        with suppress(ConnectionError):  # a killed parent's line is reset
            await self._obey_line(*await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0))))
        self.drain(signal.SIGINT)

    async def _obey_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"serves": true}\n')
        self._beating = asyncio.create_task(_beat(writer, self._backend.settings.hung_seconds / 4))
        versions: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._loading = asyncio.create_task(self._load_in_turn(versions, writer))
        while line := await reader.readline():
            order = json.loads(line)
            if "status" in order:
                self._backend.statuses = order["status"]
            elif "leave" in order:
                await self._leave()
            else:
                versions.put_nowait(order)

    async def _load_in_turn(
        self, versions: asyncio.Queue[dict[str, Any]], writer: asyncio.StreamWriter
    ) -> None:
        """Do what is ordered of versions one after the other, while the line is read on: leaving does not wait."""
        while True:
            order = await versions.get()
            refused = await self._do(order)
            writer.write(json.dumps({"order": order["order"], "refused": refused}).encode() + b"\n")

    async def _do(self, order: dict[str, Any]) -> str | None:
        """Prepare a version, or serve it; return why not. Who cannot follow the others makes place for a new worker."""
        refused = await self._take(order)
        if refused and "swap" in order:
            logger.error("worker %d cannot serve what the others serve: %s", os.getpid(), refused)
            self.drain(signal.SIGTERM)
        return refused

    async def _take(self, order: dict[str, Any]) -> str | None:
        """Load a version in a thread, and serve it where the order is to swap; return why not."""
        model = Model(**(order.get("prepare") or order["swap"]))
        runtime = self._backend.served.warm(model) or self._prepared.get(model)
        try:
            if runtime is None:
                runtime = await asyncio.to_thread(_load_again, model, self._backend)
        except ServingError as error:
            return str(error)
        except Exception:
            logger.exception("a version cannot be loaded")
            return "the version cannot be loaded; the worker's log has the reason"
        for other in self._prepared.values():
            if other is not runtime:
                other.close()  # it was prepared, and never swapped in
        self._prepared = {model: runtime} if "prepare" in order else {}
        if "swap" in order:
            self._backend.served.swap(runtime)
            self._backend.work.trim_soon()  # of a version that was let go
        return None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain both doors at once; the listening socket stays open to the end where no other has it."""
        open_to_the_end: list[Any] = []
        if self._admission.draining:
            open_to_the_end, self.servers, sockets = self.servers, [], None
        await asyncio.gather(super().shutdown(sockets), *([self._grpc.stop()] if self._grpc else []))
        for server in open_to_the_end:
            server.close()

    async def _leave(self) -> None:
        """Take requests as before, say that others should be asked, and close each connection after its answer.

        Who keeps a connection to this server alone would else not hear of it before its requests are refused.
        """
        self._backend.draining = self._admission.leaving = True
        if self._grpc:
            await self._grpc.leave()

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 - uvicorn's
        """Drain; where the server is to wait before, leave it to the parent, which is signalled too."""
        delay = self._backend.settings.drain_delay
        if delay:
            self._loop.call_soon_threadsafe(self._loop.call_later, delay + SPARE_SECONDS, self.drain, sig)
        else:
            self.drain(sig)

    def drain(self, sig: int) -> None:
        """Drain, however often it is told."""
        self._backend.draining = self.should_exit = True
        self._admission.draining = self._admission.draining or sig == signal.SIGINT


def _load_again(model: Model, backend: Backend) -> Runtime:
    """Load a version, and free what that leaves in cycles: the collector comes by once in 500 versions, 2 MB later."""
    try:
        runtime = load(model, backend.settings)
        backend.prepare(runtime)
        return runtime
    finally:
        gc.collect(0)


async def _beat(writer: asyncio.StreamWriter, seconds: float) -> None:
    """Give a sign of life for as long as the loop runs."""
    while True:
        writer.write(b'{"beat": true}\n')
        await asyncio.sleep(seconds)
