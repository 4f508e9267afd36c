"""What explains a prediction: Shapley values by their axioms and by brute force, and the file that they come from."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.errors import TooLarge, TooSlow
from serving.scorer.errors import NotAScorer, UnsoundReasons
from serving.scorer.reasons import METHOD, About, Arrays, Names, Ways, explainer_of, packed
from serving.scorer.reasons.packed_arrays import unpacked

RANDOM = np.random.default_rng(0)


def wavy(matrix):
    """A model with products, a bend and a jump."""
    a, b, c = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    return a * b + np.sin(c) + 3.0 * (a > 0.2) * (c < 0.5)


class Model:
    """A function as a loaded model."""

    def __init__(self, predict):
        self.predict = predict


def explained(model, background, matrix, **about):
    """What explains a model's predictions."""
    columns = tuple(f"c{place}" for place in range(background.shape[1]))
    content = packed(Arrays({Names.BACKGROUND: background}, {METHOD: Ways.ASKED}))
    about = About(columns, "y", "m", 1.0)
    return explainer_of(content, about, Model(model)).explain(matrix)


def by_definition(model, background, row):
    """Shapley values as the textbook has them: the mean over all orders of what a column adds."""
    count = len(row)
    worth = {}
    for size in range(count + 1):
        for members in itertools.combinations(range(count), size):
            mixed = background.copy()
            mixed[:, list(members)] = row[list(members)]
            worth[members] = model(mixed).mean()
    shares = np.zeros(count)
    for order in itertools.permutations(range(count)):
        for place, column in enumerate(order):
            before = tuple(sorted(order[:place]))
            shares[column] += worth[tuple(sorted((*before, column)))] - worth[before]
    return shares / math.factorial(count)


def test_all_coalitions_are_the_definition():
    """An independent walk over all orders gives the same shares."""
    background, rows = RANDOM.normal(size=(20, 3)), RANDOM.normal(size=(5, 3))
    reasons = explained(wavy, background, rows)
    expected = [by_definition(wavy, background, row) for row in rows]
    np.testing.assert_allclose(reasons.shares, expected, rtol=1e-12, atol=1e-12)
    assert (reasons.method, reasons.errors) == ("all-coalitions", None)


@settings(max_examples=25)
@given(
    background=arrays.arrays(np.float64, (4, 3), elements=st.floats(-1e3, 1e3)),
    row=arrays.arrays(np.float64, (1, 3), elements=st.floats(-1e3, 1e3)),
)
def test_shares_sum_to_the_prediction_and_equal_columns_share_equally(background, row):
    """Efficiency, symmetry and the null player: Shapley's axioms, which no other shares have."""
    background[:, 1], row[:, 1] = background[:, 0], row[:, 0]

    def symmetric(matrix):
        return np.abs(matrix[:, 0] + matrix[:, 1]) ** 1.5

    reasons = explained(symmetric, background, row)
    base = symmetric(background).mean()
    scale = max(1.0, abs(base), *reasons.predictions)
    assert abs(reasons.shares.sum() - (symmetric(row)[0] - base)) <= 1e-9 * scale
    assert reasons.shares[0, 2] == pytest.approx(0.0, abs=1e-12 * scale)
    assert reasons.shares[0, 0] == pytest.approx(reasons.shares[0, 1], abs=1e-9 * scale)


def test_sampled_orders_sum_exactly_and_are_as_far_off_as_they_say():
    """Twelve columns: beside the exact shares of the same game, found by the sum of its small parts."""
    weights = RANDOM.normal(size=12)
    background, rows = RANDOM.normal(size=(16, 12)), RANDOM.normal(size=(3, 12))

    def model(matrix):
        return matrix @ weights + 4.0 * matrix[:, 0] * matrix[:, 1]

    reasons = explained(model, background, rows)
    assert (reasons.method, reasons.errors is None) == ("sampled-orders", False)
    sums = reasons.shares.sum(axis=1)
    np.testing.assert_allclose(sums, model(rows) - model(background).mean(), rtol=1e-9, atol=1e-9)
    pair = [by_definition(lambda m: 4.0 * m[:, 0] * m[:, 1], background[:, :2], row[:2]) for row in rows]
    exact = weights * (rows - background.mean(axis=0))
    exact[:, :2] += pair
    off = np.abs(reasons.shares - exact)
    assert (off <= 5.0 * reasons.errors + 1e-9).all()
    assert reasons.errors[:, :2].max() > 0.0
    np.testing.assert_allclose(off[:, 2:], 0.0, atol=1e-9)  # what no other column changes has no error
    again = explained(model, background, rows)
    np.testing.assert_array_equal(again.shares, reasons.shares)


