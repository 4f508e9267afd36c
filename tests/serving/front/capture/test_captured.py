"""What was answered is what is kept, to the last bit, whichever way the rows came; and the id leads to it."""

from __future__ import annotations

import io
import json
import subprocess

import grpc
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.captures import Places
from data.schema import Schema
from serving.protocols.v2_messages.messages import message
from serving.rows import coercion
from tests.serving.front.capture.captures import after, kept_in
from tests.serving.front.rpc.grpc_calls import SERVICE
from tests.serving.processes import processes_of, until

JSON, CSV = "application/json", "text/csv"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def schema(flights):
    """The model's."""
    return Schema.from_dict(json.loads((flights / "scorer" / "scorer.json").read_text())["schema"])


@pytest.fixture(scope="module")
def rows(golden):
    """Rows as objects; the third has a carrier that training never saw, longer than what is kept of one."""
    found = [dict(case["row"]) for case in golden[:5]]
    found[2]["carrier"] = "Ü" * 40
    return found


@pytest.fixture(scope="module")
def kept(start, with_intervals, rows, tmp_path_factory):
    """Each way's name with its answers; then, once the server has ended, what it kept."""
    folder = tmp_path_factory.mktemp("captured") / "captures"
    answers = {}
    with start("--model", str(with_intervals), "--grpc-port", "0", "--capture", str(folder)) as served:
        for name, (path, body, headers) in requests(rows).items():
            status, answer, got = served.call(path, body, headers=headers)
            assert status == 200, (name, answer)
            answers[name] = (got["X-Prediction-Id"], of_answer(answer))
        answers["binary"] = in_binary(served, rows)
        answers["grpc"] = over_grpc(grpc_port_of(served), rows)
    return answers, kept_in(folder, endings=(".frames",))


def requests(rows):
    """Return path, body and headers of each way that has a body of its own."""
    frame = pd.DataFrame(rows)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    coded = table.set_column(
        table.schema.get_field_index("carrier"), "carrier", table["carrier"].dictionary_encode()
    )
    parquet = io.BytesIO()
    frame.to_parquet(parquet, index=False)
    columns = frame.to_dict(orient="list")
    split = frame.to_dict(orient="split", index=False)
    v2 = {"id": "in the body", "inputs": v2_inputs(frame)}
    named = {"Content-Type": JSON, "X-Request-Id": "in a header", "Ce-Id": "an event"}
    return {
        "records": ("/invocations", as_json({"dataframe_records": rows}), named),
        "one row": ("/invocations", as_json({"dataframe_records": rows[2:3]}), {"Content-Type": JSON}),
        "split": (
            "/invocations",
            as_json({"dataframe_split": split}),
            {"Content-Type": JSON, "Ce-Id": "an event"},
        ),
        "inputs": ("/invocations", as_json({"inputs": columns}), {"Content-Type": JSON}),
        "bounds": (
            "/invocations",
            as_json({"instances": rows, "params": {"coverage": 0.9}}),
            {"Content-Type": JSON},
        ),
        "many": ("/invocations", as_json({"instances": rows * 2_000}), {"Content-Type": JSON}),
        "many bounds": (
            "/invocations?coverage=0.5",
            as_json({"instances": rows * 2_000}),
            {"Content-Type": JSON},
        ),
        "csv": ("/invocations", frame.to_csv(index=False).encode(), {"Content-Type": CSV}),
        "parquet": ("/invocations", parquet.getvalue(), {"Content-Type": PARQUET}),
        "arrow": ("/invocations", as_stream(table), {"Content-Type": ARROW}),
        "arrow, in two batches": (
            "/invocations",
            as_stream(table, batches=2),
            {"Content-Type": ARROW},
        ),
        "arrow, coded": ("/invocations", as_stream(coded), {"Content-Type": ARROW}),
        "predict": ("/predict", as_json({"x": rows}), {"Content-Type": JSON}),
        "v1": ("/v1/models/flights:predict", as_json({"instances": rows}), {"Content-Type": JSON}),
        "v2": ("/v2/models/flights/infer", as_json(v2), {"Content-Type": JSON}),
        "v2, one row": (
            "/v2/models/flights/infer",
            as_json({"id": "in the body", "inputs": v2_inputs(frame[2:3])}),
            {"Content-Type": JSON, "X-Request-Id": "in a header"},
        ),
    }


def as_json(body):
    """Return a body's bytes."""
    return json.dumps(body).encode()


def as_stream(table, *, batches=1):
    """Return an Arrow stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=-(-table.num_rows // batches))
    return sink.getvalue()


def v2_inputs(frame):
    """Return a tensor for each column."""
    return [
        {
            "name": name,
            "datatype": "BYTES" if isinstance(frame[name].iloc[0], str) else "FP64",
            "shape": [len(frame)],
            "data": frame[name].tolist(),
        }
        for name in frame
    ]


def of_answer(answer):
    """Return the predictions in an answer of any protocol."""
    if "outputs" in answer:
        return answer["outputs"][0]["data"]
    return answer["predictions"] if "predictions" in answer else answer["y"]


def raw_of(values):
    """Return a tensor's raw bytes."""
    if isinstance(values[0], str):
        return b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in values)
    return np.array(values, "<f8").tobytes()


