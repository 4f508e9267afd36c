"""What a user promises about a table, in a file that people read and tables are held to.

    target: arr_delay
    rows: 1000
    columns:
      dep_delay:
        kind: number
        unit: min
        minimum: -120
        maximum: 2000
        missing: 0.05
      carrier:
        kind: category
        values: [AA, B6, UA]

`kind` is number, boolean, category or datetime. `minimum` and `maximum` are limits (of a datetime as
2013-01-31), `missing` the largest share of empty cells (0 where it is left out), `values` the only ones
allowed, `unique: true` forbids repetition, `optional: true` lets the column be absent,
`reading` is how its texts are read (`data.cells.readings`). The first file is
written from a table: its limits are the range seen, widened by half its width and not across zero, so
that next month's table passes and a sensor's -999 does not. It is a proposal, and the user's to edit.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from data.cells import Reading
from data.checks.faults import Fault, at
from data.errors import ContractError, UnusableColumn, nearest
from data.figures import number
from data.schema import KINDS, Kind
from data.tables import Table, seconds

MOST_VALUES = 50
"""Categories that a proposal lists; more are taken as open."""

RANGED: list[Kind] = ["number", "datetime"]
"""The kinds that can have limits."""

SPARE = 0.05
"""Added to the share of missing cells that was seen, where there were any."""


@dataclass(frozen=True)
class Promise:
    """What one column keeps; see the module."""

    kind: Kind
    unit: str | None = None
    minimum: float | str | None = None
    maximum: float | str | None = None
    missing: float = 0.0
    values: tuple[str, ...] = ()
    unique: bool = False
    optional: bool = False
    reading: Reading | None = None


@dataclass(frozen=True)
class Contract:
    """What a table keeps.

    Attributes
    ----------
    where : str
        The file it was read from.
    columns : mapping of str to Promise
        The only columns there may be.
    target : str
        The column to predict, or nothing.
    rows : int
        The fewest.
    """

    where: str
    columns: Mapping[str, Promise]
    target: str = ""
    rows: int = 1

    @property
    def units(self) -> dict[str, str]:
        """The unit of each column that has one."""
        return {name: promise.unit for name, promise in self.columns.items() if promise.unit}

    @property
    def readings(self) -> dict[str, Reading]:
        """How the texts of each column are read that is promised not to be plain; categories stay text."""
        as_text = {name: Reading("text") for name, each in self.columns.items() if each.kind == "category"}
        return as_text | {name: each.reading for name, each in self.columns.items() if each.reading}


def propose(table: Table, *, target: str = "", units: Mapping[str, str] | None = None) -> str:
    """Return a first contract for a table as YAML with the ranges seen as comments."""
    lines = [
        f"# What {Path(table.where).name} keeps, proposed from {len(table):,} rows and yours to edit.",
        "# Later tables are held to it. Limits are the range seen, widened by half its width and not across zero;",
        "# `missing` is the largest share of empty cells.",
        *([f"target: {_scalar(target)}"] if target else []),
        "columns:",
    ]
    for name in table.names:
        if table.kinds[name] is not None:
            lines += _proposed(table, name, (units or {}).get(name))
    return "\n".join(lines) + "\n"


def _proposed(table: Table, name: str, unit: str | None) -> Iterator[str]:
    kind, values = table.kinds[name], table.frame[name]
    yield f"  {_scalar(name)}:"
    yield f"    kind: {kind}"
    if unit:
        yield f"    unit: {_scalar(unit)}"
    if kind == "number":
        low, high = float(values.min()), float(values.max())
        yield f"    minimum: {_figure(_widened(low, high, -1))}  # seen {low:.6g}"
        yield f"    maximum: {_figure(_widened(low, high, 1))}  # seen {high:.6g}"
    if kind == "datetime":
        yield f"    # seen {values.dropna().min()} to {values.dropna().max()}"
    if name in table.readings:
        yield f"    reading: {json.dumps(table.readings[name].as_dict(), ensure_ascii=False)}"
    if kind == "category" and values.nunique() <= MOST_VALUES:
        yield f"    values: [{', '.join(map(_scalar, sorted(values.dropna().unique())))}]"
    missing = float(values.isna().mean())
    if missing:
        yield f"    missing: {min(math.ceil(100 * (missing + SPARE)) / 100, 1.0)}  # seen {missing:.4f}"


def _widened(low: float, high: float, sign: int) -> float:
    """Return a limit in two digits, half the range's width beyond it, on the same side of zero."""
    edge = high if sign > 0 else low
    beyond = edge + sign * ((high - low) / 2.0 or abs(edge) / 2.0 or 1.0)
    if edge == 0.0 or (edge < 0.0) != (beyond < 0.0):
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(beyond))) - 1)
    return float((math.ceil if sign > 0 else math.floor)(beyond / step) * step)