def in_pairs(matrix):
    """A model in which two columns act together at most."""
    a, b, c = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    return a * b + np.sin(c) * (a > 0.2) + np.exp(b)


def test_pairs_of_columns_share_as_all_coalitions_do():
    """For two questions a column; where three columns act together nothing is given out."""
    background, rows = RANDOM.normal(size=(20, 3)), RANDOM.normal(size=(5, 3))
    content = packed(Arrays({Names.BACKGROUND: background}, {METHOD: Ways.PAIRS}))
    about = About(("a", "b", "c"), "y", "m", 1.0)
    found = explainer_of(content, about, Model(in_pairs))
    reasons, expected = found.explain(rows), explained(in_pairs, background, rows)
    np.testing.assert_allclose(reasons.shares, expected.shares, rtol=1e-12, atol=1e-12)
    assert (reasons.base, reasons.method, reasons.errors) == (expected.base, "column-pairs", None)
    with pytest.raises(TooSlow):
        found.explain(rows, deadline=0.0)
    with pytest.raises(UnsoundReasons):
        explainer_of(content, about, Model(lambda matrix: matrix.prod(axis=1))).explain(rows)


def test_a_row_without_a_prediction_has_no_reasons():
    """A model that refuses a row says NaN, and nothing is made up about it."""

    def refusing(matrix):
        return np.where(matrix[:, 0] > 10.0, np.nan, matrix[:, 0])

    reasons = explained(refusing, np.zeros((2, 2)), np.array([[11.0, 0.0], [1.0, 0.0]]))
    assert np.isnan(reasons.shares[0]).all()
    np.testing.assert_allclose(reasons.shares[1], [1.0, 0.0])


def test_reasons_that_do_not_add_up_are_not_given_out():
    """A model that answers otherwise at each question has none."""
    calls = itertools.count()

    def moody(matrix):
        return matrix[:, 0] + next(calls)

    with pytest.raises(UnsoundReasons, match="row 0"):
        explainer = explainer_of(
            packed(Arrays({Names.BACKGROUND: np.ones((2, 11))}, {METHOD: Ways.ASKED})),
            About(("c",) * 11, "y", "", 1.0),
            Model(moody),
        )
        explainer.part._values = explainer.part._values + 1.0
        explainer.explain(np.ones((1, 11)))


def test_what_takes_too_long_or_too_many_rows_is_refused():
    """A question costs thousands of predictions, so it is bounded before and while it is worked on."""
    content = packed(Arrays({Names.BACKGROUND: np.ones((100, 10))}, {METHOD: Ways.ASKED}))
    explainer = explainer_of(content, About(("c",) * 10, "y", "", 1.0), Model(lambda matrix: matrix[:, 0]))
    assert explainer.most_rows == 39
    explainer.check_rows(39)
    with pytest.raises(TooLarge, match="more than 39 rows to explain"):
        explainer.check_rows(40)
    with pytest.raises(TooSlow):
        explainer.explain(np.ones((2, 10)), deadline=0.0)


def test_arrays_come_back_as_they_were():
    """Gaps too; the same arrays give the same bytes."""
    made = {"b": np.array([[1.0, np.nan]]), "a": np.arange(3, dtype=np.int32), "c": np.zeros(0)}
    content = packed(Arrays(made, {"method": "é"}))
    found = unpacked(content)
    assert found.notes == {"method": "é"}
    for name, values in made.items():
        np.testing.assert_array_equal(found.by_name[name], values)
        assert found.by_name[name].dtype == values.dtype
    assert packed(Arrays(dict(reversed(made.items())), {"method": "é"})) == content


