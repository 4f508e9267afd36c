"""A contract as a file of YAML, which people read and edit.

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
`reading` is how its texts are read, as a `Reading` is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from data.cells import Reading
from data.contracts.contract import Contract, Promise
from data.errors import ContractError, nearest
from data.schema import KINDS, Kind

RANGED: list[Kind] = ["number", "datetime"]
"""The kinds that can have limits."""


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
    column = f"column {name!r}"
    if not isinstance(written, dict) or written.get("kind") not in KINDS:
        found = written.get("kind") if isinstance(written, dict) else written
        raise ContractError(
            where=str(path), found=f"{column} has kind {found!r}", repair=f"write one of {', '.join(KINDS)}"
        )
    _known_only(path, f"{column}: ", written, tuple(each.name for each in fields(Promise)))
    values = written.get("values", [])
    if not isinstance(values, list):
        raise ContractError(where=str(path), found=f"{column}: values is {values!r}", repair="write a list")
    for key in ("unique", "optional"):
        if type(written.get(key, False)) is not bool:
            raise ContractError(
                where=str(path), found=f"{column}: {key} is {written[key]!r}", repair="write true or false"
            )
    for key, kinds in (("values", ["category"]), ("minimum", RANGED), ("maximum", RANGED)):
        if key in written and written["kind"] not in kinds:
            raise ContractError(
                where=str(path),
                found=f"{column} is a {written['kind']} and has {key}",
                repair=f"leave it out: {key} goes with {' and '.join(kinds)}",
            )
    unit = None if written.get("unit") is None else str(written["unit"])
    reading = _reading(path, column, written)
    promise = Promise(**{**written, "values": tuple(map(str, values)), "unit": unit, "reading": reading})
    for key in ("minimum", "maximum", "missing"):
        _refuse_other_than_number(path, column, promise, key)
    if not 0.0 <= promise.missing <= 1.0:
        raise ContractError(
            where=str(path),
            found=f"{column}: missing is {promise.missing}",
            repair="write a share from 0 to 1",
        )
    return promise


def _reading(path: Path, column: str, written: Mapping[str, Any]) -> Reading | None:
    if "reading" not in written:
        return None
    try:
        reading = Reading.from_dict(written["reading"])
    except (KeyError, TypeError, ValueError) as error:
        found = f"{column}: its reading cannot be used ({error})"
        raise ContractError(
            where=str(path), found=found, repair="leave it out and run check for a new one"
        ) from None
    if reading.kind == written["kind"]:
        return reading
    found = f"{column}: its reading makes a {reading.kind} of it, promised is {written['kind']}"
    raise ContractError(where=str(path), found=found, repair="write the same")


def _refuse_other_than_number(path: Path, column: str, promise: Promise, key: str) -> None:
    try:
        promise.number(key)
    except (TypeError, ValueError):
        is_date = promise.kind == "datetime" and key != "missing"
        raise ContractError(
            where=str(path),
            found=f"{column}: {key} is {getattr(promise, key)!r}",
            repair=f"write {'a date such as 2013-01-31' if is_date else 'a number'}",
        ) from None


def _known_only(path: Path, prefix: str, written: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in written:
        if key not in known:
            near = nearest(str(key), known)
            raise ContractError(
                where=str(path),
                found=f"{prefix}unknown key {key!r}",
                repair=f"did you mean {near!r}?" if near else f"known are {', '.join(known)}",
            )
