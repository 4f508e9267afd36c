"""Clients that others wrote, as they are, against a real server: each in an environment that has its pins."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serving.protocols.open_inference.tensors import OF_KIND
from tests.conftest import ROOT
from tests.serving.openapi.documents import generate, run_schemathesis

pytestmark = pytest.mark.soak
KSERVE = "kserve==0.21.0"
PUBLISHED = ("open-inference-openapi==2.0.0.1", "httpx==0.28.1", "pydantic==2.14.4")


def ask(commands: Path, script: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Run one of the clients and return what it found."""
    done = subprocess.run(
        [commands / "python", ROOT / "tests" / "serving" / "clients" / f"{script}.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Path:
    """A ridge on four columns of numbers: the version's folder."""
    from benchmarks.models import build

    features = ["month", "hour", "dep_delay", "distance"]
    folder = tmp_path_factory.mktemp("numbers")
    return build(folder, sample="flights", target="arr_delay", family="ridge", features=features)


@pytest.fixture(scope="module")
def both(start, flights, numbers):
    """A mixed table and a model of numbers alone, on one server."""
    with start("--model", f"mixed={flights}", "--model", f"numbers={numbers}") as served:
        yield served


@dataclass
class Known:
    """A model that is served, and what is known of it."""

    url: str
    name: str
    golden: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    expected: list[float]
    document: dict[str, Any]


@pytest.fixture(scope="module", params=["mixed", "numbers"])
def model(request, both, flights, numbers) -> Known:
    """Each of the two: golden rows without gaps, what `/invocations` answers to them, the OpenAPI document."""
    name = request.param
    folder = {"mixed": flights, "numbers": numbers}[name]
    cases = json.loads((folder / "scorer" / "scorer.json").read_text())["golden"]
    golden = [case for case in cases if None not in case["row"].values()]
    rows = [case["row"] for case in golden]
    answer = both.call(f"/models/{name}/invocations", {"dataframe_records": rows})[1]
    document = both.call(f"/models/{name}/openapi.json")[1]
    return Known(both.url, name, golden, rows, answer["predictions"], document)


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One tensor for each column."""
    kinds = {name: OF_KIND["category" if type(value) is str else "number"] for name, value in rows[0].items()}
    return [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[name] for row in rows]}
        for name, kind in kinds.items()
    ]


@pytest.fixture(scope="module")
def kserve(environment_of) -> Path:
    """KServe's client, whose pandas and numpy are not ours."""
    return environment_of(KSERVE)


def test_kserves_client_gets_the_numbers_of_invocations(kserve, model) -> None:
    """To the last bit, in JSON and binary; its questions and its errors too."""
    columns = {name: [row[name] for row in model.rows] for name in model.rows[0]}
    found = ask(kserve, "kserve_rest", {"url": model.url, "model": model.name, "columns": columns})
    assert [found.pop(name) for name in ("live", "ready", "model", "another")] == [True, True, True, False]
    assert found["kind of json"] == "application/json"
    assert found["kind of binary"] == "application/octet-stream"
    assert found["json"] == found["binary"] == model.expected
    assert (found["refused"][0], "none of prediction" in found["refused"][1]) == (400, True), found["refused"]


def test_kserves_client_speaks_its_first_protocol_too(kserve, model) -> None:
    """`/v1/models/NAME:predict`: rows by name, and in the order that the metadata has."""
    order = list(model.document["components"]["schemas"]["Row"]["properties"])
    lists = [[row[name] for name in order] for row in model.rows]
    asked = {"url": model.url, "model": model.name, "objects": model.rows, "lists": lists}
    found = ask(kserve, "kserve_first", asked)
    assert (found["live"], found["ready"]) == (True, True)
    assert found["objects"] == found["lists"] == {"predictions": model.expected}
    assert found["refused"][0] == 400
    assert "no such column" in found["refused"][1]


def test_kserves_client_sends_one_packed_tensor(kserve, both, numbers) -> None:
    """A model of numbers takes a table [n, columns] under any name."""
    names = [
        column["name"]
        for column in json.loads((numbers / "scorer" / "scorer.json").read_text())["schema"]["columns"]
    ]
    rows = [[float(place + row) for place in range(len(names))] for row in range(5)]
    split = {"dataframe_split": {"columns": names, "data": rows}}
    found = ask(kserve, "kserve_rest", {"url": both.url, "model": "numbers", "columns": {"input-0": rows}})
    expected = both.call("/models/numbers/invocations", split)[1]["predictions"]
    assert found["json"] == found["binary"] == expected


@pytest.fixture(scope="module")
def working_group(environment_of) -> Path:
    """The client that the protocol's working group publishes."""
    return environment_of(*PUBLISHED)


@pytest.fixture(scope="module")
def published(working_group, model) -> dict[str, Any]:
    """What the working group's own client found."""
    request = {"id": "a", "inputs": tensors(model.rows)}
    asked = {"url": model.url, "model": model.name, "request": request}
    return ask(working_group, "published", asked)


def test_the_protocols_own_client_parses_every_answer(published, model) -> None:
    """It is generated from the published document; the first output is the prediction."""
    assert published["server"] == "slipway"
    assert set(published["inputs"]) == set(model.rows[0])
    assert published["predictions"] == [model.expected, model.expected]
    assert [(status, list(body)) for status, body in published["refused"]] == [
        (404, ["error"]),
        (400, ["error"]),
    ]


def test_answers_to_generated_requests_fit_the_published_schemas(both, model, published, tmp_path) -> None:
    """Schemathesis makes requests from the protocol's schemas: 200 as published, or 4xx with an error, never 5xx.

    The paths are the published ones with this model in place of ${MODEL_NAME} and ${MODEL_VERSION}; the
    schemas are read from the working group's client, which is generated from the published document.
    """

    def content(name: str, **more: Any) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}, **more}}}

    def operation(answer: str | None, **more: Any) -> dict[str, Any]:
        good = {"description": "OK"} | (content(answer) if answer else {})
        refusal = {"description": "refused"} | content("MetadataModelErrorResponse")
        return more | {"responses": {"200": good, "4XX": refusal}}

    example = {"valid": {"value": {"inputs": tensors(model.rows[:2])}}}
    body = {"requestBody": {"required": True} | content("InferenceRequest", examples=example)}
    place = f"/v2/models/{model.name}"
    version = both.call(place)[1]["versions"][0]
    paths: dict[str, Any] = {
        "/v2/": {"get": operation("MetadataServerResponse")},
        "/v2/health/live": {"get": operation(None)},
        "/v2/health/ready": {"get": operation(None)},
    }
    for path in (place, f"{place}/versions/{version}"):
        paths[path] = {"get": operation("MetadataModelResponse")}
        paths[path + "/ready"] = {"get": operation(None)}
        paths[path + "/infer"] = {"post": operation("InferenceResponse", **body)}
    info = {"title": "Open Inference Protocol", "version": "2"}
    file = tmp_path / "published.json"
    schemas = {"components": {"schemas": published["schemas"]}}
    file.write_text(json.dumps({"openapi": "3.1.0", "info": info, "paths": paths} | schemas))
    assert "9 selected / 9 total" in run_schemathesis(str(file), "--url", both.url, folder=tmp_path)


