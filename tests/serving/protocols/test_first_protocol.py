"""KServe's first protocol, which is TensorFlow Serving's REST form: `/v1/models/NAME:predict`."""

from __future__ import annotations

import pytest

from tests.serving.openapi.documents import check


@pytest.fixture(scope="module")
def both(start, with_intervals, line):
    """A mixed table with intervals and a model of one column."""
    with start("--model", f"mixed={with_intervals}", "--model", f"line={line}") as served:
        yield served


@pytest.fixture(scope="module")
def rows(golden):
    """Golden rows in the order of the model's columns, and by name."""
    return [case["row"] for case in golden]


@pytest.fixture(scope="module")
def expected(both, rows):
    """What `/invocations` answers."""
    return both.call("/models/mixed/invocations", {"dataframe_records": rows})[1]["predictions"]


def predict(both, body, name="mixed", query=""):
    """Ask, and return status and answer."""
    return both.call(f"/v1/models/{name}:predict{query}", body)[:2]


def columns_of(server):
    """The columns in the model's own order."""
    (name,) = server.call("/v1/models")[1]["models"]
    return [each["name"] for each in server.call(f"/v2/models/{name}")[1]["inputs"]]


def test_rows_as_objects_or_lists_and_columns_give_the_numbers_of_invocations(both, server, rows, expected):
    """To the last bit. A list has the values in the order that the metadata shows."""
    order = columns_of(server)
    columns = {name: [row[name] for row in rows] for name in order}
    for body in (
        {"instances": rows},
        {"instances": [[row[name] for name in order] for row in rows]},
        {"instances": [{name: [value] for name, value in row.items()} for row in rows]},
        {"signature_name": "serving_default", "instances": rows},
        {"signature_name": None, "instances": rows, "id": "a", "parameters": {"x": 1}},
    ):
        assert predict(both, body) == (200, {"predictions": expected})
    for body in (
        {"inputs": columns},
        {"inputs": {name: [[value] for value in values] for name, values in columns.items()}},
        {"inputs": [[row[name] for name in order] for row in rows]},
    ):
        assert predict(both, body) == (200, {"predictions": expected, "outputs": expected})


def test_one_row_alone_and_a_model_of_one_column(both, rows, expected):
    """TensorFlow's half_plus_two, as its page has it: bare values."""
    assert predict(both, {"instances": rows[:1]})[1]["predictions"] == [pytest.approx(expected[0], rel=1e-12)]
    three = both.call("/models/line/predict", {"x": [3, 4.5]})[1]["y"]
    for body in (
        *({"instances": [3, 4.5]}, {"instances": [[3], [4.5]]}, {"instances": [{"x": 3}, {"x": 4.5}]}),
        *({"inputs": [3, 4.5]}, {"inputs": {"x": [3, 4.5]}}, {"inputs": {"x": [[3], [4.5]]}}),
    ):
        assert predict(both, body, "line")[1]["predictions"] == three


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "either instances (rows) or inputs (columns)"),
        ({"instances": [1], "inputs": [1]}, "either instances (rows) or inputs (columns)"),
        ([], "either instances (rows) or inputs (columns)"),
        ({"instances": 5}, "instances must be a list"),
        ({"instances": {"x": [1]}}, "instances must be a list"),
        ({"instances": []}, "there are no rows"),
        ({"instances": [[1, 2]]}, "a list of 9 values in the model's order"),
        ({"instances": [1]}, "a list of 9 values in the model's order"),
        ({"instances": [{}, []]}, "a list of 9 values in the model's order"),
        ({"inputs": 5}, "inputs must be an object of columns"),
        ({"inputs": {"hour": 5}}, "inputs must be an object of columns"),
        ({"inputs": {"hour": [1], "month": [1, 2]}}, "the same number of values"),
        ({"instances": [{"hour": 1}]}, "no such column"),
        ({"instances": [{"hour": [1, 2]}]}, "no such column"),
        ({"signature_name": "classify", "instances": [{}]}, "signature_name must be serving_default"),
        (b"{'a': 1}", "double quotes"),
    ],
)
def test_what_cannot_be_used_is_refused_in_the_protocols_own_form(both, body, says):
    """`{"error": "..."}`, as both of its servers have it."""
    status, answer = predict(both, body)
    assert status == 400
    assert list(answer) == ["error"]
    assert says in answer["error"]


def test_states_say_ready_for_kserve_and_available_for_tensorflow(both):
    """KServe's client reads `ready`, TensorFlow's `state`."""
    for path in ("/v1/models/mixed", "/v1/models/mixed/"):
        status, answer, _ = both.call(path)
        assert (status, answer["name"], answer["ready"]) == (200, "mixed", True)
        (version,) = answer["model_version_status"]
        assert (version["state"], version["status"]["error_code"]) == ("AVAILABLE", "OK")
    label = version["version"]
    assert both.call(f"/v1/models/mixed/versions/{label}")[0] == 200
    assert both.call(f"/v1/models/mixed/versions/{label}:predict", {"instances": []})[0] == 400
    for path in (
        "/v1/models/mixed/versions/99",
        "/v1/models/other",
        "/v1/models/other:predict",
        "/v1",
        "/v1/x",
    ):
        assert both.call(path)[0] == 404, path
    for path in ("/v1/models/mixed:explain", "/v1/models/mixed/versions/99:predict"):
        assert both.call(path, {"instances": []})[0] == 404, path
    assert both.call("/v1/models/mixed:predict")[0] == 405
    assert both.call("/v1/models")[1] == {"models": ["mixed", "line"]}


def test_intervals_unseen_categories_and_metrics_are_as_on_other_paths(both, rows):
    """The address asks for a coverage, the header names what is unseen, the requests are counted."""
    status, answer = predict(both, {"instances": rows[:2]}, query="?coverage=0.9")
    assert (status, answer["intervals"]["coverage"], len(answer["intervals"]["lower"])) == (200, 0.9, 2)
    unseen = {"instances": [rows[0] | {"carrier": "new"}]}
    assert both.call("/v1/models/mixed:predict", unseen)[2]["X-Unseen-Categories"] == "carrier=1"
    assert 'slipway_requests_total{protocol="v1",status="200"}' in both.call("/metrics")[1]


def test_the_document_describes_it(both, rows):
    """Request and answer fit the schemas; the paths stand at the root, whatever the model's prefix."""
    described = both.call("/models/mixed/openapi.json")[1]
    place = described["paths"]["/v1/models/mixed:predict"]
    assert place["servers"] == [{"url": "/"}]
    check({"instances": rows}, "V1Request", described)
    check({"inputs": {"x": [1]}}, "V1Request", described)
    check(predict(both, {"instances": rows})[1], "V1Response", described)
    check(both.call("/v1/models/mixed")[1], "V1Model", described)
    check(both.call("/v1/models")[1], "V1Models", described)
