"""A request's body, in any format, -> one packed matrix.

Decoding is strict: duplicate keys, tokens such as NaN, rows of different lengths and columns
named twice are refused. It knows no protocol: which keys stand around the rows is for
`serving.protocols`. Texts of errors never quote the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import orjson

from data.schema import Schema
from serving.errors import Fault, Malformed, TooLarge, UnusableValues
from serving.rows import costs
from serving.rows.broken_json import refusal
from serving.rows.budget import before_rows
from serving.rows.cells import MOST_FAULTS, Packed, Texts, UnseenText, pack_arrow, pack_columns, pack_row
from serving.rows.media import ARROW, ARROW_FILE, CSV, JSON, PARQUET, without_mark, wrong_type
from serving.scorer import Floats
from serving.settings import Limits

if TYPE_CHECKING:
    from serving.scorer.reasons import Reasons

_BRACKETS = 65_536
"""That are counted at once: eight bytes for each are not made for all of a body's."""
_KEY = re.compile(rb'"\s*:')
_DIGITS_AS_ZEROS = bytes(0x30 if chr(byte).isdecimal() else 0x20 for byte in range(256))
_LONG_NUMBER = b"0" * 19
_NO_BRACKETS = bytes(byte for byte in range(256) if chr(byte) not in "[]{}")
_STEPS = np.array([{"[": 1, "{": 1, "]": -1, "}": -1}.get(chr(byte), 0) for byte in range(256)])


class Rows(NamedTuple):
    """A request's rows, packed, and what was noticed about them."""

    matrix: Floats
    unseen: Mapping[str, int]
    missing: Mapping[str, int]
    extra: int = 0
    coverage: float | None = None
    texts: Texts = ()
    request_id: str = ""
    """As the body has it, in protocols that have one."""
    top: int | None = None
    """How many columns' shares are to be shown of each prediction, 0 for all; None where no reasons were asked for."""
    reasons: Reasons | None = None
    """Of the predictions, once they are known."""

    def within(self, coverage: Any) -> Rows:
        """Return the same rows with the coverage asked for; raises Malformed unless that is a number or null."""
        if coverage is not None and type(coverage) not in (int, float):
            raise Malformed("coverage must be a number, such as 0.9")
        return self if coverage is None else self._replace(coverage=float(coverage))

    def explained(self, top: Any) -> Rows:
        """Return the same rows, to be explained; raises Malformed unless `top` is a count or null."""
        if top is not None and (type(top) is not int or top < 1):
            raise Malformed("top must be a whole number of 1 or more, such as 3")
        return self._replace(top=top or 0)


