"""Labels: what became of a prediction, as people send it; each is used exactly as it was sent, or refused.

A label names a prediction by its own id, or by the caller's id and the row within that request. Requests and files are
held to the same rules here. Whether such a prediction exists is not known: whoever watches a model counts that later.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from data.captures import Frame, PredictionId, record
from data.cell_values import converter, instant
from data.schema import LARGEST_EXACT, Column

NAMES = ("id", "client_id", "row", "actual", "at")
"""What a label may say, in the order of `Cells`."""
ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()
"""In place of a value that was not sent; null was sent."""
EXPECTED = {
    "id": "a prediction id, such as 019ac5b0-1c00-7abc-9234-56789a000007",
    "client_id": f"text of 1 to {Frame.MOST_ID_BYTES} bytes",
    "row": f"a whole number from 0 to {Frame.MOST_ROWS - 1}",
    "actual": "a finite number, or null to withdraw the label",
    "at": "a moment, such as 2026-11-28T10:00:00Z",
}
MOST_FAULTS = 20
"""That are listed; all are counted."""
UUID_BYTES = 16
"""Of an id in a column of UUIDs, as databases have them."""

Cells = Sequence[Any]
"""What one label says under each of `NAMES`: Python's own values, None for null."""

_NUMBER = converter(Column("actual", "number"))
_KINDS: Mapping[type, str] = {
    type(ABSENT): "nothing",
    type(None): "null",
    bool: "a boolean",
    str: "text",
    dict: "an object",
    list: "a list",
    bytes: "bytes",
}


class Label(NamedTuple):
    """One label, as a record has it: of an id, or of a caller's id and a row; milliseconds since 1970."""

    id: str | None
    caller_id: str | None
    row: int | None
    actual: float | None
    at: int | None


class LabelFault(NamedTuple):
    """What cannot be used: row counted from 0, None for a whole column, and the kind of what was found."""

    row: int | None
    column: str
    expected: str
    found: str


class _Unfit(Exception):
    """A value that cannot be used; says what it is."""


class LabelReader:
    """Reads the labels of one body or table, in one part or several.

    Attributes
    ----------
    faults : list of LabelFault
        The first `MOST_FAULTS`.
    count : int
        Of all faults.
    rows : int
        That were read.
    """

    def __init__(self) -> None:
        self.faults: list[LabelFault] = []
        self.count = self.rows = 0
        self._named: set[str] = set()
        self._unnumbered: dict[str, int] = {}

    def read(self, labels: Iterable[Cells]) -> list[Label]:
        """Return the labels; means nothing where there are faults."""
        return [label for cells in labels if (label := self._label(cells))]

    def refuse(self, column: str, expected: str, found: str, *, row: int | None = None) -> None:
        """Note what cannot be used."""
        self.count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(LabelFault(row, column, expected, found))

    def check_names(self, names: Set[str]) -> None:
        """Note columns that a table has beside ours, and those that it lacks."""
        if beside := len(names - set(NAMES)):
            self.refuse("columns", f"none but {', '.join(NAMES)}", f"{beside} more")
        if "actual" not in names:
            self.refuse("actual", EXPECTED["actual"], "no such column")
        if not names & {"id", "client_id"}:
            self.refuse("id", "a column id, or client_id", "neither")

    def _label(self, cells: Cells) -> Label | None:
        row = self.rows
        self.rows += 1
        before, values = self.count, dict(zip(NAMES, cells, strict=True))
        identity, client, number = (
            self._value(name, values[name], row) for name in ("id", "client_id", "row")
        )
        if self.count == before:
            self._check_which(identity, client, number, row)
        actual, at = (self._value(name, values[name], row) for name in ("actual", "at"))
        if self.count > before:
            return None
        return Label(identity, client, number or 0 if client is not None else None, actual, at)

    def _value(self, name: str, cell: Any, row: int) -> Any:
        if cell is None or (cell is ABSENT and name != "actual"):
            return None
        try:
            return _READ[name](cell)
        except _Unfit as unfit:
            self.refuse(name, EXPECTED[name], str(unfit), row=row)
            return None

    def _check_which(self, identity: str | None, client: str | None, number: int | None, row: int) -> None:
        """See that a label names one prediction, in one way."""
        if (identity is None) == (client is None):
            self.refuse("id", "either id or client_id", "neither" if client is None else "both", row=row)
        elif client is None:
            if number is not None:
                self.refuse("row", "no row beside id, which has it within", "a row", row=row)
        elif number is not None:
            self._named.add(client)
        elif client in self._unnumbered:
            self._refuse_unnumbered(row)
        else:
            self._unnumbered[client] = row

    def end(self) -> None:
        """Note the labels that name no row of a request of which others name one: no row would be the first."""
        for client, row in self._unnumbered.items():
            if client in self._named:
                self._refuse_unnumbered(row)

    def _refuse_unnumbered(self, row: int) -> None:
        self.refuse("row", "the row, since this client_id stands in several labels", "nothing", row=row)


def labels_record(model: str, labels: Sequence[Label]) -> bytes:
    """Return a record of labels that are received now, with microseconds: the last received wins."""
    received = time.time_ns() // 1_000 / 1_000
    head = {"kind": "labels", "received": received, "model": model, "labels": labels}
    return record(head)


def _found(cell: Any) -> str:
    if isinstance(cell, float) and not math.isfinite(cell):
        return "NaN" if math.isnan(cell) else "infinity"
    if type(cell) is int and abs(cell) > LARGEST_EXACT:
        return "a whole number beyond 2^53, which has no exact float"
    if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool):
        return "another number"
    return _KINDS.get(type(cell), "something else")


def _identity(cell: Any) -> str:
    text = str(UUID(bytes=cell)) if type(cell) is bytes and len(cell) == UUID_BYTES else cell
    text = str(text) if isinstance(text, UUID) else text
    if type(text) is not str:
        raise _Unfit(_found(cell))
    try:
        return str(PredictionId.parse(text))
    except ValueError:
        raise _Unfit("other text") from None


def _client(cell: Any) -> str:
    if type(cell) is not str:
        raise _Unfit(_found(cell))
    try:
        length = len(cell.encode())
    except UnicodeEncodeError:
        raise _Unfit("text that is not Unicode") from None
    if not 0 < length <= Frame.MOST_ID_BYTES:
        raise _Unfit("longer text" if length else "empty text")
    return cell


def _row(cell: Any) -> int:
    is_whole = type(cell) is int or (isinstance(cell, float | Decimal) and _is_whole(cell))
    if not is_whole or not 0 <= cell < Frame.MOST_ROWS:
        raise _Unfit(_found(cell))
    return int(cell)


def _is_whole(cell: float | Decimal) -> bool:
    return math.isfinite(cell) and cell == int(cell)


def _actual(cell: Any) -> float:
    number = _NUMBER(float(cell) if isinstance(cell, Decimal) else cell)
    if number is None or not math.isfinite(number):
        raise _Unfit(_found(cell))
    return number


def _moment(cell: Any) -> int:
    """Return the millisecond of a moment; without a zone it is UTC's, as everywhere."""
    text = cell.isoformat() if isinstance(cell, datetime | date) else cell
    seconds = instant(text)
    if seconds is None:
        raise _Unfit("other text" if type(cell) is str else _found(cell))
    return math.floor(round(seconds * 1e6) / 1e3)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "id": _identity,
    "client_id": _client,
    "row": _row,
    "actual": _actual,
    "at": _moment,
}
