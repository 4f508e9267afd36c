"""A table's content as one short text, and each row's content as one number.

Both depend on the values alone: not on the rows' order, the file format, the process, the
machine or a library's version. That is what lets a split hold for years, so the encoding
below must never change for a given version number.

A row is encoded as 9 bytes a column: one byte for the kind of value, then a float64 in
little-endian order (0.0 for -0.0) or the 8-byte BLAKE2b digest of the text in UTF-8. Two rows
share a digest by chance with probability 2^-64. Where the caller names kinds, a value counts alike in
every format: a date as the float64 of its seconds since 1970, a text that a text file has for a missing
value as one, and each cell of a column of no kind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import MISSING_WORDS, Kind
from data.tables.moments import seconds
from data.tables.table import Table

ROWS_AT_ONCE = 100_000
"""That are put together for hashing: of five million rows each copy takes a gigabyte."""

VERSION = 1
Values = Literal["alike", "as written"]
"""Whether a value counts alike in every format, or a date and a text as they stand."""

_MISSING, _NUMBER, _TEXT, _MOMENT = 0, 1, 2, 3

CELL = np.dtype([("kind", "u1"), ("value", "<u8")])
"""Nine bytes."""

Cells = Callable[[slice], tuple[Any, Any]]
"""Gives the kinds and the 8 bytes of some rows' cells in one column."""


def fingerprint(table: Table) -> str:
    """Return 32 hex digits that change with any cell, name or row, and not with the rows' order.

    >>> from data.tables import Table
    >>> frame = pd.DataFrame({"x": [1.0, 2.0]})
    >>> fingerprint(Table("a", frame, {"x": "number"})) == fingerprint(Table("b", frame[::-1], {"x": "number"}))
    True
    """
    digest = blake2b(digest_size=16)
    digest.update(header_of(len(table), table.names))
    digest.update(np.sort(row_digests(table, sorted(table.names))).astype("<u8").tobytes())
    return digest.hexdigest()


def header_of(rows: int, names: Sequence[str]) -> bytes:
    """Return what a fingerprint begins with."""
    return repr((VERSION, rows, sorted(names))).encode()


def row_digests(
    table: Table,
    columns: Sequence[str],
    *,
    salt: str = "",
    kinds: Mapping[str, Kind | None] | None = None,
    values: Values = "as written",
) -> NDArray[np.uint64]:
    """Return one 64-bit number for each row's values in these columns, uint64 of shape (n_rows,).

    The columns' order matters, and the salt too (its first 64 bytes).

    Parameters
    ----------
    kinds : mapping of str to Kind or None
        What the columns are, where that is settled: each cell of a column of no kind counts the same.
    values : {"alike", "as written"}
        Whether a value of a known kind counts alike in every format.

    Notes
    -----
    Kept with the table: a training splits one four times, and asks for the digests of its features twice.
    """
    known = tuple(kinds.get(name) for name in columns) if kinds else None
    asked = (tuple(columns), salt, known, values)
    if asked not in table.digests:
        table.digests[asked] = _digests(table, columns, salt, kinds, values)
        table.digests[asked].flags.writeable = False
    return table.digests[asked]


def _digests(
    table: Table, columns: Sequence[str], salt: str, kinds: Mapping[str, Kind | None] | None, values: Values
) -> NDArray[np.uint64]:
    known = {} if values == "as written" else kinds or {}
    cells = [
        _nothing if kinds and kinds[name] is None else _cells_as(table.frame[name], known.get(name))
        for name in columns
    ]
    key, digests = salt.encode()[:64], np.empty(len(table), dtype=np.uint64)
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = slice(start, min(start + ROWS_AT_ONCE, len(table)))
        digests[part] = _hashed(_encoded(cells, part), key)
    return digests


def _encoded(cells: Sequence[Cells], part: slice) -> NDArray[np.void]:
    """Return some rows as bytes, of shape (n_rows, n_columns)."""
    rows = np.empty((part.stop - part.start, len(cells)), dtype=CELL)
    for place, cell in enumerate(cells):
        rows["kind"][:, place], rows["value"][:, place] = cell(part)
    return rows


def _hashed(rows: NDArray[np.void], key: bytes) -> NDArray[np.uint64]:
    """Return the digest of each row of bytes."""
    width, fresh, digests = CELL.itemsize * rows.shape[1], blake2b(digest_size=8, key=key), []
    for row in rows.view(f"V{width}").ravel().tolist() if width else [b""] * len(rows):
        state = fresh.copy()  # takes a quarter less than to begin with the key each time
        state.update(row)
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _nothing(_: slice) -> tuple[int, int]:
    return _MISSING, 0


def _cells_as(values: pd.Series, kind: Kind | None) -> Cells:
    """Return the cells of a column, alike in every format where the kind is known."""
    if kind == "datetime":
        return _numbers(seconds(values), _MOMENT)
    if values.dtype == np.float64:
        return _numbers(values.to_numpy(), _NUMBER)
    return _texts(values, MISSING_WORDS if kind == "category" else frozenset())


def _numbers(values: NDArray[np.float64], kind: int) -> Cells:
    def cells(part: slice) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        missing = np.isnan(values[part])
        numbers = np.where(missing, 0.0, values[part]) + 0.0  # -0.0 + 0.0 is 0.0
        return np.where(missing, np.uint8(_MISSING), np.uint8(kind)), numbers.view(np.uint64)

    return cells


def _texts(values: pd.Series, gaps: Collection[str]) -> Cells:
    """Return the cells of texts, some of which say that one is missing."""
    codes, texts = pd.factorize(values)  # -1 for a missing cell, which is the last of these
    digests = [
        bytes(8) if text in gaps else blake2b(str(text).encode(), digest_size=8).digest() for text in texts
    ]
    kinds = np.array([*(_MISSING if text in gaps else _TEXT for text in texts), _MISSING], dtype=np.uint8)
    table = np.frombuffer(b"".join([*digests, bytes(8)]), dtype="<u8")
    return lambda part: (kinds[codes[part]], table[codes[part]])
