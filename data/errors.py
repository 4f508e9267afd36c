"""What can be wrong with a table, or with the way it was asked for.

    DataError
    ├── SourceError              a table cannot be read
    │   ├── SourceNotFound
    │   ├── EmptySource
    │   ├── BrokenLine
    │   ├── BrokenQuote
    │   ├── LongRecord
    │   ├── UnreadableSource
    │   │   └── OutOfReach       the store that has it does not answer, or refuses
    │   └── LargerThanMemory     there is no memory for it
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

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template says what, where, found
and the repair.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from data.facts import FactError

PLURALS = {"number": "numbers", "boolean": "true and false", "category": "texts", "datetime": "dates"}
"""What a column of each kind holds, in words."""


class DataError(FactError):
    """Anything that the user can mend in the table or in the way it is named."""


class SourceError(DataError):
    """A table cannot be read."""


class SourceNotFound(SourceError):
    """No file, folder or glob match stands where the user pointed."""

    template = "{where}: no such file, folder or match; searched from {searched}: pass an absolute path"
    where: str
    searched: str


class EmptySource(SourceError):
    """The source exists and has no rows."""

    template = "{where}: has no rows: pass a table with a header and at least 50 rows"
    where: str


class BrokenLine(SourceError):
    """One line of a text file has another number of fields than its header."""

    template = (
        "{where}, line {line}: has {found} fields, the header has {expected}: "
        "mend the line, or quote the field that holds the separator"
    )
    where: str
    line: int
    expected: int
    found: int


class BrokenQuote(SourceError):
    """A quote in a text file opens and never closes, or text follows where it closes."""

    template = "{where}, line {line}: {reason}: {repair}"
    where: str
    line: int
    reason: str
    repair: str


class LongRecord(SourceError):
    """A row or a header of a text file is longer than any should be."""

    template = "{where}, line {line}: begins a row of more than {megabytes} MB: check that its lines end"
    where: str
    line: int
    limit: int

    @property
    def megabytes(self) -> int:
        """The limit, which is in bytes, as people say it."""
        return self.limit // 2**20


class UnreadableSource(SourceError):
    """The source exists and cannot be read as what it claims to be."""

    template = "{where}: {reason}: {repair}"
    where: str
    reason: str
    repair: str


class OutOfReach(UnreadableSource):
    """The store that has a file does not answer, or refuses."""


class LargerThanMemory(SourceError):
    """All rows have to be held, and there is no memory for them."""

    template = "{where}: takes about {needed_gb} GB of memory, {free_gb} GB are free: {otherwise}"
    where: str
    needed: float
    free: float
    otherwise: str

    @property
    def needed_gb(self) -> str:
        """What it takes, which is in bytes, as people say it."""
        return f"{self.needed / 1e9:,.1f}"

    @property
    def free_gb(self) -> str:
        """What is free, likewise."""
        return f"{self.free / 1e9:,.1f}"


class TableError(DataError):
    """A table was read and cannot be used."""


class DuplicateColumns(TableError):
    """Two columns have one name."""

    template = "{where}: more than one column is called {named}: rename one"
    where: str
    columns: Sequence[str]

    @property
    def named(self) -> str:
        """The columns, quoted."""
        return ", ".join(map(repr, self.columns))


class MissingColumn(TableError):
    """A column that the user named is not in the table."""

    template = "{where}: has no {role} column {column!r}: {repair}"
    where: str
    role: str
    column: str
    columns: Sequence[str]

    @property
    def repair(self) -> str:
        """The name that was meant, or all names."""
        near = nearest(self.column, self.columns)
        return f"did you mean {near!r}?" if near else f"it has {', '.join(self.columns)}"


class UnusableTarget(TableError):
    """The target is no number, or always the same one."""

    template = "target {target!r} {found}: {repair}"
    target: str
    found: str
    repair: str


class UnusableColumn(TableError):
    """A column holds what no model here can take."""

    template = "column {column!r}{place}: {found}: {repair}"
    column: str
    found: str
    repair: str
    row: int | None = None

    @property
    def place(self) -> str:
        """The row, where one is to blame."""
        return "" if self.row is None else f", row {self.row}"


class OtherKind(TableError):
    """A cell is not what its column was when the rows of a model were first split."""

    template = (
        "{where}, row {row}: column {column!r} is {shortened!r}{more}, and the earlier versions' rows are "
        "told apart by its {kinds}: mend the cell or leave it empty, or train under a new name=..."
    )
    where: str
    column: str
    kind: str
    row: int
    cell: object
    count: int = 1

    @property
    def shortened(self) -> str:
        """The beginning of the cell's text."""
        return str(self.cell)[:40]

    @property
    def more(self) -> str:
        """How many rows more are like it."""
        return f" ({self.count - 1:,} more rows are like it)" if self.count > 1 else ""

    @property
    def kinds(self) -> str:
        """What the column was, as people say it."""
        return PLURALS[self.kind]


class UnusableWeight(TableError):
    """A column cannot say how much each row counts."""

    template = "weight {column!r}{place} {found}: {repair}"
    column: str
    found: str
    repair: str
    row: int | None = None

    @property
    def place(self) -> str:
        """The row, where one is to blame."""
        return "" if self.row is None else f", row {self.row},"


class TooFewRows(TableError):
    """Too few rows have a target."""

    template = "{where}: {rows} rows have {what}, at least {needed} are needed: pass more rows"
    where: str
    rows: int
    needed: int
    what: str = "a target"


class NoFeatures(TableError):
    """Nothing is left to predict from."""

    template = "{where}: no column {lacking}"
    where: str
    left_out: Sequence[str]

    @property
    def lacking(self) -> str:
        """What there is none of, and what to do."""
        if not self.left_out:
            return "stands beside the target: pass a table with more columns"
        return f"is left to predict from (left out: {', '.join(self.left_out)}): exclude fewer columns"


class FaultsFound(TableError):
    """What is wrong with a table, one line for each thing, where more than one may be."""

    template = "{where}: {counted}"
    where: str
    faults: Sequence[object]
    repair: str = ""

    @property
    def counted(self) -> str:
        """The only fault, or how many there are and each on a line."""
        if len(self.faults) == 1:
            return f"{self.faults[0]}{self.repair}"
        return f"{len(self.faults)} faults{self.repair}" + "".join(f"\n  {each}" for each in self.faults)


class ContractError(DataError):
    """A contract file cannot be read or written."""

    template = "{where}: {found}: {repair}"
    where: str
    found: str
    repair: str


class SplitError(DataError):
    """Rows cannot be told apart as asked."""


class LacksSplitColumn(SplitError):
    """A later table lacks a column that the rows of its name are told apart by."""

    template = (
        "{where}: lacks the column {column!r}, {among} which rows the versions of {name} learned from: "
        "pass it{guess}, or train under a new name=..., with key=... if only an id stays the same"
    )
    where: str
    column: str
    count: int
    name: str
    columns: Sequence[str]

    @property
    def among(self) -> str:
        """What the column does, and whether others do it too."""
        return f"one of {self.count} columns that tell" if self.count > 1 else "which tells"

    @property
    def guess(self) -> str:
        """The column that may be the same under another name."""
        near = nearest(self.column, self.columns)
        return f" (is it {near!r} now?)" if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that the user most likely meant, or None."""
    candidates = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else None
