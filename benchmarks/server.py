"""Requests and rows a second: this server beside stock MLflow, Flask, FastAPI and the floor.

    python -m benchmarks.server [--seconds 4] [--only ours,floor]

Each server runs alone with one worker, on loopback, loaded by wrk. Figures are of one machine
in one run: the ratios carry over, the absolute numbers do not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.sizes import sized
from serving.running import await_answer, free_port, started

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

FLOOR = """
BODY = b'{"predictions":[1.2345678]}'
HEAD = {"type": "http.response.start", "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"27")]}
async def app(scope, receive, send):
    await receive()
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})
"""
FLASK = """
import joblib, os, pandas as pd
from flask import Flask, request
model, app = joblib.load(os.environ["JOBLIB"]), Flask(__name__)
@app.post("/invocations")
def predict():
    split = request.get_json()["dataframe_split"]
    return {"predictions": model.predict(pd.DataFrame(split["data"], columns=split["columns"])).tolist()}
@app.get("/ping")
def ping(): return "ok"
"""
FASTAPI = """
import joblib, os, pandas as pd
from fastapi import FastAPI
model, app = joblib.load(os.environ["JOBLIB"]), FastAPI()
@app.post("/invocations")
def predict(body: dict):
    split = body["dataframe_split"]
    return {"predictions": model.predict(pd.DataFrame(split["data"], columns=split["columns"])).tolist()}
@app.get("/ping")
def ping(): return "ok"
"""
UVICORN = [
    PYTHON,
    "-m",
    "uvicorn",
    "--no-access-log",
    "--log-level",
    "error",
    "--loop",
    "uvloop",
    "--http",
    "httptools",
]
FAST = ["--no-server-header", "--no-date-header"]


def commands(folder: Path, port: int) -> dict[str, list[str]]:
    """Return how each server is started."""
    stock = ["mlflow.pyfunc.scoring_server.app:app", "--host", "127.0.0.1", "--port", str(port)]
    at = ["--host", "127.0.0.1", "--port", str(port)]
    return {
        "stock": [PYTHON, "-m", "uvicorn", "--loop", "asyncio", "--http", "h11", *stock],
        "stock, tuned": [*UVICORN, *stock],
        "flask": [PYTHON, "-m", "gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "flask_app:app"],
        "fastapi": [*UVICORN, "fastapi_app:app", *at],
        "floor": [*UVICORN, *FAST, "floor_app:app", *at],
        "ours": [PYTHON, "-m", "serving", "--model", str(folder / "version"), "--port", str(port)],
    }


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Start a server alone, wait for its first answer; yield it and the seconds that took."""
    began = time.perf_counter()
    model = {"__pyfunc_model_path__": str(folder / "version"), "JOBLIB": str(folder / "model.joblib")}
    opened = {
        "env": ENVIRONMENT | model,
        "cwd": folder,
        "stdout": -3,
        "stderr": -3,
        "start_new_session": True,
    }
    with started(command, **opened) as process:
        await_answer(_request(port, (folder / "one.json").read_bytes()), process)
        yield process, time.perf_counter() - began


def _request(port: int, body: bytes, kind: str = "application/json") -> urllib.request.Request:
    return urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": kind})


def post(port: int, body: bytes, kind: str = "application/json") -> bytes:
    """Send one request."""
    with urllib.request.urlopen(_request(port, body, kind), timeout=60) as answer:
        return answer.read()