def in_binary(served, rows):
    """Ask as V2 with binary tensors."""
    inputs = v2_inputs(pd.DataFrame(rows))
    parts = [raw_of(each.pop("data")) for each in inputs]
    for each, part in zip(inputs, parts, strict=True):
        each["parameters"] = {"binary_data_size": len(part)}
    head = as_json({"inputs": inputs})
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    _, answer, got = served.call("/v2/models/flights/infer", head + b"".join(parts), headers=headers)
    return got["X-Prediction-Id"], of_answer(answer)


def over_grpc(port, rows):
    """Ask over gRPC."""
    request = message("ModelInferRequest")(model_name="flights", id="in the message")
    for each in v2_inputs(pd.DataFrame(rows)):
        request.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        request.raw_input_contents.append(raw_of(each["data"]))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"{SERVICE}ModelInfer")
        body, done = call.with_call(
            request.SerializeToString(), timeout=60, metadata=(("x-request-id", "in metadata"),)
        )
    answer = message("ModelInferResponse").FromString(body)
    metadata = dict(done.initial_metadata())
    return metadata["x-prediction-id"], np.frombuffer(answer.raw_output_contents[0], "<f8").tolist()


def grpc_port_of(served):
    """Return the port that a server has for gRPC."""
    found = processes_of(served)[0].net_connections(kind="tcp")
    return next(
        each.laddr.port
        for each in found
        if each.status == "LISTEN" and str(each.laddr.port) not in served.url
    )


def test_what_is_kept_is_what_was_answered(kept, rows, schema):
    """A live error is computed of what is kept: another number, or another row's, and it is a lie."""
    answers, found = kept
    columns = {name: [row[name] for row in rows] for name in schema.names}
    expected = coercion.pack_columns(columns, schema).matrix
    for way, (first, predictions) in answers.items():
        chosen = expected[2:3] if "one row" in way else np.tile(expected, (len(predictions) // 5, 1))
        assert len(predictions) == len(chosen), way
        for row, prediction in enumerate(predictions):
            entry = found[after(first, row)]
            assert entry.prediction == prediction, (way, row)
            np.testing.assert_array_equal(entry.cells, chosen[row], err_msg=way)
            assert entry.row == row
            assert np.isnan(entry.scale) != ("bounds" in way), way
            text = "Ü" * 32 if "one row" in way or row % 5 == 2 else None
            assert entry.unseen.get("carrier") == text, (way, row)


def test_nothing_is_kept_that_was_not_answered(kept):
    """As many rows as predictions."""
    answers, found = kept
    assert len(found) == sum(len(predictions) for _, predictions in answers.values())


@pytest.mark.parametrize(
    ("way", "caller"),
    [
        ("records", "in a header"),
        ("split", "an event"),
        ("v2", "in the body"),
        ("v2, one row", "in a header"),
        ("grpc", "in metadata"),
        ("csv", ""),
    ],
)
def test_the_callers_own_id_is_kept(kept, way, caller):
    """X-Request-Id, else V2's id, else CloudEvents': outcomes come back under the id that the caller has."""
    answers, found = kept
    assert found[answers[way][0]].caller == caller


@pytest.fixture()
def small_disk(tmp_path):
    """A disk of one megabyte, where one can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def captured_in(served):
    """Return what a server says of its captures, and its figure for it."""
    said = served.call("/status")[1]["capture"]
    metrics = served.call("/metrics")[1].splitlines()
    (figure,) = (line.split()[1] for line in metrics if line.startswith("slipway_capture_on "))
    return said["on"], float(figure)


def test_a_full_disk_costs_captures_and_no_answer(start, line, small_disk):
    """A real one: it is said, and once there is room rows are kept again, with all from before."""
    with start("--model", str(line), "--capture", str(small_disk / "captures")) as served:
        first = served.call("/predict", {"x": 3})[2]["X-Prediction-Id"]
        until(lambda: "slipway_capture_rows_total 1.0" in served.call("/metrics")[1], seconds=20)
        (small_disk / "filler").write_bytes(bytes(980_000))
        until(lambda: captured_in(served) == (False, 0.0), seconds=20)
        status, answer, headers = served.call("/predict", {"x": 3})
        assert (status, headers["X-Prediction-Id"]) == (200, None), answer
        (small_disk / "filler").unlink()
        until(lambda: captured_in(served) == (True, 1.0), seconds=20)
        later = served.call("/predict", {"x": 3})[2]["X-Prediction-Id"]
    assert set(kept_in(small_disk / "captures")) == {first, later}


def test_a_body_is_not_kept(start, line, tmp_path):
    """Neither a key, nor a column that the model has not."""
    folder = tmp_path / "captures"
    with start("--model", str(line), "--capture", str(folder)) as served:
        body = {"dataframe_records": [{"x": 3, "name": "Grace Hopper"}]}
        headers = {"Authorization": "Bearer do-not-write-me", "X-Forwarded-For": "203.0.113.7"}
        assert served.call("/invocations", body, headers=headers)[2]["X-Prediction-Id"]
    (path,) = Places(folder).frames.iterdir()
    written = path.read_bytes()
    assert not any(word in written for word in (b"Grace", b"do-not-write-me", b"203.0.113.7"))


def test_a_worker_without_captures_names_no_row(server, golden):
    """No header, not kept: nobody sends an outcome for nothing."""
    headers = server.call("/invocations", {"dataframe_records": [golden[0]["row"]]})[2]
    assert headers["X-Prediction-Id"] is None
