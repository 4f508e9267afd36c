"""The OpenAPI document against the server that gives it out."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from data.schema import Column, Schema
from serving.openapi import describing
from serving.openapi.forms import of_scorer, of_signature
from serving.scorer.document import Document, Parity
from serving.scorer.intervals import Intervals
from tests.serving.openapi.documents import check, run_schemathesis


@pytest.mark.parametrize(
    ("model", "examples"),
    [
        ("line", 25),
        pytest.param("with_intervals", 50, marks=pytest.mark.soak),
        pytest.param("flights", 50, marks=pytest.mark.soak),
    ],
)
def test_generated_requests_find_no_failure_and_no_undocumented_answer(
    start, request, model, examples, tmp_path
):
    """Schemathesis makes right and wrong requests from the document alone."""
    with start("--model", str(request.getfixturevalue(model))) as served:
        said = run_schemathesis(served.url + "/openapi.json", folder=tmp_path, examples=examples)
        assert "25 selected / 25 total" in said
        assert served.call("/readyz")[0] == 200


def test_the_examples_fit_and_score(server, golden):
    """The document's rows are golden ones, valid by its own schema; so is the answer that it shows."""
    document = server.call("/openapi.json")[1]
    call = document["paths"]["/invocations"]["post"]
    assert set(call["requestBody"]["content"]) > {"application/json", "text/csv"}
    taken = call["requestBody"]["content"]["application/json"]
    given = call["responses"]["200"]["content"]["application/json"]
    body, shown = (each["examples"]["golden"]["value"] for each in (taken, given))
    assert len(body["dataframe_records"]) == 2
    check(body, "Invocations", document)
    check(shown, "Predictions", document)
    status, answer, _ = server.call("/invocations", body)
    assert (status, answer["predictions"]) == (200, [case["prediction"] for case in golden[:2]])
    assert shown["predictions"] == pytest.approx(answer["predictions"])
    (inputs,) = document["components"]["schemas"]["InferRequest"]["properties"]["inputs"]["examples"]
    check({"inputs": inputs}, "InferRequest", document)
    (path,) = (path for path in document["paths"] if path.endswith("/infer") and "{" not in path)
    inferred = server.call(path, {"inputs": inputs})[1]
    check(inferred, "InferResponse", document)
    assert inferred["outputs"][0]["data"] == answer["predictions"]


def test_columns_are_described_by_what_training_saw():
    """Kinds as types, units and ranges as documentation, categories as examples; intervals where there are some."""
    columns = (
        Column("area", "number", unit="m²", minimum=20.0, maximum=240.0),
        Column("sold", "datetime", minimum=1356998400.0, maximum=1388448000.0),
        Column("town", "category", categories=tuple(f"town {number}" for number in range(12))),
        Column("garden", "boolean"),
    )
    intervals = Intervals("calibration", 100, False, (0.5, 0.9), (10.0, 30.0))
    made = Document(Schema(columns, "price", "EUR"), "", Parity(1, 0.0, 0.0, 1.0), {}, (), (), intervals)
    schemas = describing.document(of_scorer(made), name="houses", version="3")["components"]["schemas"]
    cells = schemas["Row"]["properties"]
    assert cells["area"] == {"type": ["number", "null"], "description": "m²; training saw 20 to 240"}
    assert cells["sold"]["description"] == "training saw 2013-01-01 to 2013-12-31"
    assert cells["town"]["description"] == "training saw 12 categories; another is scored as unknown"
    assert cells["town"]["examples"] == [f"town {number}" for number in range(10)]
    assert cells["garden"] == {"type": ["boolean", "null"]}
    assert schemas["Predictions"]["properties"]["predictions"]["items"]["description"] == "price in EUR"
    coverage = schemas["InferParameters"]["properties"]["coverage"]
    assert (coverage["minimum"], coverage["maximum"]) == (0.5, 0.9)
    assert set(schemas["Predictions"]["properties"]) == {"predictions", "intervals"}


def columns(**kinds: str) -> list[dict[str, Any]]:
    """A signature of columns; a question mark makes one optional."""
    return [
        {"name": name, "type": kind.rstrip("?"), "required": not kind.endswith("?")}
        for name, kind in kinds.items()
    ]


def tensor(dtype: str, *shape: int, **name: str) -> dict[str, Any]:
    """A signature's tensor."""
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}} | name


SIGNATURES = {
    "columns": (columns(a="double", b="long?", c="string"), [{"type": "double", "required": True}]),
    "image": ([tensor("float64", -1, 2, 2)], [tensor("float32", -1, 3)]),
    "named tensors": ([tensor("float64", -1, 2, name="x"), tensor("int64", -1, name="y")], []),
    "none": ([], []),
}
FITS = {
    "columns": {"dataframe_records": [{"a": None, "c": "x"}, {"a": 1.5, "b": 2, "c": "y"}]},
    "image": {"inputs": [[[1.0, 2.0], [3.0, 4.0]]]},
    "named tensors": {"inputs": {"x": [[1.0, 2.0]], "y": [3]}},
    "none": {"instances": [["anything"]]},
}
DIFFERS = {
    "columns": [
        {"dataframe_records": [{"a": 1.5}]},
        {"inputs": {"a": [1.5], "c": "x"}},
        {"instances": [{"a": "x", "c": "x"}]},
    ],
    "image": [
        {"inputs": [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]},
        {"inputs": [["x"]]},
        {"dataframe_records": [{}]},
    ],
    "named tensors": [{"inputs": {"x": [[1.0, 2.0]]}}, {"inputs": {"x": [[1.0]], "y": [1]}}],
    "none": [{"rows": []}],
}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_signature_is_described_by_its_types_and_shapes(signature):
    """What fits it fits the document, and what differs does not."""
    inputs, outputs = SIGNATURES[signature]
    forms = of_signature({"inputs": inputs, "outputs": outputs})
    document = describing.document(forms, name="m", version="1")
    check(FITS[signature], "Invocations", document)
    for body in DIFFERS[signature]:
        with pytest.raises(jsonschema.ValidationError):
            check(body, "Invocations", document)
    if signature == "image":
        check({"predictions": [[0.5, None, 1.0]]}, "Predictions", document)
        with pytest.raises(jsonschema.ValidationError):
            check({"predictions": [0.5]}, "Predictions", document)
