"""Open Inference Protocol: REST and gRPC answer what `/invocations` answers, to clients as they are."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2 as triton_messages
from tritonclient.http import aio as triton_aio
from tritonclient.utils import InferenceServerException

from data.schema import Column, Schema
from serving.errors import RequestError, TooSlow
from serving.front.backend import Backend
from serving.front.rpc.calls import Calls
from serving.protocols.open_inference.tensors import NamedTensor, WantedOutputs, rows_of, unpack
from serving.protocols.v2_messages.messages import CALLS, DESCRIPTORS, PACKAGE, POOL, SERVICE, message
from serving.runtimes.compiled import CompiledRuntime
from serving.scorer.scoring import Scorer
from serving.settings import Limits, Model, Settings

TEXTS = ("date", "carrier", "origin", "dest")


@dataclass
class Both:
    """A server with both doors."""

    http: Any
    grpc: str

    def infer(self, request: Any, *, seconds: float = 20.0, metadata: tuple = ()) -> Any:
        """Call ModelInfer with our own messages."""
        with grpc.insecure_channel(self.grpc) as channel:
            call = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=message("ModelInferRequest").SerializeToString,
                response_deserializer=message("ModelInferResponse").FromString,
            )
            return call(request, timeout=seconds, metadata=metadata)


@pytest.fixture(scope="module")
def both(start, with_intervals):
    """That model, served over REST and gRPC."""
    with start("--model", f"flights={with_intervals}", "--grpc-port", "0") as served:
        # The address of gRPC stands on the line that the fixture has read; ask the kernel instead.
        yield Both(served, f"127.0.0.1:{grpc_port(served.process.pid, int(served.url.rpartition(':')[2]))}")


def grpc_port(pid: int, http_port: int) -> int:
    """The other port that a server's workers listen on."""
    ports = {
        each.laddr.port
        for child in psutil.Process(pid).children(recursive=True)
        for each in child.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }
    (found,) = ports - {http_port}
    return found


@pytest.fixture(scope="module")
def rows(golden) -> list[dict[str, Any]]:
    """The golden rows without gaps, which raw texts cannot have."""
    return [case["row"] for case in golden if None not in case["row"].values()]


@pytest.fixture(scope="module")
def expected(both, rows) -> list[float]:
    """What `/invocations` answers."""
    return both.http.call("/models/flights/invocations", {"dataframe_records": rows})[1]["predictions"]


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One JSON tensor for each column."""
    return [
        {"name": name, "shape": [len(rows)], "datatype": kind_of(name), "data": [row[name] for row in rows]}
        for name in rows[0]
    ]


def kind_of(name: str) -> str:
    """The datatype that the metadata names."""
    return "BYTES" if name in TEXTS else "FP64"


def triton_inputs(client: Any, rows: list[dict[str, Any]], **options: Any) -> list[Any]:
    """The same as Triton's client has them."""
    inputs = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=object if name in TEXTS else np.float64)
        inputs.append(client.InferInput(name, [len(rows)], kind_of(name)))
        inputs[-1].set_data_from_numpy(values, **options)
    return inputs


def typed(rows: list[dict[str, Any]]) -> Any:
    """A gRPC request with typed contents."""
    request = message("ModelInferRequest")(model_name="flights", id="typed")
    for name in rows[0]:
        tensor = request.inputs.add(name=name, datatype=kind_of(name), shape=[len(rows), 1])
        if name in TEXTS:
            tensor.contents.bytes_contents.extend(row[name].encode() for row in rows)
        else:
            tensor.contents.fp64_contents.extend(row[name] for row in rows)
    return request


def by_json(both, rows):
    """REST, JSON."""
    status, answer, _ = both.http.call("/v2/models/flights/infer", {"id": "a", "inputs": tensors(rows)})
    assert (status, answer["id"], answer["model_name"]) == (200, "a", "flights"), answer
    assert answer["outputs"][0]["shape"] == [len(rows)]
    return answer["outputs"][0]["data"]


