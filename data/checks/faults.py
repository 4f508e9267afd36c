"""Everything that looks wrong with a table's columns, all of it at once.

A fault says where (column, row numbers), what was found and what to do. It is a suspicion about how the
table was written: none of these stops a training by itself, since a column of text stays usable as
text; `strict` makes them errors. Whether a column knows the answer is for `data.checks.leakage`, and whether
it keeps what a user promised for `data.contracts`.

Texts are looked at value by value, not row by row, so that a million rows of twenty airports cost
twenty looks. A share decides what a column was meant to be: where half of its texts or more are numbers,
or dates, the others are strays. Codes of which only half are digits are taken for such a column, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.cell_values import instant
from data.figures import number
from data.long_arrays import blocks
from data.tables import Table

MEANT_SHARE = 0.5
"""Share of a column's texts that must be numbers, or dates, for the others to be strays."""

MOSTLY_MISSING = 0.5
"""Share of missing cells beyond which a column is a fault."""

SHOWN_ROWS = 5
"""Rows that the line of a fault names at most."""

MANY_LINE_BREAKS = 100
"""Line breaks in one text that look like rows joined by a stray quote; a review or an address has fewer."""

PLAIN = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
MARKED = re.compile(
    r"\s*[+-]?\s*([€$£¥₹]|EUR|USD|GBP|CHF)?\s*[+-]?"
    r"(\d{1,3}([,.'’ \u00a0\u202f]\d{3})+([.,]\d+)?|\d+([.,]\d+)?)\s*([€$£¥₹%]|EUR|USD|GBP|CHF)?\s*",
    re.IGNORECASE,
)
DATES = {
    "2024-01-31": re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?"),
    "2024/01/31": re.compile(r"\d{4}/\d{1,2}/\d{1,2}( .*)?"),
    "31/01/2024": re.compile(r"\d{1,2}/\d{1,2}/\d{2,4}( .*)?"),
    "31.01.2024": re.compile(r"\d{1,2}\.(0?[1-9]|1\d|2\d|3[01])\.\d{2,4}( .*)?"),
    "31-01-2024": re.compile(r"\d{1,2}-\d{1,2}-\d{4}( .*)?"),
    "31 Jan 2024": re.compile(r"\d{1,2}[ -][A-Za-z]{3,9}\.?[ -]\d{2,4}( .*)?"),
    "Jan 31, 2024": re.compile(r"[A-Za-z]{3,9}\.? \d{1,2},? \d{4}( .*)?"),
}
GARBLED = re.compile(r"\ufffd|[\x00-\x08\x0b\x0c\x0e-\x1f]|[ÃÂ][\u0080-\u00bf]|â(€|\u0080)")
"""A replacement character, a control character, or UTF-8 that was read as Latin-1 or CP-1252."""

GAP_WORDS = frozenset({"", "-", "--", "?", ".", "n/a", "na", "nan", "none", "null", "nil", "missing", "#n/a"})
"""Words, in small letters, by which people say that a cell is missing."""


