"""The Open Inference Protocol beside our own doors: REST by wrk, gRPC beside an echo server on the same grpcio.

One worker, ridge over the flights' 9 mixed columns and over the 5 of them that are numbers; rows are the
sample's first. The servers share one core, the clients are free; doors take turns of a second, and the ratio
is the median of the turns'. Beside the rate stands the server's own processor time, which no client bends.
Targets: V2's one row at least 0.8 of /invocations; gRPC's one row at least 0.6 of an echo; 1,000 rows in raw
tensors at least 3 times the rows a second of the same rows in V2's JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
import psutil

from benchmarks.models import build
from benchmarks.server import ROOT
from benchmarks.sizes import sized
from serving.protocols.v2_messages.messages import message
from serving.running import await_port, free_port, served, started

SECONDS, TURNS, CALLERS = 1, sized(5, tiny=1), 32
NUMBERS = ["dep_delay", "distance", "hour", "month", "weekday"]
ECHO = """
import asyncio, sys, grpc
async def echo(request, context): return request
async def main():
    server = grpc.aio.server()
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Door:
    """One way to ask one server, and what its turns gave: requests a second, and the server's us for each."""

    rate: Callable[[], float]
    server: int
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def take_turn(self) -> None:
        """Measure for a second."""
        before = used(self.server)
        self.rates.append(self.rate())
        self.costs.append((used(self.server) - before) / (self.rates[-1] * SECONDS) * 1e6)


def used(process: int) -> float:
    """Return the processor seconds of a server and its workers."""
    parent = psutil.Process(process)
    return sum(sum(each.cpu_times()[:2]) for each in (parent, *parent.children(recursive=True)))


def main() -> None:
    """Print the rates and their ratios."""
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as scratch:
        mixed, numbers = Path(scratch, "mixed"), Path(scratch, "numbers")
        for folder, features in ((mixed, None), (numbers, NUMBERS)):
            folder.mkdir()
            build(folder, sample="flights", target="arr_delay", family="ridge", features=features)
        os.sched_setaffinity(0, {max(cores)})  # the servers inherit it
        grpc_port, echo_port = free_port(), free_port()
        words = ["--model", f"mixed={mixed / 'version'}", "--model", f"numbers={numbers / 'version'}"]
        with (
            served(*words, "--grpc-port", str(grpc_port), cwd=ROOT) as ours,
            started([sys.executable, "-c", ECHO, str(echo_port)]) as echo,
        ):
            os.sched_setaffinity(0, cores)
            await_port(echo_port)
            port = int(ours.address.rpartition(":")[2])
            doors = _doors(
                {"mixed": rows_of(mixed), "numbers": rows_of(numbers)},
                Servers(ours.process.pid, port, grpc_port, echo.pid, echo_port),
                scratch,
            )
            for _ in range(TURNS):
                for door in doors.values():
                    door.take_turn()
    show(doors)


@dataclass(frozen=True)
class Servers:
    """Process ids and ports."""

    ours: int
    port: int
    grpc_port: int
    echo: int
    echo_port: int


def _doors(models: dict[str, list[dict[str, Any]]], to: Servers, scratch: str) -> dict[str, Door]:
    def rest(path: str, body: Any, callers: int, head: int | None = None) -> Door:
        return Door(lambda: rate(f"http://127.0.0.1:{to.port}{path}", body, scratch, callers, head), to.ours)

    def over_grpc(port: int, server: int, body: bytes, callers: int) -> Door:
        return Door(lambda: asyncio.run(calls(port, body, callers)), server)

    one = models["mixed"][:1]
    doors = {
        "one row, /invocations": rest("/models/mixed/invocations", {"dataframe_records": one}, CALLERS),
        "one row, V2": rest("/v2/models/mixed/infer", {"inputs": tensors(one)}, CALLERS),
        "one row, echo": over_grpc(to.echo_port, to.echo, raw(one, model="mixed"), CALLERS),
        "one row, gRPC": over_grpc(to.grpc_port, to.ours, raw(one, model="mixed"), CALLERS),
    }
    for name, rows in models.items():
        split = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        path = f"/v2/models/{name}/infer"
        doors |= {
            f"{name}, /invocations": rest(f"/models/{name}/invocations", {"dataframe_split": split}, 2),
            f"{name}, JSON": rest(path, {"inputs": tensors(rows)}, 2),
            f"{name}, raw REST": rest(path, *binary(rows)),
            f"{name}, raw gRPC": over_grpc(to.grpc_port, to.ours, raw(rows, model=name), 2),
        }
    return doors


