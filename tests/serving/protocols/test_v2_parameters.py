"""Parameters of the Open Inference Protocol: ignored where they don't matter, obeyed or refused where they do."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from serving.errors import Malformed
from serving.protocols import v2
from serving.protocols.open_inference.tensor_parameters import as_meant
from serving.protocols.open_inference.tensors import NamedTensor, unpack
from serving.protocols.translation import from_tensors
from serving.protocols.v2_messages.coding import decode
from serving.protocols.v2_messages.messages import message
from serving.running import free_port
from serving.settings import Limits
from tests.serving.front.rpc.grpc_calls import Caller, fill

TEXTS = ("date", "carrier", "origin", "dest")
INFER = "/v2/models/flights/infer"


@dataclass
class Doors:
    """One server over REST and gRPC, and a row that both may be asked for."""

    http: Any
    port: int
    row: dict[str, Any]
    expected: float

    def rest(
        self, change: dict[str, Any] | None = None, tensor: dict[str, Any] | None = None
    ) -> tuple[Any, Any]:
        """Ask over REST, with a change to the request and one to the tensor `carrier`; return status and answer."""
        inputs = [
            {"name": name, "shape": [1], "datatype": "BYTES" if name in TEXTS else "FP64", "data": [value]}
            | (tensor or {} if name == "carrier" else {})
            for name, value in self.row.items()
        ]
        return self.http.call(INFER, {"inputs": inputs} | (change or {}))[:2]

    def request(self, carrier: bytes | None = None, **parameters: Any) -> Any:
        """Return the same for gRPC; parameters are of the tensor `carrier`."""
        request = message("ModelInferRequest")(model_name="flights")
        for name, value in self.row.items():
            given = request.inputs.add(name=name, shape=[1], datatype="BYTES" if name in TEXTS else "FP64")
            if name in TEXTS:
                given.contents.bytes_contents.append(
                    carrier if carrier and name == "carrier" else value.encode()
                )
            else:
                given.contents.fp64_contents.append(value)
            if name == "carrier":
                fill(given.parameters, parameters)
        return request

    def grpc(self, request: Any) -> tuple[str, Any]:
        """Ask over gRPC; return the code, and the prediction or a text."""
        with Caller(self.port) as caller:
            code, found = caller.infer(request)
        return code, found.outputs[0].contents.fp64_contents[0] if code == "OK" else found


@pytest.fixture(scope="module")
def doors(start, with_intervals, golden) -> Any:
    """The flights model."""
    port = free_port()
    with start("--model", f"flights={with_intervals}", "--grpc-port", str(port)) as served:
        case = next(case for case in golden if None not in case["row"].values())
        answer = served.call("/models/flights/invocations", {"dataframe_records": [case["row"]]})[1]
        yield Doors(served, port, case["row"], answer["predictions"][0])


def predicted(answer: Any) -> float:
    """The prediction in an answer of REST."""
    return answer["outputs"][0]["data"][0]


OPTIONAL = [
    {"content_type": "pd"},
    {"content_type": "np"},
    {"content_type": "str"},
    {"content_type": None},
    {"priority": 3, "timeout": 2_000_000},
    {"sequence_id": 0, "sequence_start": False, "sequence_end": False},
    {"headers": "none", "temperature": 0.7, "binary_data_output": False},
    {"coverage": None},
]


@pytest.mark.parametrize("parameters", OPTIONAL, ids=json.dumps)
def test_what_other_servers_clients_send_beside_a_request_does_no_harm(parameters, doors) -> None:
    """MLServer's codec, Triton's scheduling, KServe's headers: the answer is the same, over both."""
    status, answer = doors.rest({"parameters": parameters})
    assert (status, predicted(answer)) == (200, doors.expected)
    request = doors.request()
    fill(request.parameters, parameters)
    assert doors.grpc(request) == ("OK", doors.expected)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"parameters": None},
        {"outputs": None},
        {"id": None, "parameters": None, "outputs": None},
        {"outputs": [{"name": "prediction", "parameters": None}]},
        {"outputs": [{"name": "prediction", "parameters": {"content_type": "np", "binary_data": None}}]},
        {"outputs": []},
    ],
    ids=json.dumps,
)
def test_null_is_as_good_as_absent(change, doors) -> None:
    """As pydantic's clients write what they leave out; no id comes back."""
    status, answer = doors.rest(change)
    assert (status, predicted(answer)) == (200, doors.expected)
    assert "id" not in answer


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"content_type": "base64"}},
        {"parameters": {"content_type": "hg_json"}},
        {"parameters": {"content_type": 5}},
        {"parameters": {"binary_data_output": "true"}},
        {"parameters": []},
        {"outputs": {}},
        {"outputs": [{"name": "prediction", "parameters": {"classification": 3}}]},
        {"outputs": [{"name": "prediction", "parameters": {"shared_memory_region": "r"}}]},
        {"outputs": [{"name": "prediction", "parameters": {"content_type": "base64"}}]},
        {"outputs": [{"name": "prediction", "parameters": {"binary_data": 1}}]},
    ],
    ids=json.dumps,
)
def test_what_would_change_the_answer_is_refused(change, doors) -> None:
    """Over REST in the protocol's form, and the same over gRPC."""
    status, answer = doors.rest(change)
    assert (status, list(answer)) == (400, ["error"])
    request = doors.request()
    if type(change.get("parameters")) is dict and "binary_data_output" not in change["parameters"]:
        fill(request.parameters, change["parameters"])
        assert doors.grpc(request)[0] == "INVALID_ARGUMENT"
    for output in change.get("outputs") or ():
        if "binary_data" not in output["parameters"]:
            fill(request.outputs.add(name=output["name"]).parameters, output["parameters"])
            assert doors.grpc(request)[0] == "INVALID_ARGUMENT"