def read_json(body: bytes, limits: Limits) -> Any:
    """Parse strict JSON; raises Malformed, or TooLarge for more levels than may be.

    orjson keeps the last of two equal keys and makes a float of an integer over 64 bits. Both
    show: more keys are written than were kept, or 19 digits stand in a row. Only then is the
    body parsed again, by the standard library. Colons are counted before keys are looked for:
    a search through 1,000 rows takes longer than parsing them.
    """
    body = without_mark(body)
    costs.before_json(body, limits)
    try:
        parsed = orjson.loads(body)  # refuses more than 1,024 levels by itself
        if _may_be_deeper(body, limits.json_depth) and _depth(parsed) > limits.json_depth:
            raise TooLarge(what="levels of JSON", limit=limits.json_depth)
        kept = _count_keys(parsed)
        repeated = body.count(b":") != kept and len(_KEY.findall(body)) != kept
        if repeated or _LONG_NUMBER in body.translate(_DIGITS_AS_ZEROS):
            parsed = None  # before another is made
            costs.before_json(body, limits)
            parsed = json.loads(body, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise refusal(body, error, limits) from error
    return parsed


def _may_be_deeper(body: bytes, limit: int) -> bool:
    """Return whether brackets, those within texts included, open deeper than the limit."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    brackets, level = np.frombuffer(body.translate(None, _NO_BRACKETS), dtype=np.uint8), 0
    for start in range(0, len(brackets), _BRACKETS):
        levels = level + np.cumsum(_STEPS[brackets[start : start + _BRACKETS]])
        if levels.max() > limit:
            return True
        level = int(levels[-1])
    return False


def _depth(parsed: Any) -> int:
    level, depth = [parsed], 0
    while level:
        depth += 1
        inner = (value.values() if type(value) is dict else value for value in level)
        level = [child for children in inner for child in children if type(child) in (dict, list)]
    return depth


def _count_keys(parsed: Any) -> int:
    """Return how many keys stand where requests have them: at the top, below it, in rows and tensors below it."""
    if type(parsed) is list:
        return sum(len(row) for row in parsed if type(row) is dict)
    if type(parsed) is not dict:
        return 0
    count = len(parsed)
    for value in parsed.values():
        if type(value) is dict:
            count += len(value)
        elif type(value) is list and type(value[0] if value else None) is dict:
            rows = [row for row in value if type(row) is dict]
            count += sum(map(len, rows))
            if "parameters" in rows[0]:
                count += sum(len(row["parameters"]) for row in rows if type(row.get("parameters")) is dict)
    return count


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise Malformed("an object has the same key twice")
    return parsed


def _refuse_constant(_: str) -> NoReturn:
    raise Malformed("NaN and Infinity are not valid JSON: send null for a missing value")


def from_split(names: Any, data: Any, schema: Schema, limits: Limits) -> Rows:
    """Pack column names and a list of rows."""
    if not isinstance(names, list) or not set(map(type, names)) <= {str}:
        raise Malformed("'columns' must be a list of column names")
    if len(set(names)) != len(names):
        raise Malformed("'columns' names a column twice")
    if not isinstance(data, list) or not _are_rows(data, len(names)):
        raise Malformed("'data' must be a list of rows, each a list with one value for each of 'columns'")
    if len(data) == 1:
        return _checked_row(dict(zip(names, data[0], strict=True)), schema, limits)
    return from_columns(
        dict(zip(names, zip(*data, strict=True), strict=True)) if data else {}, schema, limits
    )


def _are_rows(data: list[Any], width: int) -> bool:
    return set(map(type, data)) <= {list} and set(map(len, data)) <= {width}


def from_records(records: Any, schema: Schema, limits: Limits) -> Rows:
    """Pack a list of objects; a key that only some of them have is missing in the others."""
    if not isinstance(records, list) or not all(type(record) is dict for record in records):
        raise Malformed("rows must be a list of objects, one for each row")
    if len(records) == 1:
        return _checked_row(records[0], schema, limits)
    if len(records) > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    before_rows(len(records), len(schema.columns), copies=1)
    names = set().union(*records)
    columns = {name: [record.get(name) for record in records] for name in schema.names if name in names}
    _check_size(len(records), len(columns), limits)
    return _checked(pack_columns(columns, schema, names), len(names) - len(columns))


def from_columns(
    columns: Mapping[str, Sequence[Any]],
    schema: Schema,
    limits: Limits,
    *,
    extra: int | None = None,
) -> Rows:
    """Pack columns, each a list of the same length."""
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise Malformed("all columns must have the same number of values")
    rows = max(lengths, default=0)
    _check_size(rows, len(columns), limits)
    before_rows(rows, len(schema.columns))
    if extra is None:
        extra = len(columns.keys() - schema.names)
    return _checked(pack_columns(columns, schema), extra)


def _checked_row(row: Mapping[str, Any], schema: Schema, limits: Limits) -> Rows:
    _check_size(1, len(row), limits)
    packed = pack_row(row, schema)
    return _checked(packed, len(row) - len(schema.columns))


def _check_size(rows: int, columns: int, limits: Limits) -> None:
    if rows > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    if columns > limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    if not rows:
        raise Malformed("there are no rows: send at least one")


def _checked(packed: Packed, extra: int) -> Rows:
    if packed.n_faults:
        raise UnusableValues(faults=packed.faults, count=packed.n_faults)
    return Rows(packed.matrix, packed.unseen, packed.missing, extra, texts=packed.texts)


def from_table(body: bytes, kind: str, schema: Schema, limits: Limits) -> Rows:
    """Pack a CSV, Parquet or Arrow IPC body; raises Malformed, TooLarge, UnusableValues or WrongType."""
    if kind not in (CSV, PARQUET, ARROW, ARROW_FILE):
        raise wrong_type(kind, JSON, CSV, PARQUET, ARROW)
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that a worker for JSON never needs

    from serving.rows.tabular import open_batches  # noqa: PLC0415 - as above

    try:
        batches, sent = open_batches(body, kind, schema, limits)
        return _joined(batches, schema, limits, sent=sent, is_text=kind == CSV)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Malformed(f"the body is no readable {kind}") from error


def check_table(body: bytes, kind: str, limits: Limits) -> None:
    """Hold what reading a CSV or Parquet body takes in another process; raises Malformed, TooLarge or Busy."""
    if kind == CSV:
        return costs.before_csv(body, limits)
    import pyarrow as pa  # noqa: PLC0415 - as above

    from serving.rows.tabular import check_parquet  # noqa: PLC0415 - as above

    try:
        check_parquet(body, limits)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Malformed(f"the body is no readable {kind}") from error


def _joined(
    batches: Iterable[Any], schema: Schema, limits: Limits, *, sent: Sequence[str], is_text: bool
) -> Rows:
    parts: list[Packed] = []
    faults: list[Fault] = []
    texts: list[UnseenText] = []
    rows = count = 0
    for batch in batches:
        _check_size(rows + batch.num_rows or 1, 0, limits)
        part = pack_arrow(batch, schema, is_text=is_text, sent=sent)
        faults += [
            Fault(f.row if f.row is None else f.row + rows, f.column, f.expected, f.found)
            for f in part.faults
        ]
        texts += [each._replace(row=each.row + rows) for each in part.texts]
        count += part.n_faults
        rows += batch.num_rows
        parts.append(part)
    _check_size(rows, 0, limits)
    matrix = parts[0].matrix if len(parts) == 1 else np.concatenate([part.matrix for part in parts])
    unseen, missing = _summed(part.unseen for part in parts), _summed(part.missing for part in parts)
    return _checked(
        Packed(matrix, tuple(faults[:MOST_FAULTS]), count, unseen, missing, texts=texts),
        len({*sent} - {*schema.names}),
    )


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
