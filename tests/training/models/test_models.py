"""The families on rows as they come: gaps, new categories, dates; and the search over them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from data.splits import SplitRule, split_table
from data.tables import describe
from tests.training.models.family_rows import FEATURES, table
from training.models import families, portfolio
from training.models.families import FAMILIES, build
from training.search import cross_validation
from training.search.choosing import Callbacks, choose
from training.search.cross_validation import TrainingRows
from training.time_budget import Budget
from training.transformers import CalendarFeatures, CategoryText, calendar


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "process"])
def test_a_row_is_predicted_alike_alone_and_among_others(family: str) -> None:
    """A null arrives as None in a column of nulls and as NaN in a mixed one; an unseen category is no error."""
    given = table()
    schema = describe(given, FEATURES, target="y")
    fitted = build({"family": family}, schema, seed=0).fit(given.frame[FEATURES], given.numbers("y"))
    rows = given.frame[FEATURES].head(12).copy()
    rows.loc[3, "city"] = "Paris"
    together = fitted.predict(rows)
    alone = [fitted.predict(rows.iloc[[row]])[0] for row in range(12)]
    as_nan = fitted.predict(rows.assign(city=rows["city"].where(rows["city"].notna(), np.nan)))
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    np.testing.assert_allclose(as_nan, together, rtol=1e-12)


def test_the_search_prefers_the_family_that_fits() -> None:
    """A straight line with noise of standard deviation 1 is ridge's, and its error is near the noise."""
    given = table(1500)
    schema = describe(given, FEATURES, target="y")
    split = split_table(given, SplitRule("hash", tuple(FEATURES)))
    training = given.take(split.mask("train"))
    told = []
    choice = choose(
        TrainingRows(training.frame[FEATURES], training.numbers("y"), split.folds(3), schema, 0),
        budget=Budget(seconds=60.0, trials=2),
        callbacks=Callbacks(candidate=told.append),
    )
    assert {candidate.family for candidate in told} >= {"mean", "ridge"}
    assert choice.best.family == "ridge"
    # 10 % of x is missing, which costs 3² * 0.1 of variance beside the noise of 1.
    assert choice.best.cv_rmse == pytest.approx(np.sqrt(1.0 + 0.9), rel=0.1)
    assert choice.best is choice.candidates[0]


def test_the_calendar_is_pythons() -> None:
    """The standard library's datetime is the reference; an offset is applied."""
    texts = ["2012-02-29", "1969-12-31T23:59:00", "2013-07-01T01:30:00+02:00", None]
    found = calendar(pd.Series(texts, dtype=object))
    np.testing.assert_array_equal(found[0], [2012, 2, 29, 2, 60, 0, 0, 15399.0])
    np.testing.assert_array_equal(found[1], [1969, 12, 31, 2, 365, 23, 59, -60.0 / 86400.0])
    np.testing.assert_array_equal(found[2, :7], [2013, 6, 30, 6, 181, 23, 30])
    assert np.isnan(found[3]).all()


def test_text_that_is_no_date_is_an_error() -> None:
    """A wrong date must not become a missing one."""
    frame = pd.DataFrame({"day": pd.Series(["2013-02-30"], dtype=object)})
    with pytest.raises(ValueError, match=r"2013-02-30|day is out of range"):
        CalendarFeatures().fit(frame).transform(frame)


def test_missing_categories_become_one_kind_of_missing() -> None:
    """None, NaN and pandas' NA are one."""
    frame = pd.DataFrame({"city": pd.Series(["Ulm", None, np.nan, pd.NA], dtype=object)})
    texts = CategoryText().fit(frame).transform(frame)["city"].tolist()
    assert texts[0] == "Ulm"
    assert all(isinstance(text, float) and np.isnan(text) for text in texts[1:])


@pytest.mark.parametrize("family", portfolio.MONOTONIC)
@pytest.mark.parametrize("way", [1, -1])
def test_a_family_that_keeps_directions_keeps_them(family: str, way: int) -> None:
    """Whatever noise says: along x, with all else as it was, no prediction goes the other way."""
    given = table(600)
    schema = describe(given, FEATURES, target="y")
    task = portfolio.Task(600, schema, monotonic={"x": way})
    spec = portfolio.shaped({"family": family, "params": {}}, task)
    target = np.sin(3.0 * np.nan_to_num(given.frame["x"])) + np.random.default_rng(1).normal(size=600)
    fitted = build(spec, schema, seed=0).fit(given.frame[FEATURES], target)
    along = np.linspace(-5.0, 5.0, 400)
    for row in range(0, 600, 60):
        rows = given.frame[FEATURES].iloc[[row] * 400].assign(x=along)
        steps = np.diff(fitted.predict(rows)) * way
        assert steps.min() >= -1e-12
        assert steps.max() > 0.0


def test_where_lightgbm_cannot_be_loaded_its_family_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its wheel needs the system's libgomp, which slim images lack: a training goes on without it, and says so."""
    families.lightgbm_loads.cache_clear()
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    task = portfolio.Task(600, describe(table(), FEATURES, target="y"))
    try:
        assert not portfolio.fits({"family": "lightgbm", "params": {}}, task)
        assert "lightgbm" not in {spec["family"] for spec in portfolio.first(task)}
        assert "libgomp1" in caplog.text
    finally:
        families.lightgbm_loads.cache_clear()
    monkeypatch.undo()
    assert portfolio.fits({"family": "lightgbm", "params": {}}, task)


@pytest.mark.parametrize("family", ["lightgbm", "ridge"])
def test_predictions_on_all_cores_have_the_same_bits(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and intervals hang on them, and with these a version's digest; a product's bits hang on its blocks."""
    monkeypatch.setattr(cross_validation, "BLOCK_ROWS", 7)
    given = table()
    schema = describe(given, FEATURES, target="y")
    fitted = build({"family": family}, schema, seed=0).fit(given.frame[FEATURES], given.numbers("y"))
    expected, calls = fitted.predict(given.frame[FEATURES]), []
    last = fitted.steps[-1][1]
    predict = type(last).predict
    monkeypatch.setattr(
        type(last), "predict", lambda model, rows: calls.append(len(rows)) or predict(model, rows)
    )
    assert cross_validation.predicted(fitted, given.frame[FEATURES]).tobytes() == expected.tobytes()
    assert len(calls) == (58 if family == "lightgbm" else 1)
