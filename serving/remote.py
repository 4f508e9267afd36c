"""A model that does not compile, behind the same front: requests go to processes that run it with MLflow.

Requests that come while all processes are busy wait, and go together in the next batch; where none
waits, a request goes at once. A process that dies or takes too long is ended and replaced; what it had
in work is answered 503 or 504. The front itself imports no MLflow: see `serving.pyfunc_runner`.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from serving.errors import Busy, Malformed, ModelError, RequestError, TooSlow, WrongType
from serving.pyfunc_runner import CSV, LENGTH, PARQUET, frame, read_frame
from serving.requests import JSON, read_json
from serving.settings import Limits, Model
from serving.tensors import Tensor

LOAD_SECONDS = 300.0
"""How long a model may take to load; TensorFlow alone takes ten seconds."""

MOST_JOINED = 64
MOST_JOINED_BYTES = 8 * 2**20
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0

logger = logging.getLogger("serving")


class ModelRefused(RequestError):
    """The model, or its signature, does not take a request; the status is the process's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


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


@dataclass
class _Waiting:
    """A request that is not answered yet."""

    kind: str
    body: bytes
    promised: asyncio.Future[tuple[int, bytes]] = field(repr=False)


def start(model: Model, limits: Limits, *, joins: bool) -> _Process:
    """Start a process and wait until it has loaded the model; raises ModelError."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.pyfunc_runner", str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
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

    @property
    def facts(self) -> tuple[str, str, str]:
        """Name, version and digest, for the metrics."""
        return self.model.name, self.model.version, ""

    @property
    def metadata(self) -> dict[str, Any]:
        """What the Open Inference Protocol says of it, as far as the signature tells."""
        described = {"name": self.model.public_name, "versions": [self.label], "platform": "mlflow_pyfunc"}
        return described | {
            side: [_tensor_of(each) for each in self.signature[side]] for side in ("inputs", "outputs")
        }

    @property
    def described(self) -> bytes:
        """A short OpenAPI document."""
        path = {"post": {"requestBody": {"content": {JSON: {}}}, "responses": {"200": {"description": "OK"}}}}
        info = {"title": self.model.public_name, "version": self.label}
        document = {"openapi": "3.1.0", "info": info, "paths": {"/invocations": path, "/predict": path}}
        return orjson.dumps(document | {"x-mlflow-signature": self.signature})

    async def ask(self, body: bytes, kind: str) -> bytes:
        """Return the answer's JSON; raises RequestError."""
        if kind not in (JSON, CSV, PARQUET):
            raise WrongType(f"Content-Type must be one of {JSON}, {CSV}, {PARQUET}")
        if kind == JSON and type(read_json(body, self._limits)) is not dict:
            raise Malformed("the body must be an object")
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._serve(each)) for each in self._first]
        if not self._alive:
            raise Busy("the model's process ended and is being replaced: try again")
        waiting = _Waiting(kind, body, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._came.set()
        try:
            status, answer = await asyncio.wait_for(waiting.promised, self._limits.work_seconds)
        except TimeoutError as error:
            raise TooSlow("the model took too long: send fewer rows, or try again") from error
        if status != 200:
            raise ModelRefused(status, str(orjson.loads(answer).get("message", "the model failed")))
        return answer

    def close(self) -> None:
        """End the processes; what waits is refused."""
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            for each in self._first:
                each.end()

    async def _serve(self, place: _Process) -> None:
        """Give one process batches for as long as there are any, and replace it when it fails."""
        pause = FIRST_PAUSE
        while True:
            try:
                began = time.monotonic()
                await self._feed(place)
            except asyncio.CancelledError:
                place.end()
                raise
            except Exception:
                self._alive -= 1
                logger.exception("the model's process %d failed; another is started", place.process.pid)
                place.end()
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
                self._fail_waiting(Busy("the model cannot be loaded again: try later"))
                pause = min(pause * 2, LONGEST_PAUSE)

    def _fail_waiting(self, error: RequestError) -> None:
        while self._waiting:
            _settle([self._waiting.popleft()], error)

    async def _feed(self, place: _Process) -> None:
        """Send batches and hand out their answers; raises where the process dies or hangs."""
        reader, writer = await asyncio.open_connection(sock=place.line.dup())
        try:
            while True:
                batch = await self._batch()
                try:
                    answers = await asyncio.wait_for(
                        _exchange(reader, writer, batch), self._limits.work_seconds
                    )
                except TimeoutError:
                    _settle(
                        batch, TooSlow("the model took too long and was stopped: send fewer rows at once")
                    )
                    raise
                except (OSError, EOFError):
                    _settle(batch, Busy("the model's process ended while it scored this: try again"))
                    raise
                for waiting, answer in zip(batch, answers, strict=True):
                    if not waiting.promised.done():
                        waiting.promised.set_result(answer)
        finally:
            writer.close()

    async def _batch(self) -> list[_Waiting]:
        """Return what waits, as much as goes together; waits only where nothing does."""
        batch: list[_Waiting] = []
        size = 0
        while not batch:
            while self._waiting and len(batch) < MOST_JOINED and size <= MOST_JOINED_BYTES:
                waiting = self._waiting.popleft()
                if not waiting.promised.done():  # its client may have given up
                    batch.append(waiting)
                    size += len(waiting.body)
            if not batch:
                self._came.clear()
                await self._came.wait()
        return batch


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, batch: Sequence[_Waiting]
) -> list[tuple[int, bytes]]:
    writer.write(frame({"kinds": [each.kind for each in batch]}, [each.body for each in batch]))
    await writer.drain()
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    head = json.loads(await reader.readexactly(length))
    return [
        (status, await reader.readexactly(size))
        for status, size in zip(head["statuses"], head["sizes"], strict=True)
    ]


