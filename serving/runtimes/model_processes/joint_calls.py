"""Which requests go together into one call of a model, and which part of its predictions is whose.

Requests are joined that have the same form: the same key, the same columns, the same types in each, since one value of
another type would change how pandas keeps its whole column. Whether the model may be asked so is the operator's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import orjson

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


@dataclass
class Parsed:
    """A request's JSON, and what has to be the same for it to be joined with others.

    Attributes
    ----------
    key : tuple or None
        None where it stays alone.
    rows : list
        In the form's own way.
    """

    form: str
    content: dict[str, Any]
    key: tuple[Any, ...] | None = None
    rows: Sequence[Any] = ()


class RefusedRequest(Exception):
    """A request that the model, or MLflow's parser, does not take."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def parse(body: bytes) -> Parsed:
    """Return a request's JSON, and what it can be joined by; raises RefusedRequest."""
    try:
        content = orjson.loads(body)
    except ValueError as error:
        raise RefusedRequest(400, "the body is not valid JSON, or holds a number beyond float64") from error
    given = [form for form in FORMS if form in content]
    if len(given) != 1:
        raise RefusedRequest(
            400, f"the body must have exactly one of {', '.join(FORMS)}; it has {len(given)} of them"
        )
    parsed = Parsed(given[0], content)
    if not content.get("params"):
        parsed.key, parsed.rows = _form_of(given[0], content[given[0]])
    return parsed


def _form_of(form: str, data: Any) -> tuple[tuple[Any, ...] | None, Sequence[Any]]:
    """Return what must be equal for two requests to be joined, and the rows; None for what stays alone."""
    if form == "dataframe_split":
        known = type(data) is dict and set(data) <= {"columns", "data", "index"}
        return _columns_key(form, data.get("columns"), data.get("data")) if known else (None, ())
    if type(data) is dict:
        lists = list(data.values())
        even = all(type(each) is list and len(each) == len(lists[0]) for each in lists)
        return _columns_key(form, list(data), list(zip(*lists, strict=True)) if even else None)
    if type(data) is not list or not data or type(data[0]) is not dict:
        return _array_key(form, data), data if type(data) is list else ()
    names = list(data[0])
    even = all(type(row) is dict and list(row) == names for row in data)
    return _columns_key(form, names, [tuple(row.values()) for row in data] if even else None)[0], data


def _columns_key(form: str, names: Any, rows: Any) -> tuple[tuple[Any, ...] | None, Sequence[Any]]:
    if type(names) is not list or type(rows) is not list or not set(map(type, rows)) <= {list, tuple}:
        return None, ()
    if not rows or set(map(len, rows)) != {len(names)} or set(map(type, names)) != {str}:
        return None, rows
    columns = list(zip(*rows, strict=True))
    types = tuple(frozenset(map(type, column)) for column in columns)
    if any(kind & {list, dict} for kind in types) or any(map(_holds_large, columns, types)):
        return None, rows
    return (form, *names, *types), rows


def _holds_large(column: Sequence[Any], types: frozenset[type]) -> bool:
    """Return whether a column has integers that pandas keeps in another type than it keeps smaller ones."""
    return int in types and max(cell for cell in column if type(cell) is int) >= 2**63


def _array_key(form: str, data: Any) -> tuple[Any, ...] | None:
    if type(data) is not list or not data:
        return None
    try:
        array = np.asarray(data)
    except ValueError:  # of uneven lengths
        return None
    return None if array.dtype == object else (form, array.dtype.kind, array.shape[1:])


def joined(members: Sequence[Parsed]) -> tuple[str, Any, int]:
    """Return one request for several of the same form: its key, what stands there, and how many rows that is."""
    rows: Any = [row for each in members for row in each.rows]
    form = members[0].form
    content = members[0].content[form]
    if form == "dataframe_split":
        return form, {"columns": content["columns"], "data": rows}, len(rows)
    if type(content) is dict:
        return form, {name: [row[at] for row in rows] for at, name in enumerate(content)}, len(rows)
    return form, rows, len(rows)


def parts(whole: Any, sizes: Sequence[int]) -> list[bytes]:
    """Return each request's part of the predictions as a body; raises ValueError unless each row has one."""
    ends = list(accumulate(sizes))
    columns = whole.values() if type(whole) is dict else [whole]
    if any(type(values) is not list or len(values) != ends[-1] for values in columns):
        raise ValueError("not one prediction for each row")
    bodies = []
    for size, end in zip(sizes, ends, strict=True):
        rows = slice(end - size, end)
        part = {name: whole[name][rows] for name in whole} if type(whole) is dict else whole[rows]
        bodies.append(orjson.dumps({"predictions": part}))
    return bodies
