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

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Literal

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
        _nothing(len(table))
        if kinds and kinds[name] is None
        else _encoded_as(table.frame[name], known.get(name))
        for name in columns
    ]
    cells = cells or [np.zeros((len(table), 0), dtype=np.uint8)]
    key, digests = salt.encode()[:64], np.empty(len(table), dtype=np.uint64)
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        digests[part] = _hashed(np.hstack([column[part] for column in cells]), key)
    return digests


def _hashed(rows: NDArray[np.uint8], key: bytes) -> NDArray[np.uint64]:
    """Return the digest of each row of bytes."""
    width, raw = rows.shape[1], rows.tobytes()
    starts = range(0, width * len(rows), width) if width else [0] * len(rows)
    digests = b"".join(
        blake2b(raw[start : start + width], digest_size=8, key=key).digest() for start in starts
    )
    return np.frombuffer(digests, dtype="<u8")


def _nothing(rows: int) -> NDArray[np.uint8]:
    return np.zeros((rows, 9), dtype=np.uint8)


def _encoded_as(values: pd.Series, kind: Kind | None) -> NDArray[np.uint8]:
    """Return the cells as bytes, uint8 of shape (n_rows, 9), alike in every format where the kind is known."""
    if kind == "datetime":
        encoded = _encoded(pd.Series(seconds(values)))
        encoded[encoded[:, 0] == _NUMBER, 0] = _MOMENT
        return encoded
    if kind == "category":
        return _encoded(values.mask(values.isin(MISSING_WORDS), None))
    return _encoded(values)


def _encoded(values: pd.Series) -> NDArray[np.uint8]:
    """Return the cells as bytes, uint8 of shape (n_rows, 9)."""
    encoded = _nothing(len(values))
    missing = values.isna().to_numpy()
    if values.dtype == np.float64:
        numbers = np.where(missing, 0.0, values.to_numpy()) + 0.0  # -0.0 + 0.0 is 0.0
        encoded[:, 0], encoded[:, 1:] = _NUMBER, numbers.astype("<f8")[:, None].view(np.uint8)
    else:
        codes, texts = pd.factorize(values)
        digests = b"".join(blake2b(str(text).encode(), digest_size=8).digest() for text in texts)
        table = np.frombuffer(digests + bytes(8), dtype=np.uint8).reshape(-1, 8)
        encoded[:, 0], encoded[:, 1:] = _TEXT, table[codes]
    encoded[missing] = _MISSING
    return encoded