RATIOS = [
    ("one row, V2", "one row, /invocations", 0.8),
    ("one row, gRPC", "one row, echo", 0.6),
    *(
        (f"{name}, raw {way}", f"{name}, JSON", 3.0)
        for name in ("numbers", "mixed")
        for way in ("REST", "gRPC")
    ),
    *((f"{name}, raw REST", f"{name}, /invocations", None) for name in ("numbers", "mixed")),
]


def show(doors: dict[str, Door]) -> None:
    """Print the doors, then their ratios."""
    for name, door in doors.items():
        rows = 1 if name.startswith("one row") else 1000
        print(
            f"{name:<24}{median(door.rates) * rows:>12,.0f} rows/s {median(door.costs):>8,.0f} us a request"
        )
    for name, other, target in RATIOS:
        mine, theirs = doors[name], doors[other]
        rates = median(a / b for a, b in zip(mine.rates, theirs.rates, strict=True))
        costs = median(b / a for a, b in zip(mine.costs, theirs.costs, strict=True))
        word = "" if target is None else f", target {target}: {'met' if rates >= target else 'missed'}"
        print(f"{name} over {other}: {rates:.2f} (by processor time {costs:.2f}){word}")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the first 1,000 rows that a model was fitted on."""
    table = json.loads((folder / "rows.json").read_text())["dataframe_split"]
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One JSON tensor for each column."""
    return [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": "BYTES" if isinstance(rows[0][name], str) else "FP64",
            "data": [row[name] for row in rows],
        }
        for name in rows[0]
    ]


def contents(rows: list[dict[str, Any]]) -> list[bytes]:
    """The same in raw form."""
    return [
        b"".join(len(text).to_bytes(4, "little") + text.encode() for text in tensor["data"])
        if tensor["datatype"] == "BYTES"
        else np.array(tensor["data"], dtype="<f8").tobytes()
        for tensor in tensors(rows)
    ]


def raw(rows: list[dict[str, Any]], *, model: str) -> bytes:
    """A gRPC request with raw contents."""
    request = message("ModelInferRequest")(model_name=model, raw_input_contents=contents(rows))
    for tensor in tensors(rows):
        request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
    content: bytes = request.SerializeToString()
    return content


def binary(rows: list[dict[str, Any]]) -> tuple[bytes, int, int]:
    """A REST request with binary tensors, how many callers send it, and the length of its JSON."""
    cells = contents(rows)
    inputs = [
        {key: tensor[key] for key in ("name", "shape", "datatype")}
        | {"parameters": {"binary_data_size": len(each)}}
        for tensor, each in zip(tensors(rows), cells, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return b"".join([head, *cells]), 2, len(head)


def rate(url: str, body: Any, scratch: str, callers: int, head: int | None) -> float:
    """Return requests a second by wrk."""
    Path(scratch, "body").write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    headers = {"Content-Type": "application/octet-stream" if head else "application/json"}
    headers |= {"Inference-Header-Content-Length": head} if head else {}
    script = Path(scratch, "post.lua")
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = io.open("{scratch}/body", "rb"):read("*a")\n'
        + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items())
    )
    line = ["wrk", "-t1", f"-c{callers}", f"-d{SECONDS}s", "-s", str(script), url]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"errors under load:\n{text}")
    return float(text.split("Requests/sec:")[1].split()[0])


async def calls(port: int, body: bytes, callers: int) -> float:
    """Return calls a second of so many at once."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        await call(body)
        until, count = time.perf_counter() + SECONDS, 0

        async def one_after_another() -> None:
            nonlocal count
            while time.perf_counter() < until:
                await call(body)
                count += 1

        await asyncio.gather(*(one_after_another() for _ in range(callers)))
        return count / SECONDS


if __name__ == "__main__":
    main()
