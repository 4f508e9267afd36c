"""A row of a batch has the bits that it has alone, whatever adds its cells and whatever asks its trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVR

from serving.scorer.graph_checks import read_graph
from serving.scorer.graph_session import Session
from serving.scorer.same_bits import SameBitsSession, sessions
from serving.scorer.same_bits.leaf_masks import LeafMasks, leaf_masks
from tests.training.compiling.pipelines import CATEGORIES, NUMBERS, categories, dates, numbers, table
from training.compiling import compile_pipeline, pack_frame
from training.compiling.graph import Graph
from training.transformers import CategoryText

FRAME, TARGET, SCHEMA = table(400)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PREDICTION, BOTH = ("prediction",), ("prediction", "scale")


def encoded() -> ColumnTransformer:
    """Numbers as they are, and codes of categories."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=254)
    return ColumnTransformer(
        [
            ("numbers", "passthrough", NUMBERS),
            ("categories", make_pipeline(CategoryText(), codes), CATEGORIES),
        ]
    )


def boosting(**options: Any) -> Any:
    """Trees that split on sets of categories, with gaps."""
    model = HistGradientBoostingRegressor(
        max_iter=15, categorical_features=[3, 4], min_samples_leaf=3, **options
    )
    return make_pipeline(encoded(), model)


PIPELINES = {
    "numbers and categories": lambda: make_pipeline(
        categories(OneHotEncoder(handle_unknown="ignore")), LinearRegression()
    ),
    "a network": lambda: make_pipeline(
        numbers(StandardScaler()), MLPRegressor(hidden_layer_sizes=(7, 3), random_state=0)
    ),
    "vectors": lambda: make_pipeline(numbers(StandardScaler()), SVR()),
}
TREES = {
    "sets and gaps": boosting,
    "64 leaves": lambda: boosting(max_leaf_nodes=64),
    "of calendar features, in float32": lambda: make_pipeline(
        dates(), GradientBoostingRegressor(n_estimators=15)
    ),
    "beside a forest": lambda: make_pipeline(
        encoded(),
        VotingRegressor(
            [
                ("few leaves", HistGradientBoostingRegressor(max_iter=15)),
                ("many", RandomForestRegressor(n_estimators=3, random_state=0)),
            ]
        ),
    ),
}


def graph_of(pipeline: Any, scale: Any = None) -> bytes:
    """The graph of a pipeline, and of a scale, that learned a table of all kinds of columns."""
    return compile_pipeline(
        pipeline.fit(FRAME, TARGET), SCHEMA, scale=scale and scale.fit(FRAME, np.abs(TARGET))
    )


def sum_of(columns: int, operator: str) -> bytes:
    """A graph that adds up the cells of a row, all of them in one go."""
    graph = Graph(columns)
    if operator == "MatMul":
        return graph.finish(graph.rows @ np.full((columns, 1), 1.1))
    return graph.finish(graph.op(operator, graph.rows, np.array([-1]), keepdims=1))


def packed_rows(count: int = 3_001) -> np.ndarray:
    """Rows of the table over and over, numbers a little apart."""
    matrix = np.resize(pack_frame(FRAME, SCHEMA), (count, len(SCHEMA.columns)))
    for place, column in enumerate(SCHEMA.columns):
        if column.kind == "number":
            matrix[:, place] *= 1 + np.arange(count) / 1e6
    return matrix