def test_base64_is_read_as_such(doors) -> None:
    """The text in it is a known category: the same prediction, not that of an unknown one."""
    coded = base64.b64encode(doors.row["carrier"].encode())
    tensor = {"data": [coded.decode()], "parameters": {"content_type": "base64"}}
    status, answer = doors.rest(tensor=tensor)
    assert (status, predicted(answer)) == (200, doors.expected)
    assert doors.grpc(doors.request(coded, content_type="base64")) == ("OK", doors.expected)
    plain = doors.rest(tensor=tensor | {"parameters": {}})[1]
    assert predicted(plain) != doors.expected


@pytest.mark.parametrize(
    "text", ["U", "VUE", "VUE==", "VUE=\n", "VUF=", "VUE= ", "V-E_", "éÿ", "/w==", "====", "VUE=VUE="]
)
def test_what_is_no_base64_is_refused(text, doors) -> None:
    """Nothing is skipped, padding is there, its last bits are zero, and what is in it is UTF-8."""
    status, answer = doors.rest(tensor={"data": [text], "parameters": {"content_type": "base64"}})
    assert (status, "base64" in answer["error"]) == (400, True)
    code, said = doors.grpc(doors.request(text.encode(), content_type="base64"))
    assert (code, "base64" in said) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize(
    "given", [{}, {"content_type": "str"}, {"content_type": "np"}, {"content_type": "pd"}]
)
def test_codecs_that_say_what_is_done_anyway_are_taken(given, doors) -> None:
    """MLServer's clients write one on each tensor; unknown parameters stand beside it."""
    given = given | {"whatever": "else", "shared_memory_region": None}
    status, answer = doors.rest(tensor={"parameters": given})
    assert (status, predicted(answer)) == (200, doors.expected)
    assert doors.grpc(doors.request(**given)) == ("OK", doors.expected)


@pytest.mark.parametrize(
    "given",
    [
        {"content_type": "hg_json"},
        {"content_type": "pd_json"},
        {"content_type": "raw"},
        {"content_type": "BASE64"},
        {"content_type": 1},
        {"content_type": "datetime"},
        {"shared_memory_region": "region", "shared_memory_byte_size": 8},
        {"binary_data_size": 8},
    ],
    ids=json.dumps,
)
def test_a_tensor_that_means_something_else_is_refused(given, doors) -> None:
    """A codec that is not ours, dates in a column of none, values that are elsewhere."""
    assert doors.rest(tensor={"parameters": given})[0] == 400
    assert doors.grpc(doors.request(**given))[0] == "INVALID_ARGUMENT"


def test_dates_may_be_said_to_be_dates() -> None:
    """In a column of dates, over each door to a model."""
    from data.schema import Column, Schema
    from serving.protocols.open_inference.tensors import WantedOutputs, rows_of

    schema = Schema((Column("when", "datetime"),), target="y")
    day = as_meant(NamedTensor("when", "BYTES", [1], ["2023-05-01"]), {"content_type": "datetime"})
    plain = rows_of([NamedTensor("when", "BYTES", [1], ["2023-05-01"])], WantedOutputs(), schema, Limits())
    assert rows_of([day], WantedOutputs(), schema, Limits()).matrix.tolist() == plain.matrix.tolist()
    assert b"2023-05-01" in from_tensors([day], [{"name": "when", "type": "datetime"}])
    with pytest.raises(Malformed, match="no dates"):
        from_tensors([day], [{"name": "when", "type": "string"}])
    for content in ("datetime", "base64", "str"):
        with pytest.raises(Malformed, match="BYTES alone"):
            as_meant(NamedTensor("when", "FP64", [1], [1.0]), {"content_type": content})


