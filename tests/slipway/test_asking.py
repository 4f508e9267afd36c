"""A registered model in this process: the answers of the server and of stock MLflow, or a refusal that says where."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import slipway
from serving.errors import CoverageRefused
from serving.registry.errors import ModelNotFound
from serving.scorer.errors import WrongDigest
from serving.signatures.errors import NotTrusted
from slipway.errors import NotATable, RefusedRows
from slipway.given import as_arrow
from tests.keys import pair
from tests.registered import Store
from training.__main__ import main

X = [0.0, 2.5, -7.25]


@pytest.fixture
def model(store: Store) -> slipway.Model:
    """The champion of `line`."""
    return slipway.load("models:/line@champion")


def test_an_alias_is_resolved_once(model: slipway.Model) -> None:
    """Who asks what answered must not be told an alias that moves."""
    assert model.uri == "models:/line/1"
    assert (model.target, model.columns) == ("y", ("x",))
    assert repr(model) == "<slipway.Model models:/line/1: y from x>"


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"note": ["a", "b", "c"], "x": X}, index=[7, 3, 5]),
        pd.DataFrame({"x": pd.array(X, dtype="Float64")}),
        pd.DataFrame({"x": X}).convert_dtypes(dtype_backend="pyarrow"),
        pa.table({"x": X}),
        pa.table({"x": pa.chunked_array([X[:1], X[1:]])}),
        {"x": X},
        {"x": np.array(X)},
        [{"x": X[0]}, {"x": X[1], "note": "b"}, {"x": X[2]}],
        pa.RecordBatch.from_pydict({"x": X}),
    ],
    ids=["frame", "nullable", "arrow frame", "table", "chunks", "columns", "arrays", "records", "batch"],
)
def test_rows_in_any_form_get_what_stock_mlflow_answers(rows: object, model: slipway.Model) -> None:
    """A form that is converted in another way would give another number."""
    stock = mlflow.pyfunc.load_model("models:/line/1").predict(pd.DataFrame({"x": X}))
    np.testing.assert_allclose(model.predict(rows), stock, rtol=1e-12)


def test_columns_without_a_name_are_called_as_those_of_a_file() -> None:
    """A training calls them so: the frame that it was given found no prediction."""
    for rows in (pd.DataFrame([[1, 2]], columns=["", "x"]), pa.table({"": [1], "x": [2]}), [{"": 1, "x": 2}]):
        assert as_arrow(rows).column_names == ["column 1", "x"]


def test_rows_that_can_be_read_once_are_all_read(model: slipway.Model) -> None:
    """Their columns' names are looked for first: of a generator nothing was left then, and none was missed."""
    expected = model.predict({"x": X})
    for rows in ({"x": x} for x in X), pa.table({"x": X}).to_reader():
        np.testing.assert_array_equal(model.predict(rows), expected)


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame([[1.0, 2.0, 3.0]], columns=["x", "x", "z"]),
        pd.DataFrame([[1.0, 2.0]], columns=["x", "x"]).convert_dtypes(dtype_backend="pyarrow"),
        pa.table([[1.0], [2.0]], names=["x", "x"]),
        pa.RecordBatch.from_arrays([[1.0], [2.0]], names=["x", "x"]),
    ],
    ids=["frame", "arrow frame", "table", "batch"],
)
def test_columns_of_one_name_are_refused_by_it(rows: object, model: slipway.Model) -> None:
    """Each of them may be meant."""
    with pytest.raises(NotATable, match=r"table: more than one column is called 'x': rename one$"):
        model.predict(rows)  # type: ignore[arg-type]


def test_a_cell_that_cannot_be_used_is_named(model: slipway.Model) -> None:
    """Instead of a NaN among the predictions."""
    with pytest.raises(
        RefusedRows, match=r"models:/line/1[\s\S]*row 1, column 'x': expected .*, found"
    ) as told:
        model.predict(pd.DataFrame({"x": ["1", "two", "3"]}))
    assert told.value.count >= 1
    with pytest.raises(RefusedRows, match="column 'x'"):
        model.predict(pd.DataFrame({"z": X}))


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"x": [1.0, "two"]}),
        pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("a", "x")])),
        {"x": [1.0, 2.0], "z": [1.0]},
        [1.0, 2.0],
        7,
    ],
    ids=["mixed", "two levels", "uneven", "no records", "no rows"],
)
def test_what_is_no_table_is_refused_in_one_line(rows: object, model: slipway.Model) -> None:
    """Pyarrow's own errors have several, and name no repair."""
    with pytest.raises(NotATable, match=r"^these rows are no table: [^\n]+: pass [^\n]+$"):
        model.predict(rows)  # type: ignore[arg-type]


def test_no_rows_get_no_predictions(model: slipway.Model) -> None:
    """A filter that leaves nothing is no mistake."""
    assert model.predict(pd.DataFrame({"x": np.empty(0)})).shape == (0,)


def test_intervals_that_a_version_does_not_have_are_refused(model: slipway.Model) -> None:
    """It was registered without."""
    with pytest.raises(CoverageRefused):
        model.predict({"x": X}, coverage=0.9)


def test_threads_get_what_one_gets(model: slipway.Model) -> None:
    """It is promised."""
    rows = [np.linspace(-9, 9, 50) + place for place in range(16)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda x: model.predict({"x": x}), rows))
    for x, predicted in zip(rows, together, strict=True):
        np.testing.assert_array_equal(predicted, model.predict({"x": x}))


def test_a_version_that_was_changed_behind_the_registry_is_not_loaded(store: Store) -> None:
    """Its promotion vouches for other files."""
    path = store.artifacts("1") / "scorer" / "scorer.json"
    path.write_text(path.read_text().replace('"x"', '"z"'))
    with pytest.raises(WrongDigest):
        slipway.load("models:/line@champion")


def test_a_signature_can_be_asked_for(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server and the scoring of files ask for one."""
    keys, stranger = pair(tmp_path), pair(tmp_path, "stranger")
    with pytest.raises(NotTrusted):
        slipway.load("models:/line@champion", trust=keys.public)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(keys.private))
    assert main(["sign", "--name", "line", "--version", "1"]) == 0
    signed = slipway.load("models:/line@champion", trust=[stranger.public, keys.public])
    assert signed.uri == "models:/line/1"
    with pytest.raises(NotTrusted):
        slipway.load("models:/line@champion", trust=str(stranger.public))


def test_a_model_that_is_not_there_is_said(store: Store) -> None:
    """By one line, as on the command line."""
    with pytest.raises(ModelNotFound, match="nobody"):
        slipway.load("models:/nobody@champion")
