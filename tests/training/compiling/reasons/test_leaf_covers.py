"""What explains trees, beside the definition over all coalitions, and through every kind of step before them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)  # fmt: skip
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, TargetEncoder
from sklearn.tree import DecisionTreeRegressor

from serving.scorer.errors import ModelError
from serving.scorer.reasons import About, Arrays, explainer_of, leaf_paths, packed
from serving.scorer.reasons.leaf_tables import MOST_BITS, MOST_COLUMNS, MOST_NUMBERS, fits, units_of
from serving.scorer.reasons.packed_arrays import unpacked
from tests.training.compiling.pipelines import CATEGORIES, NUMBERS, categories, numbers
from tests.training.compiling.reasons.explained_models import (
    FRAME,
    MATRIX,
    SCHEMA,
    TARGET,
    Loaded,
    explainer,
    hard_rows,
    plain,
    worth,
    written,
)
from training.lightgbm_text import LightGBMRegressor
from training.transformers import CalendarFeatures, CategoryText


def by_definition(trees, row, behind):
    """Shapley values over all coalitions of columns, and what is known of nothing."""
    columns = sorted(set(behind))
    known = {
        coalition: sum(worth(tree, row, behind, coalition) for tree in trees) / len(trees)
        for size in range(len(columns) + 1)
        for coalition in itertools.combinations(columns, size)
    }
    shares = np.zeros(max(columns) + 1)
    for coalition, value in known.items():
        for column in set(columns) - set(coalition):
            weight = math.factorial(len(coalition)) * math.factorial(len(columns) - len(coalition) - 1)
            more = known[tuple(sorted((*coalition, column)))] - value
            shares[column] += weight / math.factorial(len(columns)) * more
    return shares, known[()]


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), columns=st.integers(1, 5), depth=st.integers(1, 7))
def test_a_tree_is_explained_as_the_definition_has_it(seed, columns, depth):
    """Repeated splits on one column, unused columns and gaps included; the quadrature is exact, not near."""
    import pandas as pd

    random = np.random.default_rng(seed)
    values = random.normal(size=(60, columns)).astype(np.float32).astype(np.float64)
    values[random.random(values.shape) < 0.1] = np.nan
    values[:3] = 0.5
    frame = pd.DataFrame(values, columns=[f"x{place}" for place in range(columns)])
    target = np.nan_to_num(values) @ random.normal(size=columns) + random.normal(size=60)
    model = make_pipeline(DecisionTreeRegressor(max_depth=depth, random_state=0))
    found = explainer(model, frame, target, plain(columns))
    reasons = found.explain(values[:2])
    assert reasons.method == "tree-paths"
    looked_up = found.explain(np.resize(values, (leaf_paths.FIRST_ROWS, columns)))
    assert found.part._way[0] is not None
    np.testing.assert_allclose(looked_up.shares[:2], reasons.shares, rtol=0.0, atol=1e-12)
    for row, shares in zip(values, reasons.shares, strict=False):
        expected, base = by_definition([model[-1].tree_], row, list(range(columns)))
        np.testing.assert_allclose(shares, expected, rtol=0.0, atol=1e-12)
        assert reasons.base == pytest.approx(base, abs=1e-12)


@pytest.mark.parametrize(
    "encoder",
    [OneHotEncoder(handle_unknown="ignore", sparse_output=False), TargetEncoder(cv=KFold(3))],
    ids=["one-hot", "target"],
)
def test_encoded_columns_count_for_the_users_column(encoder):
    """Town is 80 columns to the trees and one to the user: coalitions are of his, not sums over encoded ones."""
    pipeline = make_pipeline(categories(encoder), ExtraTreesRegressor(2, max_depth=4, random_state=0))
    reasons = explainer(pipeline).explain(MATRIX[:2])
    encoded = pipeline[0].transform(FRAME.head(2)).astype(np.float32)
    names = ["x", "size", "flag", "color", "town"]
    if isinstance(encoder, OneHotEncoder):
        fitted = pipeline[0].named_transformers_["categories"][-1]
        sizes = [len(values) for values in fitted.categories_]
    else:
        sizes = [1, 1]
    places = [SCHEMA.names.index(name) for name in names]
    behind = places[:3] + [places[3]] * sizes[0] + [places[4]] * sizes[1]
    for row, shares in zip(encoded, reasons.shares, strict=True):
        expected, base = by_definition([tree.tree_ for tree in pipeline[-1].estimators_], row, behind)
        np.testing.assert_allclose(shares[: len(expected)], expected, rtol=0.0, atol=1e-9)
        assert reasons.base == pytest.approx(base, abs=1e-9)
    assert (reasons.shares[:, SCHEMA.names.index("when")] == 0.0).all()  # no tree looks at it


def histograms(**options):
    """Histogram boosting behind codes, dates and numbers with gaps, as training builds it."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    parts = [
        ("codes", make_pipeline(CategoryText(), codes), CATEGORIES),
        ("dates", CalendarFeatures(), ["when"]),
        ("numbers", "passthrough", NUMBERS),
    ]
    model = HistGradientBoostingRegressor(max_iter=15, random_state=0, categorical_features=[0, 1], **options)
    return make_pipeline(ColumnTransformer(parts), model)