def _figure(value: float) -> str:
    """Write a number that YAML 1.1 reads as one: 1e+20 would be text, 1.0e+20 is not."""
    text = f"{value:.15g}"
    return text if "." in text else text.replace("e", ".0e")


def _scalar(text: str) -> str:
    """Write a text so that YAML reads the same text back: no `no` that is a boolean, no `1` that is a number."""
    return str(yaml.safe_dump([text], allow_unicode=True, width=10**6, default_flow_style=True)).strip()[1:-1]


def write(path: Path, text: str) -> None:
    """Write a contract where there is none, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise ContractError(
            where=str(path), found=error.strerror or str(error), repair="name a file that can be written"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> Contract:
    """Read a contract; raises ContractError with the first thing that is not as it should be."""
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ContractError(where=str(path), found=f"is no YAML ({reason})", repair="mend it") from error
    except RecursionError as error:
        raise ContractError(
            where=str(path), found="has brackets within brackets, too many to read", repair="mend it"
        ) from error
    if (
        not isinstance(written, dict)
        or not isinstance(written.get("columns"), dict)
        or not written["columns"]
    ):
        raise ContractError(
            where=str(path),
            found="has no columns",
            repair="list them under `columns:`, or delete it to get a new one",
        )
    _known_only(path, "", written, ("target", "rows", "columns"))
    columns = {str(name): _promise(path, str(name), promise) for name, promise in written["columns"].items()}
    target, rows = str(written.get("target") or ""), written.get("rows", 1)
    if target and target not in columns:
        raise ContractError(
            where=str(path), found=f"target {target!r} is not among the columns", repair="add it"
        )
    if not isinstance(rows, int) or rows < 1:
        raise ContractError(
            where=str(path), found=f"rows is {rows!r}", repair="write a whole number of 1 or more"
        )
    return Contract(str(path), columns, target, rows)


def _promise(path: Path, name: str, written: Any) -> Promise:
    place = f"column {name!r}"
    if not isinstance(written, dict) or written.get("kind") not in KINDS:
        found = written.get("kind") if isinstance(written, dict) else written
        raise ContractError(
            where=str(path), found=f"{place} has kind {found!r}", repair=f"write one of {', '.join(KINDS)}"
        )
    _known_only(path, f"{place}: ", written, tuple(each.name for each in fields(Promise)))
    values = written.get("values", [])
    if not isinstance(values, list):
        raise ContractError(where=str(path), found=f"{place}: values is {values!r}", repair="write a list")
    for key in ("unique", "optional"):
        if type(written.get(key, False)) is not bool:
            raise ContractError(
                where=str(path), found=f"{place}: {key} is {written[key]!r}", repair="write true or false"
            )
    for key, kinds in (("values", ["category"]), ("minimum", RANGED), ("maximum", RANGED)):
        if key in written and written["kind"] not in kinds:
            raise ContractError(
                where=str(path),
                found=f"{place} is a {written['kind']} and has {key}",
                repair=f"leave it out: {key} goes with {' and '.join(kinds)}",
            )
    unit = None if written.get("unit") is None else str(written["unit"])
    reading = _reading(path, place, written)
    promise = Promise(**{**written, "values": tuple(map(str, values)), "unit": unit, "reading": reading})
    for key in ("minimum", "maximum", "missing"):
        _limit(path, place, promise, key)
    if not 0.0 <= promise.missing <= 1.0:
        raise ContractError(
            where=str(path),
            found=f"{place}: missing is {promise.missing}",
            repair="write a share from 0 to 1",
        )
    return promise


def _reading(path: Path, place: str, written: Mapping[str, Any]) -> Reading | None:
    if "reading" not in written:
        return None
    try:
        reading = Reading.from_dict(written["reading"])
    except (KeyError, TypeError, ValueError) as error:
        found = f"{place}: its reading cannot be used ({error})"
        raise ContractError(
            where=str(path), found=found, repair="leave it out and run check for a new one"
        ) from None
    if reading.kind == written["kind"]:
        return reading
    found = f"{place}: its reading makes a {reading.kind} of it, promised is {written['kind']}"
    raise ContractError(where=str(path), found=found, repair="write the same")


def _limit(path: Path, place: str, promise: Promise, key: str) -> float | None:
    """Return a limit as a number, seconds since 1970 for a datetime; None where there is none."""
    value = getattr(promise, key)
    if value is None:
        return None
    try:
        if promise.kind == "datetime" and key != "missing":
            return float(seconds(pd.Series([str(value)]))[0])
        return float(value)
    except (TypeError, ValueError):
        expected = "a date such as 2013-01-31" if promise.kind == "datetime" else "a number"
        raise ContractError(
            where=str(path), found=f"{place}: {key} is {value!r}", repair=f"write {expected}"
        ) from None


def _known_only(path: Path, place: str, written: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in written:
        if key not in known:
            near = nearest(str(key), known)
            raise ContractError(
                where=str(path),
                found=f"{place}unknown key {key!r}",
                repair=f"did you mean {near!r}?" if near else f"known are {', '.join(known)}",
            )


def violations(contract: Contract, table: Table, *, ignored: tuple[str, ...] = ()) -> list[Fault]:
    """Return every promise that the table does not keep, in the contract's order."""
    found = []
    if len(table) < contract.rows:
        found.append(
            Fault("*", f"{len(table)} rows, at least {contract.rows} are promised", "pass the whole table")
        )
    for name, promise in contract.columns.items():
        if name in ignored:
            continue
        if name in table.frame:
            found += _broken_by(contract, table, name, promise)
        elif not promise.optional:
            near = nearest(name, [each for each in table.names if each not in contract.columns])
            found.append(
                Fault(name, "is missing", f"is it {near!r} now?" if near else "add it, or mark it optional")
            )
    for name in table.names:
        if name not in contract.columns and name not in ignored:
            found.append(Fault(name, "is not in the contract", "add it there, or exclude it"))
    return found


