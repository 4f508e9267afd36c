"""A model that does not compile, behind the same front: requests go to processes that run it with MLflow.

Requests that come while all processes are busy wait, and go together in the next batch; where none
waits, a request goes at once. A process that dies or takes too long is ended and replaced; what it had
in work is answered 503 or 504. The front itself imports no MLflow: see `serving.runtimes.pyfunc_process`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from serving import openapi
from serving.errors import Busy, ModelError, RequestError, TooSlow
from serving.openapi import of_signature
from serving.protocols import translation
from serving.runtimes.frames import LENGTH, frame, read_frame
from serving.settings import Limits, Model

LOAD_SECONDS = 300.0
"""How long a model may take to load; TensorFlow alone takes ten seconds."""

MOST_JOINED = 64
MOST_JOINED_BYTES = 8 * 2**20
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0

logger = logging.getLogger("serving")


class ModelRefused(RequestError):
    """The model, or its signature, does not take a request; the status is the process's."""

    status: int


@dataclass
class _Process:
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


@dataclass
class _Waiting:
    """A request that is not answered yet."""

    kind: str
    body: bytes
    promised: asyncio.Future[Reply | _Failure] = field(repr=False)


class _Closed(Exception):
    """Nothing waits, and nothing will."""


def start(model: Model, limits: Limits, *, joins: bool) -> _Process:
    """Start a process and wait until it has loaded the model; raises ModelError."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.runtimes.pyfunc_process", str(theirs.fileno())],
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
    return _Process(process, ours, said["ready"])


class Remote:
    """One loaded version, as the front sees it."""

    def __init__(self, model: Model, limits: Limits, *, processes: int, joins: bool) -> None:
        self.model = model
        self.label = model.version or "0"
        self.headers = ((b"x-model-version", self.label.encode()),)
        self._limits, self._joins = limits, joins
        self._first = [start(model, limits, joins=joins) for _ in range(processes)]
        self.signature: dict[str, Any] = self._first[0].described
        self.mlflow_version = str(self.signature["mlflow"])
        self._waiting: deque[_Waiting] = deque()
        self._came = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._alive = processes
        self._closing = False

    @property
    def facts(self) -> tuple[str, str, str]:
        """Name, version and digest, for the metrics."""
        return self.model.name, self.model.version, ""

    @property
    def metadata(self) -> dict[str, Any]:
        """What the Open Inference Protocol says of it, as far as the signature tells."""
        described = {"name": self.model.public_name, "versions": [self.label], "platform": "mlflow_pyfunc"}
        return described | {
            side: [translation.describe(each) for each in self.signature[side]]
            for side in ("inputs", "outputs")
        }

    @property
    def described(self) -> bytes:
        """The OpenAPI document, as far as the signature tells."""
        forms = of_signature(self.signature)
        document = openapi.document(forms, name=self.model.public_name, version=self.label)
        servers = {"servers": [{"url": self.model.prefix}]} if self.model.prefix else {}
        return orjson.dumps(document | servers | {"x-mlflow-signature": self.signature})

    async def ask(self, body: bytes, kind: str) -> Reply:
        """Return what the process says to one of MLflow's requests; raises RequestError."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._serve(each)) for each in self._first]
        if not self._alive or self._closing:
            raise Busy("the model's process is being replaced: try again")
        waiting = _Waiting(kind, body, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._came.set()
        try:
            async with asyncio.timeout(self._limits.work_seconds):
                reply = await waiting.promised
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
        self._closing = True
        self._came.set()
        if not self._tasks:
            for each in self._first:
                each.end()

    async def _serve(self, place: _Process) -> None:
        """Give one process batches for as long as there are any, and replace it when it fails."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._feed(place)
            except _Closed:
                self._alive -= 1
                await asyncio.to_thread(place.end)
                return
            except asyncio.CancelledError:
                place.end()
                raise
            except Exception:
                self._alive -= 1
                logger.exception("the model's process %d failed; another is started", place.process.pid)
                await asyncio.to_thread(place.end)
            pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            place = await self._replacement(pause)
            self._alive += 1

    async def _replacement(self, pause: float) -> _Process:
        while True:
            await asyncio.sleep(pause)
            try:
                return await asyncio.to_thread(start, self.model, self._limits, joins=self._joins)
            except (ModelError, OSError) as error:
                logger.error("%s", error)  # noqa: TRY400 - the text says it all
                self._fail_waiting(_Failure(Busy, "the model cannot be loaded again: try later"))
                pause = min(pause * 2, LONGEST_PAUSE)

    def _fail_waiting(self, failure: _Failure) -> None:
        while self._waiting:
            _settle([self._waiting.popleft()], failure)

    async def _feed(self, place: _Process) -> None:
        """Send batches and hand out their answers; raises where the process dies or hangs."""
        reader, writer = await asyncio.open_connection(sock=place.line.dup())
        try:
            while True:
                batch = await self._batch()
                try:
                    async with asyncio.timeout(self._limits.work_seconds):
                        answers = await _exchange(reader, writer, batch)
                except TimeoutError:
                    reason = "the model took too long and was stopped: send fewer rows at once"
                    _settle(batch, _Failure(TooSlow, reason))
                    raise
                except (OSError, EOFError):
                    _settle(
                        batch, _Failure(Busy, "the model's process ended while it scored this: try again")
                    )
                    raise
                for waiting, answer in zip(batch, answers, strict=True):
                    if not waiting.promised.done():
                        waiting.promised.set_result(answer)
        finally:
            writer.close()

    async def _batch(self) -> list[_Waiting]:
        """Return what waits, as much as goes together; waits only where nothing does. Raises _Closed."""
        batch: list[_Waiting] = []
        size = 0
        while not batch:
            while self._waiting and len(batch) < MOST_JOINED and size <= MOST_JOINED_BYTES:
                waiting = self._waiting.popleft()
                if not waiting.promised.done():  # its client may have given up
                    batch.append(waiting)
                    size += len(waiting.body)
            if not batch:
                if self._closing:
                    raise _Closed
                self._came.clear()
                await self._came.wait()
        return batch


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, batch: Sequence[_Waiting]
) -> list[Reply]:
    writer.write(frame({"kinds": [each.kind for each in batch]}, [each.body for each in batch]))
    await writer.drain()
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    head = json.loads(await reader.readexactly(length))
    return [
        Reply(status, rows, await reader.readexactly(size))
        for status, rows, size in zip(head["statuses"], head["rows"], head["sizes"], strict=True)
    ]


def _settle(batch: Sequence[_Waiting], failure: _Failure) -> None:
    for waiting in batch:
        if not waiting.promised.done():
            waiting.promised.set_result(failure)