def test_a_generated_client_gets_typed_results(tools, model, tmp_path) -> None:
    """The golden predictions, from `/invocations`, `/predict` and V2; a refusal is an Error that names the cell."""
    generate(tools, model.document, tmp_path)
    written = io.StringIO()
    table = csv.DictWriter(written, list(model.rows[0]))
    table.writeheader()
    table.writerows(model.rows)
    asked = {
        "folder": str(tmp_path),
        "url": model.url,
        "prefix": f"/models/{model.name}",
        "rows": model.rows,
        "fault": {"hour": "late"},
        "tensors": tensors(model.rows),
        "csv": written.getvalue(),
    }
    found = ask(tools, "generated", asked)
    assert found["types"] == [
        *("Predictions", "PredictResponse", "InferResponse", "ModelMetadata", "Error", "V2Error")
    ]
    assert found["date"] == ("datetime" if model.name == "mixed" else "float")
    golden = [case["prediction"] for case in model.golden]
    assert found["invocations"] == model.expected == pytest.approx(golden, rel=1e-9)
    assert found["csv"] == found["several"] == found["infer"] == model.expected
    assert found["one"] == pytest.approx(golden[0], rel=1e-9)
    assert set(found["inputs"]) == set(model.rows[0])
    assert (found["fault"]["row"], found["fault"]["column"]) == (1, "hour")
    assert "column" in found["v2 error"]