def _broken_by(contract: Contract, table: Table, name: str, promise: Promise) -> Iterator[Fault]:
    kind, unit = table.kinds[name], f" {promise.unit}" if promise.unit else ""
    missing = table.frame[name].isna().to_numpy()
    if missing.mean() > promise.missing:
        allowed = f"{promise.missing:.4g} of all may be" if promise.missing else "none may be"
        rows, count = at(missing)
        yield Fault(
            name, f"{count:,} of {len(table):,} cells are empty, {allowed}", "fill them in", rows, count
        )
    if kind is None:
        return
    if name in table.doubts:
        yield Fault(name, table.doubts[name].found, table.doubts[name].repair, *_row_of(table.doubts[name]))
        return
    if _is_read_otherwise(table.readings.get(name), promise.reading):
        yield Fault(
            name,
            f"is read as {table.readings[name]}, plain cells are promised",
            "add its reading, or mend the cells",
        )
        return
    if kind != promise.kind:
        yield Fault(
            name, f"holds {kind} values, {promise.kind} is promised", _strays(table, name, promise.kind)
        )
        return
    values = seconds(table.frame[name]) if kind == "datetime" else table.frame[name].to_numpy()
    cells = pd.Series(values, index=pd.RangeIndex(len(table)))
    for what, places in _failures(cells, _checks(contract, name, promise), unique=promise.unique):
        first = table.frame[name].iloc[places[0]]
        shown = f"{number(first, 6)}{unit}" if isinstance(first, float) else repr(str(first)[:40])
        broken = np.isin(np.arange(len(table)), places)
        yield Fault(name, f"{shown} is {what}", "mend the rows, or the contract", *at(broken))


def _row_of(doubt: UnusableColumn) -> tuple[tuple[int, ...], int]:
    return ((doubt.row,), 1) if doubt.row else ((), 0)


def _is_read_otherwise(reading: Reading | None, promised: Reading | None) -> bool:
    """Return whether a column has a reading that nobody promised; words for a gap alone are none."""
    return promised is None and reading is not None and not reading.is_plain


def _checks(contract: Contract, name: str, promise: Promise) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a pandera check's name, its arguments, and the end of the sentence about a cell that fails it."""
    unit = f" {promise.unit}" if promise.unit else ""
    path, place = Path(contract.where), f"column {name!r}"
    low, high = (_limit(path, place, promise, key) for key in ("minimum", "maximum"))
    if low is not None:
        yield "ge", {"min_value": low}, f"below {promise.minimum}{unit}"
    if high is not None:
        yield "le", {"max_value": high}, f"above {promise.maximum}{unit}"
    if promise.values:
        yield "isin", {"allowed_values": promise.values}, "not among the values allowed"


def _failures(
    cells: pd.Series, checks: Iterable[tuple[str, dict[str, Any], str]], *, unique: bool
) -> list[tuple[str, list[int]]]:
    """Return each failed check's sentence and the positions that failed it; empty cells fail none."""
    import pandera.pandas as pandera  # noqa: PLC0415 - 0.5 s that only a contract needs

    made = [getattr(pandera.Check, name)(**arguments, error=what) for name, arguments, what in checks]
    if unique:
        made.append(pandera.Check(lambda cells: ~cells.duplicated(), error="there before"))
    try:
        pandera.SeriesSchema(checks=made, nullable=True).validate(cells, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        return [
            (str(what), sorted(group["index"].astype(int)))
            for what, group in cases.groupby("check", sort=False)
        ]
    return []


def _strays(table: Table, name: str, promised: Kind) -> str:
    """Say which text keeps a column from being of its kind."""
    if promised != "number":
        return f"write {promised} values"
    texts = table.frame[name].dropna().astype(str)
    strays = texts[pd.to_numeric(texts, errors="coerce").isna()]
    if strays.empty:
        return "write numbers without leading zeros"
    return f"row {int(strays.index[0]) + 1} is {strays.iloc[0][:40]!r}"
