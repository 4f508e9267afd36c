"""The digests of a table's rows: computed once for each thing asked, and never those of other rows."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pandas as pd
import pytest

from data.splits import Split, SplitRule, split_table
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


KINDS = {"x": "number", "c": "category", "day": "datetime", "gone": None}


def cell_of(value: object, kind: str | None) -> bytes:
    """Return the nine bytes that the module's text promises for a cell of a known kind, alike in every format."""
    if kind is None or pd.isna(value) or value in ("", "NA"):
        return bytes(9)
    if kind == "category":
        return b"\2" + blake2b(str(value).encode(), digest_size=8).digest()
    number = pd.Timestamp(value, tz="UTC").timestamp() if kind == "datetime" else value + 0.0
    return (b"\3" if kind == "datetime" else b"\1") + np.float64(number).astype("<f8").tobytes()


@pytest.mark.parametrize("salt", ["", "houses", "longer than a key may be" * 4])
def test_each_row_is_hashed_as_is_written_down(salt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered versions tell their rows apart by it: cell by cell here, in blocks of three rows there."""
    monkeypatch.setattr(fingerprints, "ROWS_AT_ONCE", 3)
    cells = {
        "x": [1.5, -0.0, np.nan, 0.0, 1e300, -7.0, 2.0**53],
        "c": ["a", None, "", "Köln", "NA", "a", "b"],
        "day": [
            "2024-01-31",
            None,
            "2024-01-31T00:00:00",
            "1969-12-31T23:59:59.5",
            "2024-02-29",
            None,
            "2000-01-01",
        ],
        "gone": [None] * 7,
    }
    frame = pd.DataFrame(
        {name: pd.Series(cells[name], dtype=float if name == "x" else object) for name in cells}
    )
    rows = [b"".join(map(cell_of, row, KINDS.values())) for row in zip(*cells.values(), strict=True)]
    expected = [blake2b(row, digest_size=8, key=salt.encode()[:64]).digest() for row in rows]
    found = row_digests(Table("rows.csv", frame, KINDS), list(KINDS), salt=salt, kinds=KINDS, values="alike")
    assert found.astype("<u8").tobytes() == b"".join(expected)
    none = row_digests(Table("rows.csv", frame, KINDS), [], salt=salt)
    assert none.astype("<u8").tobytes() == 7 * blake2b(digest_size=8, key=salt.encode()[:64]).digest()


def test_all_rows_are_the_table_itself_and_keep_their_digests() -> None:
    """Five million rows took a second to copy, and ten to hash again."""
    rows = table()
    assert rows.take(np.ones(200, dtype=np.bool_)) is rows
    turned = Table("rows.csv", rows.frame[::-1], rows.kinds)
    assert turned.take(np.ones(200, dtype=np.bool_)).frame.index.tolist() == list(range(200))


@pytest.mark.parametrize(
    "rows", [np.array([], dtype=np.uint64), np.array([7, 3, 7, 2**64 - 1], dtype=np.uint64)]
)
def test_blocks_are_counted_as_numpy_counts_them(rows: np.ndarray) -> None:
    """`np.unique` took six seconds for those of five million rows, sorting them half of one."""
    sides = np.full(len(rows), "train")
    assert Split(SplitRule("hash", COLUMNS), sides, rows).distinct == len(np.unique(rows))