def hostile(header, data=b""):
    """A file with this header."""
    said = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return len(said).to_bytes(8, "little") + said + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 7,
        b"\xff" * 40,
        hostile(b"[" * 5000),
        hostile([]),
        hostile({"x": 3}),
        hostile({"x": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 8]}}, b"0" * 8),
        hostile({"x": {"dtype": "F64", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}),
        hostile({"x": {"dtype": "F64", "shape": [-1, -1], "data_offsets": [0, 8]}}, b"0" * 8),
        hostile({"x": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"0" * 8),
        hostile({"x": {"dtype": "F64", "shape": [1.0], "data_offsets": [0, 8]}}, b"0" * 8),
        hostile({"x": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, b"0" * 9),
        hostile({"x": {"dtype": "F64", "shape": [1], "data_offsets": [8, 16]}}, b"0" * 16),
        hostile({name: {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]} for name in "xy"}, b"0" * 8),
        hostile({f"x{n}": {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]} for n in range(2000)}),
        packed(Arrays({}, {METHOD: "magic"})),
        packed(Arrays({}, {METHOD: Ways.ASKED})),
        packed(Arrays({Names.BACKGROUND: np.zeros((2, 5))}, {METHOD: Ways.ASKED})),
        packed(Arrays({Names.BACKGROUND: np.zeros((0, 3))}, {METHOD: Ways.ASKED})),
        packed(Arrays({}, {METHOD: Ways.PAIRS})),
        packed(Arrays({Names.BACKGROUND: np.zeros((2, 5))}, {METHOD: Ways.PAIRS})),
        packed(Arrays({}, {METHOD: Ways.SUM})),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(content):
    """By name, before anything is made of it: no size in it is believed beyond its own bytes."""
    with pytest.raises(NotAScorer, match=r"explain\.safetensors"):
        explainer_of(content, About(("a", "b", "c"), "y", "", 1.0), Model(wavy))


def single(reference, means, base=0.0):
    """A file of reasons of a model that adds up its columns."""
    arrays = {
        Names.REFERENCE: np.array(reference),
        Names.MEANS: np.array(means),
        Names.BASE: np.array([base]),
    }
    return packed(Arrays(arrays, {METHOD: Ways.SINGLE}))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (single([0.0, 0.0], [0.0, math.nan]), "means holds what is no number"),
        (single([0.0, 0.0], [0.0, math.inf]), "means holds what is no number"),
        (single([0.0, 0.0], [0.0, 0.0], math.nan), "base holds what is no number"),
        (single([math.nan, 0.0], [0.0, 0.0]), "gives no number for its row"),
        (
            packed(Arrays({Names.BACKGROUND: np.full((2, 2), np.nan)}, {METHOD: Ways.ASKED})),
            "base is no number",
        ),
        (
            packed(Arrays({Names.BACKGROUND: np.full((2, 2), np.nan)}, {METHOD: Ways.PAIRS})),
            "base is no number",
        ),
        (
            packed(Arrays({"value_1": np.array([math.nan])}, {METHOD: Ways.TREES})),
            "value_1 holds what is no number",
        ),
    ],
)
def test_a_file_whose_reasons_would_all_be_null_is_refused_at_load(content, fault):
    """A share of NaN was null in each answer, and nobody was told that the file is broken."""
    with pytest.raises(NotAScorer, match=fault):
        explainer_of(content, About(("a", "b"), "y", "", 1.0), Model(lambda matrix: matrix.sum(axis=1)))


def test_a_gap_in_a_stored_row_is_a_row_like_any_other():
    """A model that takes gaps explains with them: rows may hold NaN, what shares are made of may not."""

    def filled(matrix):
        return np.nan_to_num(matrix).sum(axis=1)

    for content in (
        single([math.nan, 0.0], [0.0, 0.0]),
        packed(Arrays({Names.BACKGROUND: np.array([[math.nan, 1.0]])}, {METHOD: Ways.ASKED})),
    ):
        explainer = explainer_of(content, About(("a", "b"), "y", "", 1.0), Model(filled))
        assert np.isfinite(explainer.explain(np.array([[2.0, 3.0]])).shares).all()
