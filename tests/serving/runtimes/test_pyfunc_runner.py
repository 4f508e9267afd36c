"""The process that runs a model, alone: what it joins, and that no request touches another's answer."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

from serving.runtimes.model_processes.pyfunc_process import Request, Runner
from tests.conftest import missing_part
from tests.serving.runtimes.odd_models import Hinted, Kinds, Nosy, Strange, saved

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]


@pytest.fixture(scope="module")
def linear(tmp_path_factory) -> Runner:
    """A model on BLAS, in this process."""
    random = np.random.default_rng(0)
    x = pd.DataFrame(random.normal(size=(200, 6)), columns=list("abcdef"))
    model = LinearRegression().fit(x, x.to_numpy() @ np.arange(6.0))
    folder = tmp_path_factory.mktemp("linear") / "m"
    version = saved(folder, model, signature=infer_signature(x, model.predict(x)))
    return Runner(version, most_rows=100, joins=True)


def split_of(rows: np.ndarray) -> bytes:
    """One request."""
    return body_of("dataframe_split", rows)


def body_of(form: str, rows: np.ndarray) -> bytes:
    """One request, in one of the four forms."""
    frame = pd.DataFrame(rows, columns=list("abcdef"))
    orient = {"dataframe_split": "split", "inputs": "list"}.get(form, "records")
    return json.dumps({form: frame.to_dict(orient=orient)}).encode()


def answers(runner: Runner, bodies: list[bytes]) -> list[tuple[int, Any]]:
    """Statuses and predictions, or the reason of a refusal."""
    found = runner.answer([Request("application/json", body) for body in bodies])
    return [(each.status, next(iter(json.loads(each.body).values()))) for each in found]


FORMS = ["dataframe_split", "dataframe_records", "instances", "inputs"]
FAULTS = [b"{", b'{"inputs": [[1.0], [2.0, 3.0]]}', b'{"dataframe_records": [{"a": "x"}]}']


@given(
    sizes=st.lists(st.tuples(st.sampled_from(FORMS), st.integers(1, 7)), min_size=2, max_size=16),
    faults=st.lists(st.tuples(st.integers(0, 16), st.sampled_from(FAULTS)), max_size=3),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_joined_answers_equal_single_ones(linear, sizes, faults, seed) -> None:
    """Whatever requests happen to wait together, good and bad; one part in a million is left to BLAS."""
    random = np.random.default_rng(seed)
    bodies = [
        body_of(form, random.normal(size=(size, 6)) * 10.0 ** random.integers(-3, 4)) for form, size in sizes
    ]
    for place, fault in faults:
        bodies.insert(place, fault)
    together = answers(linear, bodies)
    for body, (status, predictions) in zip(bodies, together, strict=True):
        ((alone_status, alone),) = answers(linear, [body])
        assert status == alone_status == (400 if body in FAULTS else 200)
        if status == 200:
            np.testing.assert_allclose(predictions, alone, rtol=1e-6)
        else:
            assert predictions == alone


def test_a_bad_request_does_not_touch_its_neighbours(linear) -> None:
    """Text among numbers, a row too short, too many rows, no JSON object: each gets its own answer."""
    good = split_of(np.ones((2, 6)))
    text = good.replace(b"1.0", b'"x"', 1)
    short = b'{"dataframe_split": {"columns": ["a"], "data": [[1.0]]}}'
    many = split_of(np.ones((101, 6)))
    nan = good.replace(b"1.0", b"1e400", 1)  # more than a float64 holds
    found = linear.answer(
        [Request("application/json", body) for body in (good, text, short, good, many, nan, good)]
    )
    assert [response.status for response in found] == [200, 400, 400, 200, 413, 400, 200]
    first, *others = (json.loads(found[place].body)["predictions"] for place in (0, 3, 6))
    for other in others:
        np.testing.assert_allclose(first, other, rtol=1e-6)


@pytest.mark.parametrize("requests", [3, 10])
def test_requests_are_joined_only_where_the_operator_says_so(requests, tmp_path, monkeypatch) -> None:
    """A model that looks at its neighbours would answer one client by what another sent."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    runner = Runner(saved(tmp_path / "nosy", Nosy()), most_rows=100)
    bodies = [json.dumps({"dataframe_records": [{"x": float(-x)}]}).encode() for x in range(requests)]
    assert answers(runner, bodies) == [(200, [0.0])] * requests


