"""Which promises of a contract a table does not keep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.cells import Reading
from data.checks import TableFault, rows_of
from data.contracts.contract import Contract, Promise
from data.errors import UnusableColumn, nearest
from data.figures import number
from data.long_arrays import blocks
from data.schema import Kind
from data.tables import Table, seconds


def violations(contract: Contract, table: Table, *, ignored: tuple[str, ...] = ()) -> list[TableFault]:
    """Return every promise that the table does not keep, in the contract's order."""
    faults = []
    if len(table) < contract.rows:
        faults.append(
            TableFault(
                "*", f"{len(table)} rows, at least {contract.rows} are promised", "pass the whole table"
            )
        )
    for name, promise in contract.columns.items():
        if name in ignored:
            continue
        if name in table.frame:
            faults += _broken_by(table, name, promise)
        elif not promise.optional:
            near = nearest(name, [each for each in table.names if each not in contract.columns])
            faults.append(
                TableFault(
                    name, "is missing", f"is it {near!r} now?" if near else "add it, or mark it optional"
                )
            )
    for name in table.names:
        if name not in contract.columns and name not in ignored:
            faults.append(TableFault(name, "is not in the contract", "add it there, or exclude it"))
    return faults


def _broken_by(table: Table, name: str, promise: Promise) -> Iterator[TableFault]:
    kind, unit = table.kinds[name], f" {promise.unit}" if promise.unit else ""
    missing = table.frame[name].isna().to_numpy()
    if missing.mean() > promise.missing:
        allowed = f"{number(promise.missing)} of all may be" if promise.missing else "none may be"
        rows, count = rows_of(missing)
        yield TableFault(
            name, f"{count:,} of {len(table):,} cells are empty, {allowed}", "fill them in", rows, count
        )
    if kind is None:
        return
    if name in table.doubts:
        yield TableFault(
            name, table.doubts[name].found, table.doubts[name].repair, *_row_of(table.doubts[name])
        )
        return
    if _is_read_otherwise(table.readings.get(name), promise.reading):
        yield TableFault(
            name,
            f"is read as {table.readings[name]}, plain cells are promised",
            "add its reading, or mend the cells",
        )
        return
    if kind != promise.kind:
        yield TableFault(
            name, f"holds {kind} values, {promise.kind} is promised", _strays(table, name, promise.kind)
        )
        return
    cells = table.frame[name]
    if kind == "datetime":
        cells = pd.Series(seconds(cells), copy=False)
    for what, broken in _broken(promise, cells):
        if broken.any():
            first = table.frame[name].iloc[int(np.argmax(broken))]
            shown = f"{number(first, 6)}{unit}" if isinstance(first, float) else repr(str(first)[:40])
            yield TableFault(name, f"{shown} is {what}", "mend the rows, or the contract", *rows_of(broken))


def _row_of(doubt: UnusableColumn) -> tuple[tuple[int, ...], int]:
    return ((doubt.row,), 1) if doubt.row else ((), 0)


def _is_read_otherwise(reading: Reading | None, promised: Reading | None) -> bool:
    """Return whether a column has a reading that nobody promised; words for a gap alone are none."""
    return promised is None and reading is not None and not reading.is_plain


def _broken(promise: Promise, cells: pd.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the end of the sentence about a cell that breaks a promise, and which do; empty cells break none."""
    unit = f" {promise.unit}" if promise.unit else ""
    low, high = promise.number("minimum"), promise.number("maximum")
    filled = cells.notna().to_numpy()
    if low is not None:
        yield f"below {promise.minimum}{unit}", (cells < low).to_numpy()
    if high is not None:
        yield f"above {promise.maximum}{unit}", (cells > high).to_numpy()
    if promise.values:
        yield "not among the values allowed", filled & ~cells.isin(promise.values).to_numpy()
    if promise.unique:
        yield "there before", filled & repeated(cells)


def repeated(cells: pd.Series) -> NDArray[np.bool_]:
    """Return which cells equal one above: of very many numbers those first that may be equal by a hash, and so on."""
    parts = [*blocks(len(cells))]
    if len(parts) <= 1 or cells.dtype != np.float64:
        return cells.duplicated().to_numpy()
    values = cells.to_numpy()
    result, place = np.zeros(len(values), dtype=np.bool_), np.empty(len(values), dtype=np.uint16)
    for part in parts:
        place[part] = pd.util.hash_array(values[part] + 0.0) % np.uint64(len(parts))  # -0.0 + 0.0 is 0.0
    for each in range(len(parts)):
        rows = np.flatnonzero(place == each)
        result[rows] = pd.Series(values[rows]).duplicated()
    return result


def _strays(table: Table, name: str, promised: Kind) -> str:
    """Say which text keeps a column from being of its kind."""
    if promised != "number":
        return f"write {promised} values"
    cells = table.frame[name]
    for part in blocks(len(cells)):
        texts = cells.iloc[part].dropna().astype(str)
        strays = texts[pd.to_numeric(texts, errors="coerce").isna()]
        if len(strays):
            return f"row {int(strays.index[0]) + 1} is {strays.iloc[0][:40]!r}"
    return "write numbers without leading zeros"