def test_base64_is_read_in_raw_tensors_and_beside_nulls() -> None:
    """A million codes of one length are decoded once for each different one."""
    codes = [b"VUE=", b"QUE="] * 50
    raw = b"".join(len(code).to_bytes(4, "little") + code for code in codes)
    packed = NamedTensor("c", "BYTES", [100], unpack(raw, "BYTES", 100))
    assert list(as_meant(packed, {"content_type": "base64"}).values) == ["UA", "AA"] * 50
    gaps = NamedTensor("c", "BYTES", [3], ["VUE=", None, ""])
    assert as_meant(gaps, {"content_type": "base64"}).values == ["UA", None, ""]


def test_a_model_that_mlflow_runs_gets_what_was_meant() -> None:
    """What goes to its process has no parameters: base64 is read before, over both doors."""
    columns = [{"name": "c", "type": "string"}]
    tensor = {"name": "c", "shape": [1], "datatype": "BYTES", "data": ["VUE="]}
    body = {
        "id": None,
        "parameters": {"content_type": "pd"},
        "inputs": [tensor | {"parameters": {"content_type": "base64"}}],
    }
    given, _ = v2.decode(json.dumps(body).encode(), "application/json", {}, Limits())
    assert b'[["UA"]]' in from_tensors(given, columns)
    request = message("ModelInferRequest")(model_name="m")
    request.inputs.add(name="c", shape=[1], datatype="BYTES").contents.bytes_contents.append(b"VUE=")
    fill(request.inputs[0].parameters, {"content_type": "base64"})
    assert b'[["UA"]]' in from_tensors(decode(request, Limits())[0], columns)


FIELDS = {
    "FP64": "fp32_contents",
    "FP32": "fp64_contents",
    "INT64": "int_contents",
    "INT32": "int64_contents",
    "UINT8": "int_contents",
    "UINT64": "uint_contents",
    "BOOL": "int_contents",
    "BYTES": "fp64_contents",
}


@pytest.mark.parametrize("datatype", FIELDS)
def test_values_in_the_wrong_field_are_named_as_that(datatype: str) -> None:
    """Not as a tensor without values; nor are they passed over where the right field has some too."""
    request = message("ModelInferRequest")(model_name="flights")
    given = request.inputs.add(name="hour", datatype=datatype, shape=[1])
    getattr(given.contents, FIELDS[datatype]).append(1)
    with pytest.raises(Malformed, match=f"must be in .*, found in {FIELDS[datatype]}"):
        decode(request, Limits())
    if datatype == "FP64":
        given.contents.fp64_contents.append(1.0)
        with pytest.raises(Malformed, match="found in fp32_contents"):
            decode(request, Limits())
        request.raw_input_contents.append(bytes(8))
        with pytest.raises(Malformed, match="either contents or raw"):
            decode(request, Limits())
        given.contents.Clear()
        assert decode(request, Limits())[0][0].values == [0.0]
        fill(given.parameters, {"binary_data_size": 9})
        with pytest.raises(Malformed, match="binary_data_size"):
            decode(request, Limits())


@pytest.mark.parametrize("triton", [triton_http, triton_grpc], ids=["http", "grpc"])
def test_tritons_own_options_are_taken(triton, doors) -> None:
    """What its clients have arguments for: a priority, a timeout, parameters; outputs by class are refused by name."""
    address = doors.http.url.removeprefix("http://") if triton is triton_http else f"127.0.0.1:{doors.port}"
    inputs = []
    for name, value in doors.row.items():
        kind = "BYTES" if name in TEXTS else "FP64"
        inputs.append(triton.InferInput(name, [1], kind))
        inputs[-1].set_data_from_numpy(np.array([value], dtype=object if name in TEXTS else np.float64))
    with triton.InferenceServerClient(address) as client:
        given = {"priority": 1, "timeout": 5_000_000, "sequence_id": 0, "parameters": {"trace": "on"}}
        found = client.infer("flights", inputs, request_id="", **given).as_numpy("prediction")
        assert found.tolist() == [doors.expected]
        by_class = [triton.InferRequestedOutput("prediction", class_count=2)]
        with pytest.raises(Exception, match="classification"):
            client.infer("flights", inputs, outputs=by_class)


def test_a_client_may_ping_each_second_while_it_has_no_call(doors) -> None:
    """GRPC's own rule takes the third ping for abuse, and ends the connection with GOAWAY."""
    options = [
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    states = []
    with Caller(doors.port, options) as caller:
        assert caller.infer(doors.request())[0] == "OK"
        caller.channel.subscribe(states.append)
        time.sleep(5.5)
        assert caller.infer(doors.request())[0] == "OK"
    assert set(states) == {grpc.ChannelConnectivity.READY}