def test_requests_of_one_form_are_one_call(linear) -> None:
    """Thirty that wait cost what one does: the gain of joining."""
    calls = 0

    def counted(data: Any, params: Any = None) -> Any:
        nonlocal calls
        calls += 1
        return predict(data, params=params)

    predict, linear._model.predict = linear._model.predict, counted
    answers(linear, [split_of(np.ones((1, 6)))] * 30)
    linear._model.predict = predict
    assert calls == 1


@pytest.mark.filterwarnings("ignore")
def test_a_keras_network_answers_joined_requests_as_single_ones(tmp_path) -> None:
    """In float32, through TensorFlow: still within a millionth, at every size of a group; no progress bars."""
    if not find_spec("tensorflow"):
        missing_part("TensorFlow (pip install '.[tensorflow]')")
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, activation="relu") for _ in range(3)]
    network = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(1)])
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 6))
    signature = infer_signature(x, network.predict(x, verbose=0))
    mlflow.tensorflow.save_model(network, tmp_path / "net", signature=signature, pip_requirements=[])
    runner = Runner(str(tmp_path / "net"), most_rows=100, joins=True)
    assert not keras.utils.is_interactive_logging_enabled()
    for requests in (2, 3, 7, 20, 64):
        bodies = [
            json.dumps({"inputs": random.normal(size=(size, 6)).tolist()}).encode()
            for size in random.integers(1, 4, requests)
        ]
        alone = [np.array(answers(runner, [body])[0][1]) for body in bodies]
        for one, (status, other) in zip(alone, answers(runner, bodies), strict=True):
            assert status == 200
            assert np.abs(np.array(other) - one).max() <= 1e-6 * max(1, np.abs(one).max())


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> Runner:
    """A model whose answers break libraries."""
    folder = tmp_path_factory.mktemp("strange") / "m"
    return Runner(saved(folder, Strange(), infer_code_paths=False), most_rows=100, joins=True)


@pytest.mark.parametrize(("x", "status"), [(-1.0, 200), (-2.0, 400), (-3.0, 400), (-4.0, 400)])
def test_what_a_model_answers_to_one_does_not_end_the_process(x, status, strange) -> None:
    """An integer of 71 bits, half a surrogate pair, no JSON at all, an MLflow error without a word."""
    bodies = [json.dumps({"dataframe_records": [{"x": each}]}).encode() for each in (1.0, x, 2.0)]
    found = answers(strange, bodies)
    assert [each[0] for each in found] == [200, status, 200]
    assert (found[0][1], found[2][1]) == ([1.0], [2.0])
    assert status == 200 or len(found[1][1]) > 10


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> Runner:
    """A model that tells the type of what it gets, without a signature."""
    folder = tmp_path_factory.mktemp("kinds") / "m"
    return Runner(saved(folder, Kinds(), infer_code_paths=False), most_rows=100, joins=True)


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-(2**63), 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "1", "\u00e9"]),
)


@given(
    form=st.sampled_from(FORMS),
    plain=st.booleans(),
    requests=st.lists(st.lists(CELLS, min_size=1, max_size=2), min_size=2, max_size=6),
)
@settings(max_examples=400)
def test_no_request_changes_the_type_of_its_neighbours(kinds, form, plain, requests) -> None:
    """A column of integers becomes another beside one of halves, gaps or texts: only equal kinds go together."""
    bodies = [json.dumps(_cells(form, cells, plain=plain)).encode() for cells in requests]
    alone = [answers(kinds, [body])[0] for body in bodies]
    assert answers(kinds, bodies) == alone


def _cells(form: str, cells: list[Any], *, plain: bool) -> dict[str, Any]:
    if form == "dataframe_split":
        return {form: {"columns": ["x"], "data": [[cell] for cell in cells]}}
    if form in ("inputs", "instances") and plain:
        return {form: cells}
    return {form: {"x": cells} if form == "inputs" else [{"x": cell} for cell in cells]}


def test_a_model_with_type_hints_gets_what_was_sent(tmp_path) -> None:
    """As stock MLflow: inputs alone, as plain Python, joined or not; a refusal quotes no data."""
    runner = Runner(saved(tmp_path / "hinted", Hinted()), most_rows=100, joins=True)
    bodies = [json.dumps({"inputs": texts}).encode() for texts in (["a", "bc"], ["d"], [7])]
    found = answers(runner, bodies)
    assert found[:2] == [(200, ["str a", "str bc"]), (200, ["str d"])]
    assert found[2][0] == 400
    assert "type hint" in found[2][1]
    assert "7" not in found[2][1]
    ((status, says),) = answers(runner, [b'{"dataframe_records": [{"x": "a"}]}'])
    assert (status, "as inputs" in says) == (400, True)