def _settle(batch: Sequence[_Waiting], error: RequestError) -> None:
    for waiting in batch:
        if not waiting.promised.done():
            waiting.promised.set_exception(error)


_DATATYPES = {
    "double": "FP64",
    "float": "FP32",
    "long": "INT64",
    "integer": "INT32",
    "boolean": "BOOL",
    "float64": "FP64",
    "float32": "FP32",
    "bool": "BOOL",
    **{
        name: name.upper()
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
}


def _tensor_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return V2's description of one input or output of a signature."""
    tensor = described.get("tensor-spec", {})
    kind = tensor.get("dtype") or str(described.get("type"))
    shape = tensor.get("shape", [-1])
    return {
        "name": described.get("name", "input"),
        "datatype": _DATATYPES.get(kind, "BYTES"),
        "shape": list(shape),
    }


def from_tensors(tensors: Sequence[Tensor], signature: Mapping[str, Any]) -> bytes:
    """Return an MLflow request that says the same: columns as a table, anything else as arrays."""
    lengths = {tensor.shape[0] if tensor.shape else 0 for tensor in tensors}
    if len(lengths) != 1 or len({tensor.name for tensor in tensors}) != len(tensors):
        raise Malformed("all tensors must have names of their own and the same number of rows")
    flat = all(
        len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1) for tensor in tensors
    )
    by_column = bool(signature["inputs"]) and "tensor-spec" not in signature["inputs"][0]
    if by_column and not flat and len(tensors) == 1:  # one packed tensor
        names = [each["name"] for each in signature["inputs"]]
        return orjson.dumps({"dataframe_split": {"columns": names, "data": _nested(tensors[0])}})
    if by_column or (flat and not signature["inputs"] and len(tensors) > 1):
        cells = [_listed(tensor.values) for tensor in tensors]
        rows = [list(row) for row in zip(*cells, strict=True)]
        return orjson.dumps(
            {"dataframe_split": {"columns": [tensor.name for tensor in tensors], "data": rows}}
        )
    named = bool(signature["inputs"]) and "name" in signature["inputs"][0]
    if not named and len(tensors) == 1:
        return orjson.dumps({"inputs": _nested(tensors[0])})
    return orjson.dumps({"inputs": {tensor.name: _nested(tensor) for tensor in tensors}})


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _nested(tensor: Tensor) -> Any:
    if tensor.datatype == "BYTES" or len(tensor.shape) == 1:
        return np.array(_listed(tensor.values), dtype=object).reshape(tensor.shape).tolist()
    return np.asarray(tensor.values).reshape(tensor.shape).tolist()


def to_tensors(answer: bytes) -> list[Tensor]:
    """Return the predictions as outputs: one for each column of a table, else one called `prediction`."""
    found = orjson.loads(answer)["predictions"]
    if type(found) is list and found and all(type(row) is dict for row in found):
        found = {name: [row.get(name) for row in found] for name in found[0]}
    named = found if type(found) is dict else {"prediction": found}
    return [_output(name, values) for name, values in named.items()]


def _output(name: str, values: Any) -> Tensor:
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        datatype = {"f": "FP64", "i": "INT64", "u": "UINT64", "b": "BOOL"}[array.dtype.kind]
        return Tensor(name, datatype, list(array.shape) or [1], array.reshape(-1))
    if array.dtype == object and all(value is None or type(value) is float for value in array.flat):
        return Tensor(name, "FP64", list(array.shape), array.astype(np.float64).reshape(-1))
    texts = [
        value if type(value) is str else json.dumps(value) for value in np.array(values, dtype=object).flat
    ]
    return Tensor(name, "BYTES", list(array.shape), texts)


def from_simple(body: bytes, kind: str, limits: Limits) -> tuple[bytes, bool]:
    """Return an MLflow request for `{"x": ...}`, and whether one value is to be answered."""
    request = read_json(body, limits) if kind == JSON else None
    if type(request) is not dict or set(request) != {"x"}:
        raise Malformed('the body must be an object with the key "x", in JSON')
    x = request["x"]
    if type(x) is dict and not any(type(values) is list for values in x.values()):
        return orjson.dumps({"dataframe_records": [x]}), True
    if type(x) is list and x and all(type(row) is dict for row in x):
        return orjson.dumps({"dataframe_records": x}), False
    single = type(x) not in (list, dict)
    return orjson.dumps({"inputs": [x] if single else x}), single


def to_simple(answer: bytes, *, single: bool) -> bytes:
    """Return `{"y": ...}`."""
    found = orjson.loads(answer)["predictions"]
    return orjson.dumps({"y": found[0] if single and type(found) is list and found else found})