def wrk(
    port: int, folder: Path, body: str, *, connections: int, seconds: int, token: str = ""
) -> tuple[float, float]:
    """Return requests a second and the median in milliseconds; with a token where one is given."""
    script = folder / "post.lua"
    script.write_text(
        f'local f = io.open("{folder / body}")\nwrk.body = f:read("*a")\nwrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        + (f'wrk.headers["Authorization"] = "Bearer {token}"\n' if token else "")
    )
    url = f"http://127.0.0.1:{port}/invocations"
    line = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "--timeout",
        "20s",
        "-s",
        str(script),
        url,
    ]
    if (os.cpu_count() or 1) > 1:
        line = ["taskset", "-c", "1", *line]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"errors under load:\n{text}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def worker_memory(process: subprocess.Popen[bytes]) -> float:
    """Return the resident megabytes of the largest process in the server's group."""
    listed = subprocess.run(["ps", "-eo", "pgid,rss"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()[1:]]
    return max(int(rss) for group, rss in rows if int(group) == process.pid) / 1024


def measure(name: str, folder: Path, seconds: int) -> dict[str, float]:
    """Return one server's figures for one model."""
    port = free_port()
    with running(commands(folder, port)[name], port, folder) as (process, start):
        result = {"start s": start, "MB": worker_memory(process)}
        wrk(port, folder, "one.json", connections=4, seconds=1)
        result["1 conn p50 ms"] = wrk(port, folder, "one.json", connections=1, seconds=seconds)[1]
        result["32 conn /s"] = wrk(port, folder, "one.json", connections=32, seconds=seconds)[0]
        if name != "floor":
            result["1000 rows: rows/s"] = (
                1000 * wrk(port, folder, "thousand.json", connections=2, seconds=seconds)[0]
            )
        if name == "ours":
            result |= columnar(port, folder)
            result["MB after Arrow"] = worker_memory(process)
        return result


def columnar(port: int, folder: Path) -> dict[str, float]:
    """Return rows a second of 100,000 rows in one body, the best of five."""
    kinds = {"parquet": "application/vnd.apache.parquet", "arrow": "application/vnd.apache.arrow.stream"}
    result = {}
    for ending, kind in kinds.items():
        body, times = (folder / f"many.{ending}").read_bytes(), []
        for _ in range(5):
            began = time.perf_counter()
            post(port, body, kind)
            times.append(time.perf_counter() - began)
        result[f"{ending} rows/s"] = 100_000 / min(times)
    return result


def prepare(folder: Path, sample: str, target: str, family: str) -> None:
    """Fit the model and write the bodies."""
    sys.path.insert(0, str(ROOT))
    import pandas as pd
    import pyarrow as pa

    from benchmarks.models import build

    features = ["month", "weekday", "hour", "dep_delay", "distance", "carrier", "origin", "dest"]
    folder.mkdir()
    build(
        folder,
        sample=sample,
        target=target,
        family=family,
        features=features if sample == "flights" else None,
    )
    split = json.loads((folder / "rows.json").read_text())["dataframe_split"]
    for name, rows in (("one.json", 1), ("thousand.json", 1000)):
        data = (split["data"] * 1000)[:rows]
        (folder / name).write_text(
            json.dumps({"dataframe_split": {"columns": split["columns"], "data": data}})
        )
    frame = pd.read_parquet(folder / "rows.parquet")
    frame = pd.concat([frame] * (100_000 // len(frame) + 1), ignore_index=True).head(100_000)
    frame.to_parquet(folder / "many.parquet", index=False)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(str(folder / "many.arrow"), table.schema) as stream:
        stream.write_table(table)
    for name, source in (("floor", FLOOR), ("flask", FLASK), ("fastapi", FASTAPI)):
        (folder / f"{name}_app.py").write_text(source)


def main() -> None:
    """Measure all servers on all models and print a table for each."""
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    line.add_argument("--seconds", type=int, default=sized(4, tiny=1))
    line.add_argument("--only", default="", help="names of servers, comma separated")
    line.add_argument("--models", default=sized("ridge,boosting,line", tiny="line"))
    given = line.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch:
        for model in given.models.split(","):
            folder = Path(scratch, model)
            sample, target = ("line", "y") if model == "line" else ("flights", "arr_delay")
            prepare(folder, sample, target, "boosting" if model == "boosting" else "ridge")
            print(f"\n{model}")
            for name in commands(folder, 0):
                if not given.only or name in given.only.split(","):
                    figures = measure(name, folder, given.seconds)
                    print(
                        f"  {name:14}",
                        "  ".join(f"{key} {value:,.2f}" for key, value in figures.items()),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
