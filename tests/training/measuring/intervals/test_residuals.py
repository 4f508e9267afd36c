"""Whose residuals make the intervals where a split has no calibration rows: those that the search has validated."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from data.splits import SplitRule
from data.tables import Table
from training.challenger import searching
from training.commands import trainings
from training.measuring import conformal
from training.rows import PreparedTable, arrange
from training.search import cross_validation

SPEC = {"family": "ridge", "params": {"alpha": 1.0}}


@pytest.fixture(scope="module")
def rows() -> PreparedTable:
    """8,000 rows with sides of their own, none of them for calibration."""
    random = np.random.default_rng(0)
    x = random.normal(size=8_000)
    side = np.where(np.arange(8_000) % 8 == 0, "holdout", "train")
    frame = pd.DataFrame({"x": x, "y": 2.0 * x + random.normal(size=8_000), "side": side})
    table = Table("t", frame, {"x": "number", "y": "number", "side": "category"})
    rule = SplitRule("column", ("side",))
    return arrange(table, rule, trainings.TrainConfig("t", "y"), lambda *_: None)


@pytest.mark.parametrize(("count", "folds"), [(7_000, 5), (7_000, 3), (2_500, 5)])
def test_what_the_search_has_validated_is_not_fitted_again(
    rows: PreparedTable, count: int, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6,000 rows were fitted again after a search of all 17,500: 15 seconds that no budget knew of, and too wide."""
    training = rows.training(0)
    searched = cross_validation.out_of_fold(SPEC, training.sample(count).with_folds(folds))
    monkeypatch.setattr(cross_validation, "out_of_fold", lambda *_: pytest.fail("it was fitted again"))
    found = conformal.residuals_of(None, SPEC, rows, seed=0, searched=searched)
    assert found is not None
    known = np.isfinite(searched)
    assert known.sum() == pytest.approx(count * folds / 5, rel=0.1)
    places = cross_validation.sampled(7_000, count)[known]
    expected = np.abs(rows.target("train")[places] - searched[known])
    np.testing.assert_array_equal(found.absolute, expected)
    assert found.frame["x"].tolist() == rows.frame("train")["x"].iloc[places].tolist()


def test_a_few_rows_or_some_folds_say_too_little(rows: PreparedTable) -> None:
    """Then a sample is fitted again, as where nothing was searched."""
    training = rows.training(0)
    few = cross_validation.out_of_fold(SPEC, training.sample(500))
    some = cross_validation.out_of_fold(SPEC, training)
    some[training.folds[-1][1]] = np.nan
    for searched in (few, some, None):
        found = conformal.residuals_of(None, SPEC, rows, seed=0, searched=searched)
        assert found is not None
        assert len(found.absolute) == conformal.MOST_ROWS


def test_a_reproduction_is_told_which_rows_these_were(rows: PreparedTable) -> None:
    """The search had a time budget; a version is made again without one, and a retrain has a time of its own."""
    searched = cross_validation.out_of_fold(SPEC, rows.training(0).sample(2_500).with_folds(2))
    winner = SimpleNamespace(spec=SPEC, rows=7_000, fitted_on=7_000, out_of_fold=searched)
    recorded = searching.with_rows(winner, 7_000, searching.validated(winner, rows, seed=0))
    assert recorded == {**SPEC, searching.SEARCHED: [2_500, 2]}
    assert searching.without_rows(recorded) == SPEC