BOOSTED = make_pipeline(
    categories(TargetEncoder(cv=KFold(3))), GradientBoostingRegressor(n_estimators=10, random_state=0)
)
SUMS = {
    "lightgbm": make_pipeline(
        histograms()[0], LightGBMRegressor({"num_iterations": 8, "min_data_in_leaf": 5}, categories=[0, 1])
    ),
    "histograms": histograms(),
    "boosting": BOOSTED,
    "forest": make_pipeline(numbers("passthrough"), RandomForestRegressor(5, random_state=0)),
    "blend": VotingRegressor([("a", histograms()), ("b", clone(BOOSTED))], weights=[0.3, 0.7]),
}
ASKED = {
    "line of triple products": make_pipeline(numbers(PolynomialFeatures(3)), Ridge()),
    "log target": TransformedTargetRegressor(
        make_pipeline(numbers("passthrough"), Ridge()), func=np.log, inverse_func=np.exp
    ),
    "link": histograms(loss="poisson"),
    "products": make_pipeline(
        numbers(PolynomialFeatures(2)), RandomForestRegressor(3, max_depth=3, random_state=0)
    ),
    "blend with triple products": VotingRegressor(
        [("a", make_pipeline(numbers(PolynomialFeatures(3)), Ridge())), ("b", clone(BOOSTED))]
    ),
    "blend with a log target": VotingRegressor(
        [
            ("a", make_pipeline(numbers("passthrough"), Ridge())),
            ("b", TransformedTargetRegressor(clone(BOOSTED), func=np.log, inverse_func=np.exp)),
            ("c", clone(BOOSTED)),
        ]
    ),
    "blend with a line's log target": VotingRegressor(
        [
            (
                "a",
                TransformedTargetRegressor(
                    make_pipeline(numbers("passthrough"), Ridge()), func=np.log, inverse_func=np.exp
                ),
            ),
            ("b", clone(BOOSTED)),
        ]
    ),
}


