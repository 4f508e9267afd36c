"""The digests of a table's rows: computed once for each thing asked, and never those of other rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.splits import SplitRule, split_table
from data.tables import Table, fingerprint, fingerprints, row_digests

COLUMNS = ("a", "b")


def table() -> Table:
    """200 rows, a number and a text."""
    frame = pd.DataFrame({"a": np.arange(200.0), "b": [f"word {row % 7}" for row in range(200)]})
    return Table("rows.csv", frame, {"a": "number", "b": "category"})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The columns of each time that rows were really hashed."""
    found: list[tuple[str, ...]] = []
    hashed = fingerprints._digests
    monkeypatch.setattr(
        fingerprints,
        "_digests",
        lambda of, columns, *how: found.append((*columns,)) or hashed(of, columns, *how),
    )
    return found


def test_a_table_is_hashed_once_for_all_who_split_it(asked: list[tuple[str, ...]]) -> None:
    """A training, its gate and the champion split one table by one rule: a million rows took ten seconds each time."""
    rows, rule = table(), SplitRule("hash", COLUMNS, salt="houses", kinds={"a": "number", "b": "category"})
    first = split_table(rows, rule)
    again = split_table(rows, SplitRule.from_dict(first.rule.as_dict()))
    np.testing.assert_array_equal(first.sides, again.sides)
    assert asked == [COLUMNS]
    assert fingerprint(rows) == fingerprint(table())
    assert len(asked) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"salt": "cars"},
        {"kinds": {"a": None, "b": "category"}},
        {"kinds": {"a": "number", "b": "category"}, "values": "alike"},
    ],
    ids=str,
)
def test_what_was_asked_otherwise_is_not_mixed_up(other: dict, asked: list[tuple[str, ...]]) -> None:
    """Each answer is the one that a table which was never asked before gives."""
    rows = table()
    row_digests(rows, COLUMNS)
    row_digests(rows, COLUMNS[::-1])
    np.testing.assert_array_equal(row_digests(rows, COLUMNS, **other), row_digests(table(), COLUMNS, **other))
    assert len(asked) == 4


def test_a_table_of_other_rows_or_columns_begins_anew() -> None:
    """It is made from one whose digests are known."""
    rows = table()
    known = row_digests(rows, COLUMNS)
    np.testing.assert_array_equal(row_digests(rows.take(np.array([5, 3])), COLUMNS), known[[5, 3]])
    assert fingerprint(rows.without(["b"])) != fingerprint(rows)


def test_nobody_changes_the_digests_of_another() -> None:
    """They are shared: who sorts them in place would move rows to other sides."""
    with pytest.raises(ValueError, match="read-only"):
        row_digests(table(), COLUMNS).sort()
