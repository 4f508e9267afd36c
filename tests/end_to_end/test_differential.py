"""The same requests to a real `mlflow models serve` process and to this server."""

import csv
import io
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.running import await_answer, free_port, served, started

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


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Ports of stock MLflow's scoring server and of ours, on one model; and its golden rows."""
    from benchmarks.models import build

    version = build(
        tmp_path_factory.mktemp("differential"), sample="flights", target="arr_delay", family="ridge"
    )
    port = free_port()
    stock = [sys.executable, "-m", "uvicorn", "--log-level", "error", "mlflow.pyfunc.scoring_server.app:app"]
    quiet = {"__pyfunc_model_path__": str(version), "MLFLOW_DISABLE_TELEMETRY": "true"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        started([*stock, "--port", str(port)], cwd=ROOT, env=os.environ | quiet, **streams) as process,
        served("--model", str(version), cwd=ROOT, stderr=subprocess.DEVNULL) as ours,
    ):
        await_answer(f"http://127.0.0.1:{port}/ping", process)
        rows = [
            case["row"] for case in json.loads((version / "scorer" / "scorer.json").read_text())["golden"]
        ]
        yield port, int(ours.address.rpartition(":")[2]), rows


NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53), st.floats(-1e15, 1e15), st.sampled_from([0.1, 1e-320, 1e300])
)
TEXTS = st.sampled_from(["unheard of", "", "ümläut", "UA ", "a'b", "NaN", "None", "null", "1"])
TEXT = {"date", "carrier", "origin", "dest", "extra"}
FORMATS = ("dataframe_records", "dataframe_split", "inputs", "instances", "csv", "parquet")


@st.composite
def requests(draw, rows):
    """Return a format and a table of golden cells, gaps, strange texts and numbers, and extra columns."""
    kind = draw(st.sampled_from(FORMATS))
    names = draw(st.permutations(sorted(rows[0])))
    count = draw(st.integers(1, 5))
    table = {name: [draw(cells(rows, name, kind)) for _ in range(count)] for name in names}
    if draw(st.booleans()):
        table["extra"] = ["x"] * count
    return kind, table


def cells(rows, name, kind):
    """Return cells of one column: mostly golden ones."""
    golden = st.sampled_from([row[name] for row in rows])
    if (
        name == "date"
    ):  # in some formats MLflow reads the text "None" for a null: a row of docs/differences.md
        return golden if kind in ("inputs", "instances") else golden | st.none()
    strange = NUMBERS if isinstance(rows[0][name], int | float) else TEXTS
    return st.one_of(golden, golden, golden, st.none(), strange)


def encoded(kind, table):
    """Return the body and its Content-Type."""
    records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    if kind == "csv":
        written = io.StringIO()
        writer = csv.writer(written)
        writer.writerows([list(table), *(row.values() for row in records)])
        return written.getvalue().encode(), "text/csv"
    if kind == "parquet":
        columns = {
            name: values if name in TEXT else np.array(values, float) for name, values in table.items()
        }
        written = io.BytesIO()
        pd.DataFrame(columns).to_parquet(written, index=False)
        return written.getvalue(), "application/vnd.apache.parquet"
    bodies = {
        "dataframe_records": records,
        "instances": records,
        "inputs": table,
        "dataframe_split": {"columns": list(table), "data": [list(row.values()) for row in records]},
    }
    return json.dumps({kind: bodies[kind]}).encode(), "application/json"


def compare(both, given):
    """Send one request to both servers: equal statuses, equal numbers."""
    stock, ours, _ = both
    body, content_type = encoded(*given)
    left, right = ask(stock, body, content_type), ask(ours, body, content_type)
    assert left[0] == right[0], (body, left, right)
    if left[0] == 200:
        np.testing.assert_allclose(right[1]["predictions"], left[1]["predictions"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("examples", [100, pytest.param(400, marks=pytest.mark.soak)])
def test_what_mlflow_computes_rightly_we_compute_equally(both, examples):
    """Generated tables in six formats."""

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(requests(both[2]))
    def run(given):
        compare(both, given)

    run()


@pytest.mark.parametrize(
    ("column", "value"), [("distance", "1400"), ("distance", True), ("carrier", 5), ("distance", 2**53 + 1)]
)
def test_the_deliberate_differences_are_differences(both, column, value):
    """Each is a row of docs/differences.md; once MLflow refuses it too, the row can go."""
    stock, ours, rows = both
    body = json.dumps({"dataframe_records": [{**rows[0], column: value}]}).encode()
    assert (ask(stock, body)[0], ask(ours, body)[0]) == (200, 400)


JSON = "application/json"
LOOKED_FOR = [
    ("this is,,,, not valid json", JSON),
    ("1", JSON), ('"1"', JSON), ("[1]", JSON), ("", JSON),
    ('{"not": "a serialized dataframe"}', JSON),
    ('{"dataframe_records": [], "dataframe_split": {"data": []}}', JSON),
    ('{"dataframe_split": [{"a": 1}]}', JSON),
    ('{"dataframe_records": {"columns": [0], "index": [0], "data": [[1]]}}', JSON),
    ('{"dataframe_split": {"index": [1, 2], "data": [[1], [2], [3]]}}', JSON),
    ('{"dataframe_split": {"columns": [0], "index": [0, 1], "data": [[0], [1]]}}', JSON),
    ('{"dataframe_split": {"columns": ["distance"], "data": [["far"]]}}', JSON),
    ('{"instances": "nothing"}', JSON),
    ('{"inputs": 5}', JSON),
    ("", "text/csv"),
    ("a,b\n1,2\n", "text/csv"),
    ("no parquet", "application/vnd.apache.parquet"),
    ("{}", "not_a_supported_content_type"),
    ("{}", JSON + "; something=something"),
    ("GOOD", JSON + "; charset=UTF-8"), ("GOOD", JSON + ";charset=utf-8"), ("GOOD", JSON),
    ("GOOD CSV", "text/csv; charset=UTF-8"),
]  # fmt: skip
"""The requests of MLflow's own HTTP tests of its scoring server, put to a model with a signature, and their kin."""


@pytest.mark.parametrize(("body", "kind"), LOOKED_FOR)
def test_what_mlflows_own_tests_look_for_is_there(both, body, kind):
    """The status; in an error the keys error_code, message and, where MLflow has it, stack_trace."""
    stock, ours, rows = both
    if body == "GOOD":
        body = json.dumps({"dataframe_records": rows})
    if body == "GOOD CSV":
        body = pd.DataFrame(rows).to_csv(index=False)
    left, right = ask(stock, body.encode(), kind), ask(ours, body.encode(), kind)
    assert left[0] == right[0], (left, right)
    if left[0] == 200:
        np.testing.assert_allclose(right[1]["predictions"], left[1]["predictions"], rtol=1e-9)
    else:
        said = json.loads(right[1])
        assert {"error_code", "message", "stack_trace"} <= set(said)
        assert "Traceback" not in right[1]
        if left[0] == 400:
            assert said["error_code"] == "BAD_REQUEST"
