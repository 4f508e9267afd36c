"""What can be wrong with a table, or with the way it was asked for.

    DataError
    ├── SourceError              a table cannot be read
    │   ├── SourceNotFound
    │   ├── EmptySource
    │   ├── BrokenLine
    │   ├── BrokenQuote
    │   ├── LongRecord
    │   └── UnreadableSource
    ├── TableError               a table was read and cannot be used
    │   ├── DuplicateColumns
    │   ├── MissingColumn
    │   ├── UnusableTarget
    │   ├── UnusableColumn
    │   ├── OtherKind            a cell is not what its column was when the rows were first split
    │   ├── UnusableWeight
    │   ├── TooFewRows
    │   ├── NoFeatures
    │   └── FaultsFound          one of the above, or more than one thing at once
    ├── ContractError            a contract file cannot be read or written
    └── SplitError               rows cannot be told apart as asked
        └── LacksSplitColumn     a later table lacks what the rows of its name are told apart by

Each class takes the facts as keywords, keeps them as attributes, and says what, where, found and the repair.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from data.redaction import redact

PLURALS = {"number": "numbers", "boolean": "true and false", "category": "texts", "datetime": "dates"}
"""The kinds of a column as people speak of them."""


class DataError(Exception):
    """Anything that the user can mend in the table or in the way it is named."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(redact(text))
        self.__dict__.update(facts)


class SourceError(DataError):
    """A table cannot be read."""


class SourceNotFound(SourceError):
    """No file, folder or glob match stands where the user pointed."""

    def __init__(self, *, where: str, searched: str) -> None:
        super().__init__(
            f"{where}: no such file, folder or match; searched from {searched}: pass an absolute path",
            where=where,
            searched=searched,
        )


class EmptySource(SourceError):
    """The source exists and has no rows."""

    def __init__(self, *, where: str) -> None:
        super().__init__(
            f"{where}: has no rows: pass a table with a header and at least 50 rows", where=where
        )


class BrokenLine(SourceError):
    """One line of a text file has another number of fields than its header."""

    def __init__(self, *, where: str, line: int, expected: int, found: int) -> None:
        super().__init__(
            f"{where}, line {line}: has {found} fields, the header has {expected}: "
            "mend the line, or quote the field that holds the separator",
            where=where,
            line=line,
            expected=expected,
            found=found,
        )


class BrokenQuote(SourceError):
    """A quote in a text file opens and never closes, or text follows where it closes."""

    def __init__(self, *, where: str, line: int, reason: str, repair: str) -> None:
        super().__init__(
            f"{where}, line {line}: {reason}: {repair}", where=where, line=line, reason=reason, repair=repair
        )


class LongRecord(SourceError):
    """A row or a header of a text file is longer than any should be."""

    def __init__(self, *, where: str, line: int, limit: int) -> None:
        super().__init__(
            f"{where}, line {line}: begins a row of more than {limit // 2**20} MB: check that its lines end",
            where=where,
            line=line,
            limit=limit,
        )


class UnreadableSource(SourceError):
    """The source exists and cannot be read as what it claims to be."""

    def __init__(self, *, where: str, reason: str, repair: str) -> None:
        super().__init__(f"{where}: {reason}: {repair}", where=where, reason=reason, repair=repair)


class TableError(DataError):
    """A table was read and cannot be used."""


class DuplicateColumns(TableError):
    """Two columns have one name."""

    def __init__(self, *, where: str, columns: Sequence[str]) -> None:
        named = ", ".join(map(repr, columns))
        super().__init__(
            f"{where}: more than one column is called {named}: rename one", where=where, columns=columns
        )


class MissingColumn(TableError):
    """A column that the user named is not in the table."""

    def __init__(self, *, where: str, role: str, column: str, columns: Iterable[str]) -> None:
        known = list(columns)
        near = nearest(column, known)
        repair = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
        super().__init__(
            f"{where}: has no {role} column {column!r}: {repair}",
            where=where,
            role=role,
            column=column,
            near=near,
        )


class UnusableTarget(TableError):
    """The target is no number, or always the same one."""

    def __init__(self, *, target: str, found: str, repair: str) -> None:
        super().__init__(f"target {target!r} {found}: {repair}", target=target, found=found)


class UnusableColumn(TableError):
    """A column holds what no model here can take."""

    column: str
    found: str
    repair: str
    row: int | None

    def __init__(self, *, column: str, found: str, repair: str, row: int | None = None) -> None:
        place = f"column {column!r}" if row is None else f"column {column!r}, row {row}"
        super().__init__(f"{place}: {found}: {repair}", column=column, row=row, found=found, repair=repair)


class OtherKind(TableError):
    """A cell is not what its column was when the rows of a model were first split."""

    def __init__(self, *, where: str, column: str, kind: str, row: int, cell: object, count: int = 1) -> None:
        more = f" ({count - 1:,} more rows are like it)" if count > 1 else ""
        super().__init__(
            f"{where}, row {row}: column {column!r} is {str(cell)[:40]!r}{more}, and the earlier versions' rows are "
            f"told apart by its {PLURALS[kind]}: mend the cell or leave it empty, or train under a new name=...",
            where=where,
            column=column,
            row=row,
        )


class UnusableWeight(TableError):
    """A column cannot say how much each row counts."""

    def __init__(self, *, column: str, found: str, repair: str, row: int | None = None) -> None:
        place = f"weight {column!r}" if row is None else f"weight {column!r}, row {row},"
        super().__init__(f"{place} {found}: {repair}", column=column, row=row, found=found)


class TooFewRows(TableError):
    """Too few rows have a target."""

    def __init__(self, *, where: str, rows: int, needed: int, what: str = "a target") -> None:
        super().__init__(
            f"{where}: {rows} rows have {what}, at least {needed} are needed: pass more rows",
            where=where,
            rows=rows,
            needed=needed,
        )


class NoFeatures(TableError):
    """Nothing is left to predict from."""

    def __init__(self, *, where: str, left_out: Sequence[str]) -> None:
        super().__init__(
            f"{where}: no column is left to predict from (left out: {', '.join(left_out)}): exclude fewer columns",
            where=where,
            left_out=left_out,
        )


class FaultsFound(TableError):
    """What is wrong with a table, one line for each thing, where more than one may be."""

    def __init__(self, *, where: str, faults: Sequence[object], repair: str = "") -> None:
        counted = f"{len(faults)} faults{repair}" + "".join(f"\n  {each}" for each in faults)
        text = f"{faults[0]}{repair}" if len(faults) == 1 else counted
        super().__init__(f"{where}: {text}", where=where, faults=tuple(faults))


class ContractError(DataError):
    """A contract file cannot be read or written."""

    def __init__(self, *, where: str, found: str, repair: str) -> None:
        super().__init__(f"{where}: {found}: {repair}", where=where, found=found)


class SplitError(DataError):
    """Rows cannot be told apart as asked."""


class LacksSplitColumn(SplitError):
    """A later table lacks a column that the rows of its name are told apart by."""

    def __init__(self, *, where: str, column: str, count: int, name: str, columns: Iterable[str]) -> None:
        near = nearest(column, columns)
        among = f"one of {count} columns that tell" if count > 1 else "which tells"
        super().__init__(
            f"{where}: lacks the column {column!r}, {among} which rows the versions of {name} learned from: pass it"
            + (f" (is it {near!r} now?)" if near else "")
            + ", or train under a new name=..., with key=... if only an id stays the same",
            where=where,
            column=column,
            near=near,
        )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that the user most likely meant, or None."""
    candidates = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else None