def assert_same_anywhere(graph: bytes, rows: np.ndarray) -> None:
    """Each row has the same bits alone, in batches that begin and end at odd rows, 24 at once, and on two threads."""
    session = SameBitsSession(graph, widest=Session.BLOCK_NUMBERS // 25)
    whole = SameBitsSession(graph, threads=2).predict(np.concatenate([rows] * 9))[: len(rows)]
    for step in (1, 3, 1_000):
        pieces = [session.predict(rows[start : start + step]) for start in range(1, len(rows), step)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole[1:])


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean", "ReduceSumSquare", "MatMul"])
@pytest.mark.parametrize("columns", [2, 3, 5, 8, 13])
def test_cells_are_added_in_one_order(columns: int, operator: str) -> None:
    """Of an odd number onnxruntime begins with another one in every second row."""
    random = np.random.default_rng(columns)
    rows = random.normal(size=(1_001, columns)) * 10.0 ** random.integers(-3, 4, (1_001, columns))
    assert_same_anywhere(sum_of(columns, operator), rows)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_row_has_the_bits_that_it_has_alone(name: str) -> None:
    """Whatever of the model adds up cells: looked up coefficients, products, distances to vectors."""
    assert_same_anywhere(graph_of(PIPELINES[name]()), packed_rows(1_001))


@pytest.mark.parametrize("name", TREES)
def test_trees_by_tables_give_the_bits_of_branches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On rows at and beside each threshold, with gaps and what training never saw, and in the first bit of the sum."""
    monkeypatch.setattr(sessions, "PARTED_FROM", 1)
    session = SameBitsSession(graph_of(TREES[name](), scale=boosting()), threads=2)
    rows = packed_rows()
    np.testing.assert_array_equal(session.predict(rows), session._whole(PREDICTION, rows)[0])
    np.testing.assert_array_equal(
        session.predict_with_scale(rows), np.column_stack(session._whole(BOTH, rows))
    )
    for outputs in (PREDICTION, BOTH):
        parted = session._parted[outputs]
        assert parted is not None and parted.has_tables
        hard = np.concatenate([*parted.hard_rows(5_000, rows.shape[1]), rows[:8]])
        for one, other in zip(parted(hard) or [], session._whole(outputs, hard), strict=True):
            np.testing.assert_array_equal(one, other)


def test_trees_are_asked_by_tables_beside_a_line_that_looks_up_categories(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hard rows hold codes that a row can have: looked up beyond its end, a table would end the job."""
    monkeypatch.setattr(sessions, "PARTED_FROM", 1)
    session = SameBitsSession(graph_of(PIPELINES["numbers and categories"](), scale=boosting()))
    rows = packed_rows()
    found = session.predict_with_scale(rows)
    np.testing.assert_array_equal(found, np.column_stack(session._whole(BOTH, rows)))
    assert session._parted[BOTH]


def test_tables_that_give_another_bit_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine, by another onnxruntime: they are held to its answers before they are trusted."""
    graph, rows = graph_of(boosting()), packed_rows()
    expected = SameBitsSession(graph).predict(rows)
    monkeypatch.setattr(sessions, "PARTED_FROM", 1)
    asked = LeafMasks.__call__
    monkeypatch.setattr(LeafMasks, "__call__", lambda self, matrix: np.nextafter(asked(self, matrix), np.inf))
    session = SameBitsSession(graph)
    np.testing.assert_array_equal(session.predict(rows), expected)
    assert session._parted[PREDICTION] is None


def test_a_code_that_is_no_whole_number_goes_through_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut down where onnxruntime looks for it in a set; the tables know whole codes alone."""
    monkeypatch.setattr(sessions, "PARTED_FROM", 1)
    session, rows = SameBitsSession(graph_of(boosting())), packed_rows()
    session.predict(rows)
    rows[7, SCHEMA.names.index("town")] = 2.5
    np.testing.assert_array_equal(session.predict(rows), session._whole(PREDICTION, rows)[0])


@pytest.mark.parametrize("leaves", [2, 64, 65])
def test_trees_of_many_leaves_keep_their_branches(leaves: int) -> None:
    """A mask has 64 bits."""
    graph = graph_of(make_pipeline(numbers("passthrough"), RandomForestRegressor(2, max_leaf_nodes=leaves)))
    trees = [node for node in read_graph(graph).nodes if node.operator == "TreeEnsemble"]
    assert (leaf_masks(trees[0]) is None) == (leaves > 64)