def by_gzip(both, rows):
    """REST, JSON, compressed."""
    body = gzip.compress(json.dumps({"inputs": tensors(rows)}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return both.http.call("/v2/models/flights/infer", body, headers=headers)[1]["outputs"][0]["data"]


def by_triton_http(both, rows, *, binary=True):
    """Triton's HTTP client."""
    with triton_http.InferenceServerClient(both.http.url.removeprefix("http://")) as client:
        outputs = [triton_http.InferRequestedOutput("prediction", binary_data=binary)]
        inputs = triton_inputs(triton_http, rows, binary_data=binary)
        return client.infer("flights", inputs, outputs=outputs).as_numpy("prediction").tolist()


def by_triton_json(both, rows):
    """The same without binary data."""
    return by_triton_http(both, rows, binary=False)


def by_triton_aio(both, rows):
    """Triton's asyncio client."""

    async def ask():
        async with triton_aio.InferenceServerClient(both.http.url.removeprefix("http://")) as client:
            return (await client.infer("flights", triton_inputs(triton_http, rows))).as_numpy("prediction")

    return asyncio.run(ask()).tolist()


def by_triton_grpc(both, rows):
    """Triton's gRPC client: raw contents."""
    with triton_grpc.InferenceServerClient(both.grpc) as client:
        return client.infer("flights", triton_inputs(triton_grpc, rows)).as_numpy("prediction").tolist()


def by_typed_grpc(both, rows):
    """GRPC with typed contents, answered in kind."""
    answer = both.infer(typed(rows))
    assert (answer.id, answer.model_name, len(answer.raw_output_contents)) == ("typed", "flights", 0)
    return list(answer.outputs[0].contents.fp64_contents)


DOORS = [by_json, by_gzip, by_triton_http, by_triton_json, by_triton_aio, by_triton_grpc, by_typed_grpc]


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_door_gives_the_numbers_of_invocations(door, count, both, rows) -> None:
    """One dataplane: to the last bit, a row alone and several."""
    records = {"dataframe_records": rows[:count]}
    assert (
        door(both, rows[:count]) == both.http.call("/models/flights/invocations", records)[1]["predictions"]
    )


@pytest.mark.parametrize("door", ["json", "grpc"])
def test_intervals_are_outputs_when_asked_for(door, both, rows, expected) -> None:
    """By the coverage alone, or by their names, at 90 % unless another is given."""
    if door == "json":
        ask = {"inputs": tensors(rows), "outputs": [{"name": "upper"}, {"name": "prediction"}]}
        status, named, _ = both.http.call("/v2/models/flights/infer", ask)
        assert (status, [each["name"] for each in named["outputs"]]) == (200, ["upper", "prediction"])
        ask = {"inputs": tensors(rows), "parameters": {"coverage": 0.5}}
        whole = both.http.call("/v2/models/flights/infer", ask)[1]
        found = {each["name"]: each["data"] for each in whole["outputs"]}
        upper, coverage = named["outputs"][0]["data"], named["parameters"]["coverage"]
    else:
        request = typed(rows)
        request.outputs.add(name="upper")
        answer = both.infer(request)
        upper, coverage = (
            list(answer.outputs[0].contents.fp64_contents),
            answer.parameters["coverage"].double_param,
        )
        request = typed(rows)
        request.parameters["coverage"].double_param = 0.5
        found = {each.name: list(each.contents.fp64_contents) for each in both.infer(request).outputs}
    assert coverage == 0.9
    np.testing.assert_allclose(upper, np.array(expected) + 30.0)
    np.testing.assert_allclose(found["lower"], np.array(expected) - 10.0)
    assert list(found) == ["prediction", "lower", "upper"]


def test_outputs_can_be_binary_one_by_one(both, rows, expected) -> None:
    """The JSON part says how long each is; the others stay in JSON."""
    raw = {"name": "prediction", "parameters": {"binary_data": True}}
    ask = json.dumps({"inputs": tensors(rows), "outputs": [raw, {"name": "lower"}]}).encode()
    import urllib.request

    request = urllib.request.Request(
        both.http.url + "/v2/models/flights/infer", ask, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        length, body = int(answer.headers["Inference-Header-Content-Length"]), answer.read()
    head = json.loads(body[:length])
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 8 * len(rows)}
    assert np.frombuffer(body[length:]).tolist() == expected
    assert len(head["outputs"][1]["data"]) == len(rows)


def test_the_protocols_questions_are_answered(both) -> None:
    """Health, readiness, metadata; the first output is the prediction."""
    call, version = both.http.call, both.http.call("/v2/models/flights")[1]["versions"][0]
    assert call("/v2")[1] == call("/v2/")[1]
    assert call("/v2")[1]["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/flights/versions/{version}/ready"):
        assert call(path)[0] == 200
    metadata = call(f"/v2/models/flights/versions/{version}")[1]
    assert {each["name"]: each["datatype"] for each in metadata["inputs"]}["carrier"] == "BYTES"
    assert [each["name"] for each in metadata["outputs"]] == ["prediction", "lower", "upper"]
    with triton_grpc.InferenceServerClient(both.grpc) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("flights", version)
        with pytest.raises(InferenceServerException, match="no such version"):
            client.is_model_ready("flights", "no")
        assert client.get_server_metadata(as_json=True)["name"] == "slipway"
        assert client.get_model_metadata("flights", as_json=True)["inputs"] == [
            each | {"shape": ["-1"]} for each in metadata["inputs"]
        ]


def test_health_and_reflection_are_served(both) -> None:
    """What Kubernetes' probes and grpcurl ask."""
    with grpc.insecure_channel(both.grpc) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for service in ("", "inference.GRPCInferenceService"):
            assert check(health_pb2.HealthCheckRequest(service=service)).status == 1
        found = ProtoReflectionDescriptorDatabase(channel)
        assert "inference.GRPCInferenceService" in found.get_services()
        described = found.FindFileContainingSymbol("inference.GRPCInferenceService")
        assert [method.name for method in described.service[0].method] == list(CALLS)


def of_messages(described: Any) -> dict[str, tuple]:
    """Each field's number, type and form in a message and in those that it holds, by their names."""
    found: dict[str, tuple] = {described.full_name: ()}
    for field in described.fields:
        choice, inner = field.containing_oneof, field.message_type
        form = (field.number, field.type, field.is_repeated, choice and choice.name)
        found[f"{described.full_name}.{field.name}"] = (*form, inner and inner.full_name)
        if inner and inner.full_name not in found:
            found |= of_messages(inner)
    return found


def test_the_descriptors_are_those_of_the_proto_file(tmp_path) -> None:
    """The server reads the one, people the other; `make proto` writes the one from the other."""
    here, written = DESCRIPTORS.parent, tmp_path / "now.pb"
    command = [f"-I{here}", f"--descriptor_set_out={written}", "open_inference.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *command], check=True, timeout=60)
    now, kept = (FileDescriptorSet.FromString(path.read_bytes()) for path in (written, DESCRIPTORS))
    assert now == kept


@pytest.mark.parametrize("call", CALLS)
def test_the_messages_are_the_published_ones(call: str) -> None:
    """All that a call takes and gives, held against a client's own: no field more, none less, maps and choices too."""
    place = f"{PACKAGE}.{SERVICE}"
    ours = POOL.FindServiceByName(place).methods_by_name[call]
    theirs = triton_messages.DESCRIPTOR.pool.FindServiceByName(place).methods_by_name[call]
    for side in ("input_type", "output_type"):
        assert of_messages(getattr(ours, side)) == of_messages(getattr(theirs, side))
    assert [each.name for each in POOL.FindServiceByName(place).methods] == list(CALLS)


LIES = {
    "more rows than data": {"shape": [10**12]},
    "a negative shape": {"shape": [-1]},
    "three dimensions": {"shape": [1, 1, 1]},
    "no shape": {"shape": None},
    "a shape that is true": {"shape": [True]},
    "a shape that is no whole number": {"shape": [1.0]},
    "a name that is no text": {"name": 5},
    "the same column twice": {"name": "month"},
    "a text for a list": {"name": "carrier", "datatype": "BYTES", "data": "U"},
    "an object for a list": {"name": "carrier", "datatype": "BYTES", "data": {"UA": 1}},
    "beyond the datatype": {"datatype": "INT8", "data": [300]},
    "another column": {"name": "other"},
    "numbers as booleans": {"datatype": "BOOL"},
    "no datatype": {"datatype": []},
    "an unknown datatype": {"datatype": "FP8"},
    "lists for cells": {"data": [[1]]},
    "text for a number": {"name": "hour", "datatype": "BYTES", "data": ["5"]},
    "binary data that is not there": {"data": None, "parameters": {"binary_data_size": 8}},
    "a size that is no number": {"parameters": {"binary_data_size": "8"}},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_tensor_that_lies_is_refused_in_the_protocols_form(lie, both, rows) -> None:
    """Shapes, datatypes, names and sizes are held against the data."""
    column = "carrier" if LIES[lie].get("name") == "carrier" else "hour"
    honest = next(each for each in tensors(rows[:1]) if each["name"] == column)
    others = [each for each in tensors(rows[:1]) if each is not honest and each["name"] != column]
    assert both.http.call("/v2/models/flights/infer", {"inputs": [honest, *others]})[0] == 200
    body = {"inputs": [honest | LIES[lie], *others]}
    status, answer, _ = both.http.call("/v2/models/flights/infer", body)
    assert (status, list(answer)) == (400, ["error"])


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"parameters": {"content_type": "hg_json"}}, 400),
        ({"parameters": {"coverage": "0.9"}}, 400),
        ({"parameters": {"coverage": 0.99}}, 400),
        ({"outputs": [{"name": "upside"}]}, 400),
        ({"outputs": "prediction"}, 400),
        ({"id": 5}, 400),
        ({"inputs": []}, 400),
    ],
)
def test_a_request_that_asks_for_what_is_not_there_is_refused(change, status, both, rows) -> None:
    """What would change the answer is said, not ignored."""
    answer = both.http.call("/v2/models/flights/infer", {"inputs": tensors(rows)} | change)
    assert (answer[0], list(answer[1])) == (status, ["error"])


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v2/models/none/infer", 404), ("/v2/models/flights/versions/9/infer", 404), ("/v2/x", 404)],
)
def test_what_is_not_served_is_404_in_the_protocols_form(path, status, both) -> None:
    """And another method is 405."""
    answer = both.http.call(path, {})
    assert (answer[0], list(answer[1])) == (status, ["error"])
    assert both.http.call("/v2/models/flights/infer")[0] == 405
    assert both.http.call("/v2/health/live", {})[0] == 405


