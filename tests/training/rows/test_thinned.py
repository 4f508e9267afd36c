"""A large table is gone on with by a sample: the same rows in any order, and a row that was held out stays so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.splits import SplitRule
from data.tables import Table, fingerprints
from training.commands import trainings
from training.rows import PreparedTable, arrange, thinned

RULE = SplitRule("hash", ("x",))


def arranged(frame: pd.DataFrame, rule: SplitRule = RULE, said: list[str] | None = None) -> PreparedTable:
    """Return the rows that a training of a table goes on with."""
    table = Table("t", frame, {"x": "number", "y": "number"})
    tell = (lambda step, words: said.append(f"{step} {words}")) if said is not None else lambda *_: None
    return arrange(table, rule, trainings.TrainConfig("t", "y"), tell)


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """2,000 rows, a fifth of them twice, of which a training takes 500 to learn from and 100 to be judged by."""
    for name, value in {"CELLS_A_SECOND": 0, "LEAST_CELLS": 500, "JUDGED_A_SECOND": 0}.items():
        monkeypatch.setattr(thinned, name, value)
    monkeypatch.setattr(thinned, "LEAST_JUDGED", 100)
    x = np.random.default_rng(0).normal(size=2_000)
    x[1_600:] = x[:400]
    return pd.DataFrame({"x": x, "y": 2.0 * x})


def test_the_same_rows_are_taken_in_any_order(frame: pd.DataFrame) -> None:
    """`reproduce` reads the table again, and a database may give its rows in another order."""
    first, again = arranged(frame), arranged(frame.iloc[::-1].reset_index(drop=True))
    for side in ("train", "calibration", "holdout"):
        assert first.target(side).tolist() == again.target(side).tolist()
    assert first.fingerprint == again.fingerprint


def test_each_row_stays_on_its_side_and_as_many_as_asked_are_taken(frame: pd.DataFrame) -> None:
    """What was held out, and is not judged by, must not be learned from."""
    said: list[str] = []
    rows = arranged(frame, said=said)
    assert 500 <= rows.split.counts["train"] < 520
    assert 100 <= rows.split.counts["holdout"] < 110
    assert rows.all_counts is not None
    assert rows.rows_in_all == 2_000
    everything = {
        side: set(arranged_whole(frame).target(side)) for side in ("train", "calibration", "holdout")
    }
    for side, targets in everything.items():
        assert set(rows.target(side)) <= targets
    assert any(line.startswith("sample 5") and "training" not in line for line in said)


def arranged_whole(frame: pd.DataFrame) -> PreparedTable:
    """Return all rows, on their sides."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinned, "LEAST_CELLS", 10**9)
        patch.setattr(thinned, "LEAST_JUDGED", 10**9)
        whole = arranged(frame)
    assert whole.all_counts is None
    return whole


def test_twins_are_taken_together(frame: pd.DataFrame) -> None:
    """A split by repeats numbers equal rows: without the first of two the second would change its side."""
    taken = arranged(frame, SplitRule("repeat", ("x", "y"))).checked.table.frame
    counted = taken.groupby("x").size()
    assert set(counted[counted.index.isin(frame["x"][:400])]) == {2}


def test_rows_are_hashed_once_for_their_sides_and_once_for_their_content(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five million rows each time takes six seconds before the budget begins, also where some lack the target."""
    hashed, asked = fingerprints._digests, []
    monkeypatch.setattr(
        fingerprints, "_digests", lambda of, *how: asked.append((len(of), *how[0])) or hashed(of, *how)
    )
    frame.loc[7, "y"] = np.nan
    assert arranged(frame).all_counts
    assert asked == [(2_000, "x", "y"), (1_999, "x")]
