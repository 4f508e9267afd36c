"""Start a real `mlflow models serve`, score one row over HTTP, print the answer, stop the server.

What `make run` ends with: the proof that stock MLflow answers for what was registered. It uses
nothing of ours that scores: a subprocess and JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.figures import figure
from data.redaction import addresses_around, redact
from serving.errors import ServerFailed
from serving.running import await_answer, free_port, started

PATIENCE = 240.0
"""Seconds that the server has to start; five are usual, twenty where an environment is made first."""


def main(arguments: list[str] | None = None) -> int:
    """Score one row and print it with its answer; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serving.tryout", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", required=True, help="such as models:/flights@champion")
    parser.add_argument("--data", type=Path, required=True, help="a CSV file to take the row from")
    parser.add_argument("--row", type=int, default=1, help="which row, from 1")
    parser.add_argument("--target", required=True, help="the column that the model predicts")
    parser.add_argument("--exclude", default="", help="columns not to send, by comma")
    parser.add_argument("--unit", default="", help="the target's unit")
    asked = parser.parse_args(arguments)
    row = read_row(asked.data, asked.row)
    actual = row.pop(asked.target)
    for column in filter(None, asked.exclude.split(",")):
        row.pop(column)
    try:
        with stock_server(asked.model) as address:
            answer = post(f"{address}/invocations", {"dataframe_records": [row]})
    except ServerFailed as error:
        print(f"slipway: {redact(str(error), *addresses_around())}", file=sys.stderr)
        return 1
    print(f"  serve     mlflow models serve -m {asked.model} --env-manager local")
    print(f"  request   POST /invocations {json.dumps({'dataframe_records': [row]})}")
    print(f"  answer    {json.dumps(answer)}")
    said = figure(answer["predictions"][0], asked.unit)
    was = figure(actual, asked.unit) if isinstance(actual, float) else actual or "missing"
    print(f"  meaning   {asked.target} {said} (it was {was})")
    return 0


@contextmanager
def stock_server(model: str, *, env_manager: str = "local") -> Iterator[str]:
    """Run `mlflow models serve` on a free loopback port and yield its address; raises ServerFailed.

    With `env_manager="uv"` MLflow first makes an environment of the model's own requirements.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", env_manager]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile("w+") as output:
        streams = {"stdout": output, "stderr": subprocess.STDOUT}
        with started(command, env=_environment(), start_new_session=True, **streams) as server:
            try:
                await_answer(f"{address}/ping", server, PATIENCE)
            except ServerFailed as error:
                output.seek(0)
                raise ServerFailed(what="mlflow models serve", said=output.read()[-2000:].strip()) from error
            yield address


def _environment() -> dict[str, str]:
    # Stock MLflow starts `uvicorn` through a shell: it must be found beside our own interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_UV_AUTO_DETECT": "false"}
    return {**quiet, **os.environ, "PATH": path}


def read_row(path: Path, number: int) -> dict[str, Any]:
    """Return one row of a CSV file, numbers as numbers and an empty field as null."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for index, row in enumerate(csv.DictReader(file), start=1):
            if index == number:
                return {name: _value(text) for name, text in row.items()}
    raise SystemExit(f"slipway: {path} has no row {number}")


def _value(text: str) -> Any:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def post(url: str, payload: Any) -> Any:
    """Send JSON and return the JSON answer."""
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        url, json.dumps(payload).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
