"""A model that does not compile, behind the same front: requests go to processes that run it with MLflow.

Requests that come while all processes are busy wait, and go together in the next batch; where none
waits, a request goes at once. A process that dies or takes too long is ended and replaced; what it had
in work is answered 503 or 504. The front itself imports no MLflow: `pyfunc_process`, beside this module, does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import orjson

from serving import openapi, page
from serving.errors import Busy, ModelError, RequestError, TooSlow
from serving.openapi import of_signature
from serving.protocols import Call, translation
from serving.runtimes.background import INLINE_BYTES, Background
from serving.runtimes.joining import Closed, Queue, WaitingRequest, settle
from serving.runtimes.model_processes.frames import LENGTH, frame, read_frame
from serving.runtimes.runtime import Description, Scored
from serving.settings import Limits, Model

LOAD_SECONDS = 300.0
"""How long a model may take to load; TensorFlow alone takes ten seconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0

logger = logging.getLogger(__name__)

A = TypeVar("A")


class ModelRefused(RequestError):
    """The model, or its signature, does not take a request; the status is the process's."""

    status: int


@dataclass
class _ModelProcess:
    """One process that runs the model."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    described: dict[str, Any]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.line.close()


class Reply(NamedTuple):
    """What the process said to one request: an HTTP status, how many rows, and a JSON body."""

    status: int
    rows: int
    body: bytes


class _Failure(NamedTuple):
    """Why there is no reply. As an exception in a future, which asyncio.wait_for makes one too, it would stand in a
    cycle with its own traceback, and keep the requests' bodies until the collector comes by, which is seldom.
    """

    kind: type[RequestError]
    text: str


def start(model: Model, limits: Limits, *, joins: bool) -> _ModelProcess:
    """Start a process and wait until it has loaded the model; raises ModelError."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.runtimes.model_processes.pyfunc_process", str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a model prints is a log, and nobody may be reading our own output
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    ours.settimeout(LOAD_SECONDS)
    try:
        ours.sendall(frame({"folder": model.folder, "rows": limits.rows, "joins": joins}))
        with ours.makefile("rb") as stream:
            answer = read_frame(stream)
    except OSError:
        answer = None
    said: dict[str, Any] = (
        answer[0] if answer else {"failed": "its process ended or was too slow; the log has the reason"}
    )
    if "failed" in said:
        process.kill()
        process.wait()
        ours.close()
        raise ModelError(f"the model cannot be loaded: {said['failed']}")
    ours.settimeout(None)
    return _ModelProcess(process, ours, said["ready"])


class PyfuncRuntime:
    """One loaded version, as the front sees it."""

    def __init__(self, model: Model, limits: Limits, *, processes: int, joins: bool) -> None:
        self.model = model
        self._limits, self._joins = limits, joins
        self._first = [start(model, limits, joins=joins) for _ in range(processes)]
        self.signature: dict[str, Any] = self._first[0].described
        self.description = describe(model, self.signature)
        self._queue: Queue[Reply | _Failure] = Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._alive = processes

    async def predict(self, call: Call[A], background: Background) -> Scored[A]:
        """Have MLflow's process answer a call; raises RequestError."""
        protocol, read = call.protocol, partial(call.protocol.to_mlflow, call, self.signature["inputs"])
        request, form = await background.sized(read, size=call.size, held=call.held)
        if call.held and call.size > INLINE_BYTES:
            # It waits for a process, and is written to it.
            call.held.set(max(call.kept, 2 * len(request.body)))
        reply = await self.ask(request.body, request.kind)
        write = partial(protocol.from_mlflow, reply.body, form, call)
        return Scored(await background.sized(write, size=len(reply.body)), reply.rows)

    async def ask(self, body: bytes, kind: str) -> Reply:
        """Return what the process says to one of MLflow's requests; raises RequestError."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._serve(each)) for each in self._first]
        if not self._alive or self._queue.closing:
            raise Busy("the model's process is being replaced: try again")
        promised = self._queue.put(kind, body)
        try:
            async with asyncio.timeout(self._limits.work_seconds):
                reply = await promised
        except TimeoutError as error:
            raise TooSlow("the model took too long: send fewer rows, or try again") from error
        if isinstance(reply, _Failure):
            raise reply.kind(reply.text)
        if reply.status != 200:
            said = orjson.loads(reply.body).get("message", "the model failed")
            raise ModelRefused(str(said), status=reply.status)
        return reply

    def close(self) -> None:
        """End the processes once what waits is answered."""
        self._queue.close()
        if not self._tasks:
            for each in self._first:
                each.end()

    async def _serve(self, child: _ModelProcess) -> None:
        """Give one process batches for as long as there are any, and replace it when it fails."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._feed(child)
            except Closed:
                self._alive -= 1
                await asyncio.to_thread(child.end)
                return
            except asyncio.CancelledError:
                child.end()
                raise
            except Exception:
                self._alive -= 1
                logger.exception("the model's process %d failed; another is started", child.process.pid)
                await asyncio.to_thread(child.end)
            pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            child = await self._replacement(pause)
            self._alive += 1

    async def _replacement(self, pause: float) -> _ModelProcess:
        while True:
            await asyncio.sleep(pause)
            try:
                return await asyncio.to_thread(start, self.model, self._limits, joins=self._joins)
            except (ModelError, OSError) as error:
                logger.error("%s", error)  # noqa: TRY400 - the text says it all
                self._queue.settle_all(_Failure(Busy, "the model cannot be loaded again: try later"))
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _feed(self, child: _ModelProcess) -> None:
        """Send batches and hand out their answers; raises where the process dies or hangs."""
        reader, writer = await asyncio.open_connection(sock=child.line.dup())
        try:
            while True:
                batch = await self._queue.batch()
                try:
                    async with asyncio.timeout(self._limits.work_seconds):
                        answers = await _exchange(reader, writer, batch)
                except TimeoutError:
                    reason = "the model took too long and was stopped: send fewer rows at once"
                    settle(batch, _Failure(TooSlow, reason))
                    raise
                except (OSError, EOFError):
                    settle(batch, _Failure(Busy, "the model's process ended while it scored this: try again"))
                    raise
                for waiting, answer in zip(batch, answers, strict=True):
                    if not waiting.promised.done():
                        waiting.promised.set_result(answer)
        finally:
            writer.close()


def describe(model: Model, signature: Mapping[str, Any]) -> Description:
    """Return what is said of a version, as far as its signature tells."""
    name, label = model.public_name, model.version or "0"
    servers = {"servers": [{"url": model.prefix}]} if model.prefix else {}
    document = openapi.document(of_signature(signature), name=name, version=label) | servers
    metadata = {"name": name, "versions": [label], "platform": "mlflow_pyfunc"} | {
        side: [translation.describe(each) for each in signature[side]] for side in ("inputs", "outputs")
    }
    return Description(
        name=name,
        label=label,
        digest="",
        mlflow=str(signature["mlflow"]),
        metadata=metadata,
        openapi=orjson.dumps(document | {"x-mlflow-signature": signature}),
        form=partial(page.of_signature, signature),
    )


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    batch: Sequence[WaitingRequest[Reply | _Failure]],
) -> list[Reply]:
    writer.write(frame({"kinds": [each.kind for each in batch]}, [each.body for each in batch]))
    await writer.drain()
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    head = json.loads(await reader.readexactly(length))
    return [
        Reply(status, rows, await reader.readexactly(size))
        for status, rows, size in zip(head["statuses"], head["rows"], head["sizes"], strict=True)
    ]
