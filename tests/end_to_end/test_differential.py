"""The same requests to a real `mlflow models serve` process and to this server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def ask(port, body, kind="application/json"):
    """Return status and parsed body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def free_port():
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Ports of stock MLflow's scoring server and of ours, on one model; and its golden rows."""
    from benchmarks.models import build

    version = build(
        tmp_path_factory.mktemp("differential"), sample="flights", target="arr_delay", family="ridge"
    )
    stock, ours = free_port(), free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "--log-level", "error", "--port", str(stock)]
    commands = [
        [*uvicorn, "mlflow.pyfunc.scoring_server.app:app"],
        [sys.executable, "-m", "serving", "--model", str(version), "--port", str(ours)],
    ]
    quiet = {"__pyfunc_model_path__": str(version), "MLFLOW_DISABLE_TELEMETRY": "true"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ | quiet, **streams) for command in commands
    ]
    try:
        for port in (stock, ours):
            wait_for(port)
        rows = [
            case["row"] for case in json.loads((version / "scorer" / "scorer.json").read_text())["golden"]
        ]
        yield stock, ours, rows
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(20)


def wait_for(port):
    """Return once /ping answers."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("no server")


def generated(rows, seed):
    """Return rows mixed from the golden ones, with gaps, unseen categories and large numbers."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(int(generator.integers(1, 6))):
        row = {
            name: rows[generator.integers(len(rows))][name]
            for name in generator.permutation(list(rows[0])).tolist()
        }
        for name, value in row.items():
            draw = generator.random()
            if draw < 0.08:
                row[name] = None
            elif draw < 0.16 and isinstance(value, float):
                row[name] = float(generator.normal(0, 1e4))
            elif draw < 0.22 and name == "carrier":
                row[name] = "unheard of"
        made.append(row)
    return made


@pytest.mark.parametrize("seed", range(3))
def test_what_mlflow_computes_rightly_we_compute_equally(both, seed):
    """Generated rows in four JSON shapes and CSV: equal statuses, equal numbers."""
    stock, ours, rows = both
    for number in range(40):
        made = generated(rows, 1000 * seed + number)
        names = list(made[0])
        lists = [[row[name] for name in names] for row in made]
        bodies = [
            {"dataframe_records": made},
            {"dataframe_split": {"columns": names, "data": lists}},
            {"inputs": {name: [row[name] for row in made] for name in names}},
            {"instances": made},
        ]
        for body in bodies:
            sent = json.dumps(body).encode()
            left, right = ask(stock, sent), ask(ours, sent)
            if ("inputs" in body or "instances" in body) and any(row["date"] is None for row in made):
                assert right[0] == 200  # MLflow may read the text "None" here: a row of docs/differences.md
                continue
            assert left[0] == right[0], (body, left, right)
            np.testing.assert_allclose(right[1]["predictions"], left[1]["predictions"], rtol=1e-9, atol=1e-9)
        text = "\n".join(
            [",".join(names), *(",".join("" if v is None else str(v) for v in row) for row in lists)]
        )
        left, right = ask(stock, text.encode(), "text/csv"), ask(ours, text.encode(), "text/csv")
        assert left[0] == right[0], (text, left, right)
        np.testing.assert_allclose(right[1]["predictions"], left[1]["predictions"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("column", "value"), [("distance", "1400"), ("distance", True), ("carrier", 5), ("distance", 2**53 + 1)]
)
def test_the_deliberate_differences_are_differences(both, column, value):
    """Each is a row of docs/differences.md; once MLflow refuses it too, the row can go."""
    stock, ours, rows = both
    body = json.dumps({"dataframe_records": [{**rows[0], column: value}]}).encode()
    assert (ask(stock, body)[0], ask(ours, body)[0]) == (200, 400)
