"""The Open Inference Protocol beside our own doors: REST by wrk, gRPC beside an echo server on the same grpcio.

One worker, ridge over the flights' 9 mixed columns and over the 5 of them that are numbers, side by side in
one run. Targets: V2's one row at least 0.8 of /invocations; gRPC's one row at least 0.6 of an echo; 1,000 raw
rows at least 3 times the rows a second of V2's JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.models import build
from benchmarks.server import ROOT, free_port
from serving.grpc_messages import message

SECONDS, CALLERS = 4, 32
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


def main() -> None:
    """Print the rates and their ratios."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = build(Path(scratch), sample="flights", target="arr_delay", family="ridge")
        Path(scratch, "numbers").mkdir()
        numbers = build(
            Path(scratch, "numbers"), sample="flights", target="arr_delay", family="ridge", features=NUMBERS
        )
        document = json.loads((folder / "scorer" / "scorer.json").read_text())
        rows = [case["row"] for case in document["golden"] if None not in case["row"].values()]
        port, grpc_port, echo_port = free_port(), free_port(), free_port()
        words = ["--model", f"flights={folder}", "--model", f"numbers={numbers}"]
        words += ["--port", str(port), "--grpc-port", str(grpc_port)]
        ours = subprocess.Popen(
            [sys.executable, "-m", "serving", *words], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        echo = subprocess.Popen([sys.executable, "-c", ECHO, str(echo_port)])
        try:
            time.sleep(4)
            thousand = (rows * 1000)[:1000]
            invocations = rate(port, "/models/flights/invocations", {"dataframe_records": rows[:1]}, scratch)
            v2 = rate(port, "/v2/models/flights/infer", {"inputs": tensors(rows[:1])}, scratch)
            many = rate(port, "/v2/models/flights/infer", {"inputs": tensors(thousand)}, scratch, callers=2)
            one = raw(rows[:1])
            echoed = asyncio.run(calls(echo_port, one, CALLERS))
            called = asyncio.run(calls(grpc_port, one, CALLERS))
            packed = asyncio.run(calls(grpc_port, raw(thousand), 2))
            short = [{name: row[name] for name in NUMBERS} for row in thousand]
            plain = rate(port, "/v2/models/numbers/infer", {"inputs": tensors(short)}, scratch, callers=2)
            plain_packed = asyncio.run(calls(grpc_port, raw(short, model="numbers"), 2))
        finally:
            for process in (ours, echo):
                process.send_signal(signal.SIGTERM)
                process.wait()
    show("one row, V2 over /invocations", v2, invocations, 0.8)
    show("one row, gRPC over an echo", called, echoed, 0.6)
    show("1,000 mixed rows, raw gRPC over V2's JSON", packed * 1000, many * 1000, 3.0)
    show("1,000 rows of numbers, the same", plain_packed * 1000, plain * 1000, 3.0)


def show(what: str, ours: float, other: float, target: float) -> None:
    """Print one ratio."""
    word = "met" if ours / other >= target else "missed"
    print(
        f"{what:<43}{ours:>12,.0f} /s {other:>12,.0f} /s  {ours / other:.2f}, target {target}: {word}",
        flush=True,
    )


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


def raw(rows: list[dict[str, Any]], *, model: str = "flights") -> bytes:
    """The same as a gRPC request with raw contents."""
    request = message("ModelInferRequest")(model_name=model)
    for tensor in tensors(rows):
        request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        if tensor["datatype"] == "BYTES":
            cells = [text.encode() for text in tensor["data"]]
            request.raw_input_contents.append(
                b"".join(len(cell).to_bytes(4, "little") + cell for cell in cells)
            )
        else:
            request.raw_input_contents.append(np.array(tensor["data"], dtype="<f8").tobytes())
    content: bytes = request.SerializeToString()
    return content


def rate(port: int, path: str, body: Any, scratch: str, callers: int = CALLERS) -> float:
    """Return requests a second by wrk."""
    Path(scratch, "body.json").write_text(json.dumps(body))
    script = Path(scratch, "post.lua")
    script.write_text(
        f'wrk.body = io.open("{scratch}/body.json"):read("*a")\nwrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    line = [
        "wrk",
        "-t1",
        f"-c{callers}",
        f"-d{SECONDS}s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}{path}",
    ]
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