@pytest.mark.parametrize("name", SUMS)
def test_shares_of_every_sum_of_trees_add_up(name, monkeypatch):
    """On rows of the table and hard ones; alone or among many, looked up or worked out, a row is explained alike."""
    graph, content = written(clone(SUMS[name]), FRAME, TARGET, SCHEMA)
    about, model = (
        About(tuple(SCHEMA.names), "y", "", float(np.std(TARGET))),
        Loaded(graph, len(SCHEMA.columns)),
    )
    found = explainer_of(content, about, model)
    found.explain(np.resize(MATRIX, (leaf_paths.FIRST_ROWS + 1, MATRIX.shape[1])))
    assert found.part._way[0] is not None
    rows = np.vstack([MATRIX[:20], hard_rows()])
    reasons = found.explain(rows)
    finite = np.isfinite(reasons.predictions)
    assert reasons.method == "tree-paths"
    assert finite.sum() >= 20
    apart = reasons.shares[finite].sum(axis=1) + reasons.base - reasons.predictions[finite]
    np.testing.assert_allclose(apart, 0.0, atol=1e-9)
    for place in range(5):
        np.testing.assert_allclose(found.explain(rows[[place]]).shares[0], reasons.shares[place], atol=1e-12)
    for looked_up in ([], [1, 2]):
        monkeypatch.setattr(
            leaf_paths, "fits", lambda leaves, *_, those=looked_up: [each for each in leaves if each in those]
        )
        monkeypatch.setattr(leaf_paths, "FIRST_ROWS", 0)
        other = explainer_of(content, about, model).explain(rows)
        np.testing.assert_allclose(other.shares, reasons.shares, rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("names", ["set_", "feature_"])
def test_a_file_whose_conditions_do_not_fit_is_refused_when_tables_are_made(names, monkeypatch):
    """A number of a set, or of a feature, beyond those that there are: an error of its own, not a traceback."""
    graph, content = written(clone(SUMS["lightgbm"]), FRAME, TARGET, SCHEMA)
    arrays = unpacked(content)
    broken = {
        name: np.full_like(each, 9_999) if name.startswith(names) else each
        for name, each in arrays.by_name.items()
    }
    monkeypatch.setattr(leaf_paths, "Conditions", lambda *_: None)  # as it would refuse some of it at once
    monkeypatch.setattr(leaf_paths, "FIRST_ROWS", 0)
    about, model = About(tuple(SCHEMA.names), "y", "", 1.0), Loaded(graph, len(SCHEMA.columns))
    found = explainer_of(packed(Arrays(broken, arrays.notes)), about, model)
    with pytest.raises(ModelError, match=r"cannot be used|are not given out"):
        found.explain(MATRIX[:1])


def test_what_would_take_too_much_memory_is_not_looked_up():
    """Of 200 trees of 31 leaves over 8 columns all is, of a wide model nothing, of deep trees what is near the root."""
    flights = {1: 169, 2: 608, 3: 1360, 4: 1694, 5: 1480, 6: 748, 7: 136, 8: 5}
    assert fits(flights, 8, 357) == list(flights)
    assert fits(flights, MOST_COLUMNS + 1, 357) == []
    assert fits({3: 10, MOST_BITS + 1: 1}, 12, 100) == [3]
    assert fits({1: 10, 2: MOST_NUMBERS // 8 // 4, 3: 1}, 8, 10) == [1]
    assert fits({1: 10, 2: 1_000}, 8, 2**20) == [1]
    assert fits({1: 10, 2: 20_000}, 2, 10) == [1]


def test_leaves_that_ask_the_same_are_looked_up_together():
    """Each leaf stands in one unit, whose conditions are those of its leaves; strangers and wide paths stay alone."""
    siblings = [
        [1, 2, 3],
        [1, 2, 4],
        [1, 5],
        [6],
        [7, 8, 9, 10, 11, 12, 13, 14],
        [7, 8, 9, 10, 11, 12, 13, 15],
    ]
    units = units_of(siblings)
    assert sorted(leaf for unit in units for leaf in unit.leaves) == list(range(6))
    assert {tuple(sorted(unit.leaves)) for unit in units} >= {(3,), (4,), (5,)}
    assert any({0, 1} <= set(unit.leaves) for unit in units)
    for unit in units:
        assert unit.conditions == {each for leaf in unit.leaves for each in siblings[leaf]}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_no_sum_of_trees_over_one_column_each_is_asked_itself(name):
    """A link, a product of two columns, a part that is no tree: exact still, by all coalitions."""
    reasons = explainer(clone(ASKED[name])).explain(MATRIX[:2])
    assert reasons.method == "all-coalitions"
    apart = reasons.shares.sum(axis=1) + reasons.base - reasons.predictions
    np.testing.assert_allclose(apart[np.isfinite(reasons.predictions)], 0.0, atol=1e-9)


def test_a_line_is_explained_by_coefficient_times_value_minus_mean():
    """Grouped to the user's columns: town has a coefficient for each of its texts."""
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    pipeline = make_pipeline(categories(encoder), Ridge())
    reasons = explainer(pipeline).explain(MATRIX[:10])
    assert (reasons.method, reasons.errors) == ("single-columns", None)
    encoded = pipeline[0].transform(FRAME)
    terms = (encoded - encoded.mean(axis=0))[:10] * pipeline[-1].coef_
    sizes = [len(values) for values in pipeline[0].named_transformers_["categories"][-1].categories_]
    ends = np.cumsum([1, 1, 1, *sizes])
    for name, start, end in zip([*NUMBERS, *CATEGORIES], [0, *ends], ends, strict=False):
        expected = terms[:, start:end].sum(axis=1)
        np.testing.assert_allclose(reasons.shares[:, SCHEMA.names.index(name)], expected, atol=1e-10)


def test_the_same_model_gives_the_same_file():
    """The digest covers it: a rebuilt version has the digest of the first."""
    files = [written(clone(SUMS["blend"]), FRAME, TARGET, SCHEMA)[1] for _ in range(2)]
    assert files[0] == files[1]
