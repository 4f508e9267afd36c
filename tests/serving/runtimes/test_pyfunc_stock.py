"""A model without a signature: what MLflow's own tests ask its scoring server, asked here of both servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier

from serving.tryout import stock_server
from tests.serving.conftest import Served, serve
from tests.serving.runtimes.odd_models import saved

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
X = load_iris().data[::10, :2]
ARRAY = X.tolist()
NUMBERED = pd.DataFrame(X)
FRAME = pd.DataFrame(X, columns=["long", "wide"])


def parquet() -> bytes:
    """The rows as a Parquet file."""
    file = BytesIO()
    FRAME.to_parquet(file)
    return file.getvalue()


GOOD: dict[str, tuple[str, Any]] = {
    "records": (JSON, {"dataframe_records": FRAME.to_dict(orient="records")}),
    "records with numbers for names": (JSON, {"dataframe_records": NUMBERED.to_dict(orient="records")}),
    "a charset": (JSON + "; charset=UTF-8", {"dataframe_records": FRAME.to_dict(orient="records")}),
    "split": (JSON, {"dataframe_split": FRAME.to_dict(orient="split")}),
    "split with numbers for names": (JSON, {"dataframe_split": NUMBERED.to_dict(orient="split")}),
    "split without names": (JSON, {"dataframe_split": {"data": ARRAY}}),
    "instances": (JSON, {"instances": ARRAY}),
    "inputs": (JSON, {"inputs": ARRAY}),
    "unknown parameters": (JSON, {"inputs": ARRAY, "params": {"a": 1}}),
    "other keys": (JSON, {"inputs": ARRAY, "note": "mine"}),
    "CSV": (CSV, FRAME.to_csv(index=False).encode()),
    "CSV with a charset": (CSV + "; charset=UTF-8", FRAME.to_csv(index=False).encode()),
    "Parquet": (PARQUET, parquet()),
}
BAD: dict[str, tuple[str, Any]] = {
    "no JSON": (JSON, b"this is,,,, not valid json"),
    "a number": (JSON, 1),
    "a text": (JSON, "1"),
    "a list": (JSON, [1]),
    "none of the forms": (JSON, {"not": "a serialized dataframe"}),
    "two forms": (JSON, {"dataframe_records": [], "dataframe_split": {"data": []}}),
    "records that are split": (JSON, {"dataframe_records": FRAME.to_dict(orient="split")}),
    "split that is records": (JSON, {"dataframe_split": FRAME.to_dict(orient="records")}),
    "more rows than the index": (JSON, {"dataframe_split": {"index": [1, 2], "data": [[1], [2], [3]]}}),
    "one column": (JSON, {"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}),
    "columns by name": (JSON, {"inputs": FRAME.to_dict(orient="list")}),
    "records as instances": (JSON, {"instances": FRAME.to_dict(orient="records")}),
    "columns of unequal length": (JSON, {"instances": [{"a": 1, "b": 2}, {"a": 3}]}),
    "uneven rows": (JSON, {"inputs": [[1.0, 2.0], [3.0]]}),
    "text": (JSON, {"inputs": [["a", "b"]]}),
    "nothing": (JSON, {"inputs": []}),
    "null": (JSON, {"inputs": None}),
    "a scalar": (JSON, {"inputs": 1.0}),
    "no CSV": (CSV, b""),
    "no Parquet": (PARQUET, b"PAR1"),
    "half a character": (CSV, b"\xff,1"),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Iterator[tuple[Served, str]]:
    """Our server and stock MLflow's, for a classifier without a signature."""
    model = KNeighborsClassifier().fit(load_iris().data[:, :2], load_iris().target)
    folder = saved(tmp_path_factory.mktemp("knn") / "knn", model)
    with stock_server(folder) as stock, serve("--model", folder, "--runtime", "pyfunc") as ours:
        yield ours, Served(stock, ours.process)


@pytest.mark.parametrize("case", GOOD)
def test_what_stock_mlflow_answers_is_answered_alike(case, both) -> None:
    """Each way to send the rows of its tests, and a few more."""
    kind, body = GOOD[case]
    ours, stock = (each.call("/invocations", body, headers={"Content-Type": kind}) for each in both)
    assert ours[:2] == stock[:2]
    assert (ours[0], len(ours[1]["predictions"])) == (200, len(X))


@pytest.mark.parametrize("case", BAD)
def test_what_stock_mlflow_refuses_is_refused_with_400(case, both) -> None:
    """Both say BAD_REQUEST, or stock fails with 500; ours shows no stack."""
    kind, body = BAD[case]
    ours, stock = (each.call("/invocations", body, headers={"Content-Type": kind}) for each in both)
    assert stock[0] in (400, 500), stock
    assert ours[0] == 400
    assert ours[1]["error_code"] == "BAD_REQUEST"
    assert "Traceback" not in json.dumps(ours[1])


@pytest.mark.parametrize("kind", ["not_a_supported_content_type", JSON + "; something=something"])
def test_content_types_that_stock_mlflow_does_not_know_are_415(kind, both) -> None:
    """The same status."""
    body = json.dumps({"inputs": ARRAY}).encode()
    assert [each.call("/invocations", body, headers={"Content-Type": kind})[0] for each in both] == [415, 415]


def test_the_pages_for_health_and_version_are_alike(both) -> None:
    """Its own test client compares the version."""
    for path in ("/ping", "/health", "/version"):
        ours, stock = ((status, str(said).strip()) for status, said, _ in (each.call(path) for each in both))
        assert ours == stock
