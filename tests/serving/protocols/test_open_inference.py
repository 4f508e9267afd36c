"""Open Inference Protocol: REST and gRPC answer what `/invocations` answers, to clients as they are."""

from __future__ import annotations

import asyncio
import gzip
import json
import urllib.request
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.http import aio as triton_aio
from tritonclient.utils import InferenceServerException

from serving.protocols.open_inference.tensors import NamedTensor, WantedOutputs, rows_of
from serving.protocols.v2_messages.messages import CALLS
from serving.scorer.scoring import Scorer
from serving.settings import Limits
from tests.serving.protocols.v2_clients import Both, tensors, triton_inputs, typed, without_gaps


@pytest.fixture(scope="module")
def both(start, with_intervals):
    """That model, served over REST and gRPC."""
    with start("--model", f"flights={with_intervals}", "--grpc-port", "0") as served:
        yield Both.of(served)


@pytest.fixture(scope="module")
def rows(golden) -> list[dict[str, Any]]:
    """The golden rows without gaps, which raw texts cannot have."""
    return without_gaps(golden)


@pytest.fixture(scope="module")
def expected(both, rows) -> list[float]:
    """What `/invocations` answers."""
    return both.http.call("/models/flights/invocations", {"dataframe_records": rows})[1]["predictions"]


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


def test_grpc_says_what_is_wrong_by_its_codes(both, rows) -> None:
    """INVALID_ARGUMENT, NOT_FOUND, DEADLINE_EXCEEDED."""
    wrong = typed(rows)
    wrong.inputs[0].shape[0] = 99
    assert both.refusal(wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.inputs[0].datatype = "FP8"
    assert both.refusal(wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.raw_input_contents.append(b"1")
    assert both.refusal(wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.parameters["coverage"].string_param = "0.9"
    assert both.refusal(wrong) == "INVALID_ARGUMENT"
    wrong = typed(rows)
    wrong.model_name = "none"
    assert both.refusal(wrong) == "NOT_FOUND"
    assert both.refusal(typed(rows * 20_000), seconds=0.05) == "DEADLINE_EXCEEDED"


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