def test_grpc_says_what_is_wrong_by_its_codes(both, rows, start, with_intervals, tmp_path) -> None:
    """INVALID_ARGUMENT, NOT_FOUND, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAUTHENTICATED."""

    def code(server: Both, request: Any, **options: Any) -> str:
        with pytest.raises(grpc.RpcError) as caught:
            server.infer(request, **options)
        return caught.value.code().name

    wrong = typed(rows)
    wrong.inputs[0].shape[0] = 99
    assert code(both, wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.inputs[0].datatype = "FP8"
    assert code(both, wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.raw_input_contents.append(b"1")
    assert code(both, wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.parameters["coverage"].string_param = "0.9"
    assert code(both, wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.model_name = "none"
    assert code(both, wrong) == "NOT_FOUND"
    assert code(both, typed(rows * 20_000), seconds=0.05) == "DEADLINE_EXCEEDED"
    keys = tmp_path / "keys"
    keys.write_text("2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683\n")  # of "key"
    options = ["--grpc-port", "0", "--rows", "10", "--body-bytes", "200000", "--api-key-file", str(keys)]
    with start("--model", f"flights={with_intervals}", *options) as served:
        port = grpc_port(served.process.pid, int(served.url.rpartition(":")[2]))
        closed, known = Both(served, f"127.0.0.1:{port}"), (("x-api-key", "key"),)
        assert code(closed, typed(rows)) == "UNAUTHENTICATED"
        assert len(closed.infer(typed(rows[:2]), metadata=known).outputs) == 1
        assert code(closed, typed(rows * 3), metadata=known) == "RESOURCE_EXHAUSTED"
        assert code(closed, typed(rows * 900), metadata=known) == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(("left", "slow"), [(0.0, True), (60.0, False), (None, False)])
def test_scoring_ends_where_the_clients_deadline_has_passed(left, slow, with_intervals, rows) -> None:
    """A client hears of its deadline from its own side; that the server stops working shows in here alone."""

    class Context:
        """What the call asks of gRPC's own."""

        def time_remaining(self) -> float | None:
            return left

        async def read(self) -> bytes:
            return typed(rows * 2_000).SerializeToString()

    model = Model(str(with_intervals / "scorer"), name="flights")
    backend = Backend([CompiledRuntime.load(model, threads=1)], Settings(models=(model,)))
    call = Calls(backend).model_infer(None, Context())
    with pytest.raises(TooSlow) if slow else nullcontext():
        assert len(asyncio.run(call).outputs) == 1


def test_grpc_takes_as_many_calls_at_once_as_http(start, with_intervals, rows) -> None:
    """RESOURCE_EXHAUSTED for the second of two large calls where one may be in flight; later it is answered."""
    large = typed(rows * 20_000)
    with start("--model", f"flights={with_intervals}", "--grpc-port", "0", "--in-flight", "1") as served:
        port = grpc_port(served.process.pid, int(served.url.rpartition(":")[2]))
        both = Both(served, f"127.0.0.1:{port}")

        def outcome(_: int) -> str:
            try:
                return str(len(both.infer(large).outputs))
            except grpc.RpcError as error:
                return error.code().name

        with ThreadPoolExecutor(4) as callers:
            found = list(callers.map(outcome, range(4)))
        assert set(found) == {"1", "RESOURCE_EXHAUSTED"}
        assert len(both.infer(typed(rows)).outputs) == 1


def test_all_workers_share_the_port_and_a_call_that_meets_a_drain_is_answered_when_asked_again(
    start, with_intervals, rows
) -> None:
    """SIGHUP replaces both, one after the other.

    gRPC itself cancels a call that arrives while its server stops (grpc/grpc issue 41785): at most
    one for each worker here, since this client has one call at a time; never a wrong answer.
    """
    options = ["--model", f"flights={with_intervals}", "--grpc-port", "0", "--workers", "2"]
    with start(*options) as served:
        port = grpc_port(served.process.pid, int(served.url.rpartition(":")[2]))
        old = {each.pid for each in psutil.Process(served.process.pid).children()}
        assert len(old) == 2
        channel = triton_grpc.InferenceServerClient(f"127.0.0.1:{port}")
        inputs, answers, cancelled = triton_inputs(triton_grpc, rows), 0, []
        served.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while {each.pid for each in psutil.Process(served.process.pid).children()} & old:
            assert time.monotonic() < until
            try:
                answer = channel.infer("flights", inputs)
            except InferenceServerException as error:
                cancelled.append(error.status())
                answer = channel.infer("flights", inputs)
            assert answer.as_numpy("prediction").shape == (len(rows),)
            answers += 1
        channel.close()
        assert answers > 10
        assert len(cancelled) <= len(old)
        assert set(cancelled) <= {"StatusCode.CANCELLED", "StatusCode.UNAVAILABLE"}


@pytest.fixture(scope="module")
def numeric() -> Schema:
    """Two numbers and a boolean."""
    return Schema((Column("a", "number"), Column("b", "number"), Column("c", "boolean")), target="y")


def test_one_packed_tensor_serves_a_model_of_numbers(numeric) -> None:
    """Row by row in the columns' order, whatever the tensor is called; nested in JSON, flat in raw."""
    flat = [1.0, 2.0, 1.0, 3.0, 4.0, 0.0]
    for values in (flat, np.array(flat, dtype=np.float32)):
        packed = rows_of([NamedTensor("input-0", "FP32", [2, 3], values)], WantedOutputs(), numeric, Limits())
        assert packed.matrix.tolist() == [[1.0, 2.0, 1.0], [3.0, 4.0, 0.0]]


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT64"])
def test_raw_numbers_of_each_datatype_are_exact(datatype, numeric) -> None:
    """Little-endian, and refused where a float64 would not hold them."""
    kind = np.dtype(
        {"FP": "f", "IN": "i", "UI": "u"}[datatype[:2]] + str(int(re.sub(r"\D", "", datatype)) // 8)
    )
    raw = np.array([1, 100], dtype=kind.newbyteorder("<")).tobytes()
    values = unpack(raw, datatype, 2)
    row = [NamedTensor(name, datatype, [2], values) for name in "ab"]
    flags = NamedTensor("c", "BOOL", [2], unpack(b"\x01\x00", "BOOL", 2))
    assert rows_of([*row, flags], WantedOutputs(), numeric, Limits()).matrix.tolist() == [
        [1, 1, 1],
        [100, 100, 0],
    ]
    if datatype == "INT64":
        beyond = [NamedTensor(name, datatype, [2], np.array([2**53 + 1, 0])) for name in "ab"]
        with pytest.raises(RequestError, match="beyond"):
            rows_of([*beyond, flags], WantedOutputs(), numeric, Limits())


@pytest.mark.parametrize(
    "texts",
    [
        ["ab", "cd"],
        ["a", "bcd", ""],
        ["ä", "日本"],
        ["ä", "ö"],
        ["x" * 130, "y" * 130],
        ["a\0", "b\0"],
        ["\0\0", "aa"],
    ],
)
def test_raw_texts_come_back(texts: list[str]) -> None:
    """Of one length, of several, beyond ASCII, with zero bytes at the end."""
    raw = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts)
    assert unpack(raw, "BYTES", len(texts)) == texts
    for broken in (raw[:-1], raw + b"\0", raw + b"\xff\xff\xff\xff"):
        with pytest.raises(RequestError, match="raw BYTES"):
            unpack(broken, "BYTES", len(texts))
    with pytest.raises(RequestError, match="UTF-8"):
        unpack(b"\x01\0\0\0\xff", "BYTES", 1)


def test_grpc_without_its_packages_is_refused_at_the_start(flights) -> None:
    """The extra is named; nothing else of the server needs it."""
    code = (
        "import importlib.util as u, sys; real = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name.startswith('grpc') else real(name, *a); "
        "from serving.__main__ import main; "
        f"sys.exit(main(['--model', {str(flights)!r}, '--port', '0', '--grpc-port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "pip install '.[grpc]'" in done.stderr) == (2, True)


def test_triton_says_our_error(both) -> None:
    """A client shows the text that the server wrote."""
    with triton_http.InferenceServerClient(both.http.url.removeprefix("http://")) as client:
        inputs = [triton_http.InferInput("hour", [1], "FP64")]
        inputs[0].set_data_from_numpy(np.array([1.0]))
        with pytest.raises(InferenceServerException, match="no such column"):
            client.infer("flights", inputs)


def test_the_scorer_is_the_reference(with_intervals, expected, rows) -> None:
    """The numbers above are those of the scorer in this process."""
    scorer = Scorer.load(with_intervals / "scorer")
    wanted = rows_of(
        [NamedTensor(each["name"], each["datatype"], each["shape"], each["data"]) for each in tensors(rows)],
        WantedOutputs(),
        scorer.schema,
        Limits(),
    )
    assert scorer.predict(wanted.matrix).tolist() == expected
