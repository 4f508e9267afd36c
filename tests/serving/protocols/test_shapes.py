"""The shapes of JSON that MLflow's parser takes for rows; each was tried on MLflow 3.17.2."""

import json
import tracemalloc

import pytest

from data.schema import Column, Schema
from serving.errors import RequestError
from serving.protocols.invocations import decode
from serving.rows.media import JSON
from serving.settings import Limits

ONE = Schema((Column("x", "number"),), target="y")
TWO = Schema((Column("x", "number"), Column("z", "number")), target="y")


def read(body, schema):
    """Return the packed rows as lists."""
    return decode(json.dumps(body).encode(), JSON, schema, Limits()).matrix.tolist()


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [1, 2]},
        {"instances": [1, 2]},
        {"inputs": {"x": [1, 2]}},
        {"instances": {"x": [1, 2]}},
        {"instances": [{"x": 1}, {"x": 2}]},
        {"dataframe_split": {"columns": ["x"], "data": [1, 2]}},
        {"dataframe_split": {"columns": ["x"], "data": [[1], [2]]}},
    ],
)
def test_a_model_of_one_column_takes_bare_values(body):
    """There is only one place they can go."""
    assert read(body, ONE) == [[1.0], [2.0]]


@pytest.mark.parametrize("key", ["inputs", "instances"])
def test_a_single_value_beside_lists_stands_in_every_row(key):
    """As pandas has it, and MLflow with it."""
    assert read({key: {"x": [1, 2], "z": 5}}, TWO) == [[1.0, 5.0], [2.0, 5.0]]
    assert read({key: {"x": 1, "z": 5}}, TWO) == [[1.0, 5.0]]


def test_values_that_the_model_ignores_are_not_repeated():
    """Ten thousand of them beside a long list would be gigabytes."""
    ignored = {f"extra{place}": 1 for place in range(9000)}
    body = json.dumps({"inputs": {"x": [1] * 100_000, "z": 2, **ignored}}).encode()
    tracemalloc.start()
    rows = decode(body, JSON, TWO, Limits())
    assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    tracemalloc.stop()
    assert (len(rows.matrix), rows.extra) == (100_000, 9000)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [1, 2]},
        {"inputs": [[1, 2]]},
        {"inputs": 5},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": {"x": [1, 2], "z": [1]}},
        {"inputs": {"x": [[1], [2]], "z": [3, 4]}},
        {"instances": [{"x": 1, "z": 2}, 5]},
        {"dataframe_split": {"data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["x", "z"], "data": [1, 2]}},
        {"dataframe_records": {"x": 1, "z": 2}},
    ],
)
def test_what_mlflow_cannot_place_is_refused(body):
    """Bare values have no place in a model of two columns, and lengths must agree."""
    with pytest.raises(RequestError):
        read(body, TWO)