@dataclass(frozen=True)
class TableFault:
    """One thing that looks wrong.

    Attributes
    ----------
    column : str
        Where.
    found : str
        What stands there.
    repair : str
        What to do.
    rows : tuple of int
        The first rows concerned, from 1 without the header; empty where the whole column is.
    count : int
        How many rows are.
    """

    column: str
    found: str
    repair: str
    rows: tuple[int, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        """Say where, what and the repair in one line."""
        return f"column {self.column!r}{_rows_in_words(self.rows, self.count)}: {self.found}: {self.repair}"


def rows_of(mask: NDArray[np.bool_]) -> tuple[tuple[int, ...], int]:
    """Return the first rows of a mask as people count them, and how many there are."""
    count, row, rows = int(np.count_nonzero(mask)), 0, []
    for _ in range(min(count, SHOWN_ROWS)):
        row += int(mask[row:].argmax()) + 1
        rows.append(row)
    return tuple(rows), count


def _rows_in_words(rows: Sequence[int], count: int) -> str:
    if not rows:
        return ""
    more = f" and {count - len(rows):,} more" if count > len(rows) else ""
    return f", row{'s' if count > 1 else ''} {', '.join(map(str, rows))}{more}"


def column_faults(table: Table, *, ignored: Sequence[str] = ()) -> list[TableFault]:
    """Return what looks wrong, column by column in the table's order.

    Parameters
    ----------
    table : Table
        All rows, as loaded.
    ignored : sequence of str
        Columns that are not used.
    """
    faults: list[TableFault] = []
    names = [name for name in table.names if name not in set(ignored)]
    for name in table.names:
        texts = _Texts.of(name, table.frame[name]) if table.kinds[name] == "category" else None
        faults += texts.swallowed() if texts else ()  # rows are lost in a column that is not used, too
        faults += _of_column(table, name, texts) if name in names else ()
    return faults + list(_duplicates(table, names))


def _of_column(table: Table, name: str, texts: _Texts | None) -> Iterator[TableFault]:
    values, kind = table.frame[name], table.kinds[name]
    if GARBLED.search(name):
        yield TableFault(name, "its name is garbled", "save the table as UTF-8 and load it again")
    if kind is None:
        return
    missing = values.isna().to_numpy()
    if missing.mean() > MOSTLY_MISSING:
        yield TableFault(
            name,
            f"{missing.mean():.0%} of the rows are missing",
            "exclude it, unless a missing value means something",
        )
    if not missing.any() and (values == (first := values.iloc[0])).all():
        value = first if kind in ("category", "datetime") else number(first, 6)
        yield TableFault(name, f"is {value!s:.40} in every row", "exclude it: it tells nothing")
    elif kind == "number" and counts_rows(table.numbers(name)):
        yield TableFault(name, "counts the rows", "exclude it: a row's number is not known when you predict")
    elif texts:
        yield from texts.garbled()
        yield from texts.dates() or texts.numbers() or texts.spellings()


def counts_rows(values: NDArray[np.float64]) -> bool:
    """Return whether whole numbers go up or down by one from row to row."""
    if len(values) < 3 or abs(step := values[1] - values[0]) != 1.0:
        return False
    steps = (np.diff(values[part.start : part.stop + 1]) for part in blocks(len(values)))
    return all((each == step).all() for each in steps)  # to turn back is to come by the same number again


def cell_hashes(values: pd.Series) -> Iterator[NDArray[np.uint64]]:
    """Yield a number for each cell, equal for equal ones, a block at a time: uint64 of shape (n_block_rows,)."""
    for part in blocks(len(values)):
        yield np.asarray(pd.util.hash_pandas_object(values.iloc[part], index=False), dtype=np.uint64)


def _duplicates(table: Table, names: Sequence[str]) -> Iterator[TableFault]:
    seen: dict[bytes, str] = {}
    for name in names:
        if table.kinds[name] is None:
            continue
        digest = blake2b()
        for hashes in cell_hashes(table.frame[name]):
            digest.update(hashes)
        first = seen.setdefault(digest.digest(), name)
        if first != name and table.frame[name].equals(table.frame[first]):
            yield TableFault(name, f"is the same as {first!r} in every row", "exclude one of them")


@dataclass(frozen=True)
class _Texts:
    """The distinct texts of one column, those above first, and which rows have which (-1 where missing)."""

    name: str
    codes: NDArray[np.signedinteger]
    texts: list[str]

    @classmethod
    def of(cls, name: str, values: pd.Series) -> _Texts:
        """Return the texts of a column."""
        if isinstance(values.dtype, pd.CategoricalDtype):
            return cls(name, np.asarray(values.cat.codes), [*values.cat.categories])
        codes, texts = pd.factorize(values)
        return cls(name, codes, [str(text) for text in texts])

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many rows have each text, shape (n_texts,)."""
        counts = np.zeros(len(self.texts) + 1, dtype=np.int64)
        for part in blocks(len(self.codes)):
            counts += np.bincount(self.codes[part].astype(np.intp) + 1, minlength=len(counts))
        return counts[1:]

    def swallowed(self) -> Iterator[TableFault]:
        """Yield texts of so many lines that a stray quote may have made one cell of several rows."""
        breaks = [text.count("\n") + text.count("\r") for text in self.texts]
        if (most := max(breaks, default=0)) >= MANY_LINE_BREAKS:
            yield TableFault(
                self.name,
                f"a text has {most:,} line breaks, as if a stray quote had made one cell of many rows",
                "look there for a quote that should be written twice",
                *self.rows(np.array(breaks) >= MANY_LINE_BREAKS),
            )

    def rows(self, passed: NDArray[np.bool_]) -> tuple[tuple[int, ...], int]:
        """Return the first rows of the texts that passed, and how many there are, as `rows_of` has them."""
        has_passed, rows = np.append(passed, False), list[int]()
        for part in blocks(len(self.codes)):
            if len(rows) < SHOWN_ROWS:
                rows += (np.flatnonzero(has_passed[self.codes[part]]) + part.start + 1).tolist()
        return tuple(rows[:SHOWN_ROWS]), self.count(passed)

    def count(self, passed: NDArray[np.bool_]) -> int:
        """Return how many rows have a text that passed, of which texts did."""
        return int(self.counts[passed].sum())

    def matching(self, test: Callable[[str], object]) -> NDArray[np.bool_]:
        """Return which texts pass, shape (n_texts,)."""
        return np.array([bool(test(text)) for text in self.texts], dtype=np.bool_)

    def example(self, passed: NDArray[np.bool_]) -> str:
        """Return the text of the first row whose text passed, quoted and no longer than a line takes."""
        return repr(self.texts[int(passed.argmax())][:40])

    def garbled(self) -> Iterator[TableFault]:
        """Yield texts that were read in another encoding than they were written in."""
        garbled = self.matching(GARBLED.search)
        if garbled.any():
            yield TableFault(
                self.name,
                f"{self.example(garbled)} is garbled",
                "save the table as UTF-8 and load it again",
                *self.rows(garbled),
            )

    def dates(self) -> list[TableFault]:
        """Return what keeps dates from being read as dates."""
        forms = {form: self.matching(pattern.fullmatch) for form, pattern in DATES.items()}
        forms = {form: passed for form, passed in forms.items() if passed.any()}
        dated = np.logical_or.reduce([*forms.values(), np.zeros(len(self.texts), dtype=bool)])
        if not forms or self.count(dated) < MEANT_SHARE * self.counts.sum():
            return []
        usual = max(forms, key=lambda form: self.count(forms[form]))
        repair = "write every date as 2024-01-31 or 2024-01-31T08:15:00"
        faults = []
        if usual != "2024-01-31":
            faults.append(
                TableFault(self.name, f"dates such as {self.example(forms[usual])} are taken as text", repair)
            )
        strays = dated & ~forms[usual]
        if strays.any():
            others = ", ".join(form for form in forms if form != usual)
            faults.append(
                TableFault(
                    self.name, f"most dates are like {usual}, these like {others}", repair, *self.rows(strays)
                )
            )
        words = ~dated
        if words.any():
            faults.append(
                TableFault(
                    self.name, f"{self.example(words)} among dates", _repair(self, words), *self.rows(words)
                )
            )
        wrong = ~self.matching(_is_date)
        if not faults and wrong.any():
            faults.append(
                TableFault(self.name, f"{self.example(wrong)} is no date", repair, *self.rows(wrong))
            )
        return faults

    def numbers(self) -> list[TableFault]:
        """Return what keeps numbers from being read as numbers."""
        plain, marked = self.matching(PLAIN.fullmatch), self.matching(MARKED.fullmatch)
        written = plain | marked
        if not written.any() or self.count(written) < MEANT_SHARE * self.counts.sum() or plain.all():
            return []  # all plain: digits that stay text, such as postal codes
        faults = []
        only_marked = marked & ~plain
        if only_marked.any():
            faults.append(
                TableFault(
                    self.name,
                    f"numbers have currency, percent or thousands marks, such as {self.example(only_marked)}",
                    "write digits and a point, as in 1234.5",
                    *self.rows(only_marked),
                )
            )
        words = ~written
        if words.any():
            faults.append(
                TableFault(
                    self.name, f"{self.example(words)} among numbers", _repair(self, words), *self.rows(words)
                )
            )
        return faults

    def spellings(self) -> list[TableFault]:
        """Return categories that differ in blanks or capitals only."""
        by_word: dict[str, list[str]] = {}
        for text in self.texts:
            by_word.setdefault(" ".join(text.split()).casefold(), []).append(text)
        double = [spelt for spelt in by_word.values() if len(spelt) > 1]
        if not double:
            return []
        others = {text for spelt in double for text in spelt[1:]}
        shown = " and ".join(repr(text[:40]) for text in double[0][:3])
        double_spelt = self.matching(others.__contains__)
        return [
            TableFault(
                self.name,
                f"{shown} are taken for different categories",
                "write each in one way",
                *self.rows(double_spelt),
            )
        ]


def _is_date(text: str) -> bool:
    """Return whether a text is a date that is read as one, and that exists."""
    return instant(text) is not None


def _repair(texts: _Texts, strays: NDArray[np.bool_]) -> str:
    words = {texts.texts[place].strip().casefold() for place in np.flatnonzero(strays)}
    return "leave missing values empty" if words <= GAP_WORDS else "mend or leave it empty; now all are text"
