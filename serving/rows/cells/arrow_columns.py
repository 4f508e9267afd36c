"""One Arrow column -> the floats of `data.schema`: the vectorised half of `serving.rows.cells.coercion`.

Imported at the first Parquet, Arrow or CSV request only. Each function returns the floats and
which cells are faults; a fault's float means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.cell_values import FIRST, LAST, instant
from data.cells import plain_texts
from data.schema import DATE_PATTERN, LARGEST_EXACT, UNSEEN, Column
from serving.rows.cells import near_misses
from serving.rows.cells.cell_forms import NUMBER_PATTERN, WHOLE_PATTERN, Bools
from serving.scorer import Floats

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
Result = tuple[Floats, Bools]


def pack(values: Any, column: Column, *, is_text: bool) -> tuple[Floats, Bools, Callable[[int], str]]:
    """Return the column's floats, which cells are faults, and what such a cell holds."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    try:
        floats, bad = _pack_any(array, column, is_text)
    except pa.ArrowException:  # text of bytes that are no UTF-8; a cast that pyarrow does not know
        return _pack_odd(array, column, is_text)
    return floats, bad & ~_nulls(array), partial(_found, array, column)


def texts_at(values: Any, rows: Sequence[int]) -> list[str]:
    """Return some cells of a category column as text."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    indices = pa.array(rows, pa.int64())
    if pa.types.is_dictionary(array.type):
        array, indices = array.dictionary, array.indices.take(indices)
    if pa.types.is_string_view(array.type):  # which cannot be taken from
        array = array.cast(pa.large_string())
    texts: list[str] = array.take(indices).cast(pa.large_string()).to_pylist()
    return texts


def _found(array: Any, column: Column, row: int) -> str:
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    is_date = column.kind == "datetime" and _is_text(kind)
    hint = near_misses.of_date(array[row].as_py()) if is_date else "text"
    return f"{array.type}, not usable as {column.kind}" if hint == "text" else hint


def _pack_any(array: Any, column: Column, is_text: bool) -> Result:
    if pa.types.is_dictionary(array.type):
        return _pack_dictionary(array, column, is_text)
    return _pack(array, column, is_text=is_text)


def _pack_odd(array: Any, column: Column, is_text: bool) -> tuple[Floats, Bools, Callable[[int], str]]:
    """Pack what is left of a column when texts that are no UTF-8 are taken out; all of it is a fault if none is."""
    kind, nulls = array.type, _nulls(array)
    coded = pa.types.is_dictionary(kind)
    broken = _no_utf8(array.dictionary if coded else array)
    if coded and len(broken):
        broken = broken[np.asarray(pc.fill_null(array.indices.cast(pa.int64()), 0))] & ~nulls
    if not broken.any():
        return np.full(len(array), np.nan), ~nulls, partial(_found, array, column)
    left = array.filter(pa.array(~broken))
    if coded:
        left = left.cast(kind.value_type) if len(left) else pa.array([], pa.string())
    floats, bad = np.full(len(array), np.nan), broken.copy()
    floats[~broken], bad[~broken] = _pack_any(left, column, is_text)
    return (
        floats,
        bad & ~nulls,
        lambda row: "text that is not UTF-8" if broken[row] else _found(array, column, row),
    )


def _no_utf8(array: Any) -> Bools:
    """Return which texts are no UTF-8; Arrow and Parquet files may hold any bytes."""
    if not _is_text(array.type):
        return np.zeros(len(array), dtype=np.bool_)
    cells = array.cast(pa.large_string()).view(pa.large_binary()).to_pylist()
    return np.array([cell is not None and not _is_utf8(cell) for cell in cells], dtype=np.bool_)


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pack_dictionary(array: Any, column: Column, is_text: bool) -> Result:
    """Pack each distinct value once: a small dictionary may stand for gigabytes of text."""
    floats, bad = _pack(array.dictionary, column, is_text=is_text)
    indices = np.asarray(pc.fill_null(array.indices.cast(pa.int64()), 0))
    nulls = _nulls(array)
    if not len(floats):
        return np.full(len(array), np.nan), np.zeros(len(array), dtype=np.bool_)
    known_null = _nulls(array.dictionary)
    return np.where(nulls, np.nan, floats[indices]), (bad & ~known_null)[indices] & ~nulls


def _pack(array: Any, column: Column, *, is_text: bool) -> Result:
    if not is_text and _is_text(array.type):
        array.validate(full=True)
    if column.reading is not None and _is_text(array.type):
        plain, refused = plain_texts(array, column.reading)
        floats, bad = _pack_plain(plain, column, is_text=True)
        return floats, bad | refused
    return _pack_plain(array, column, is_text=is_text)


def _pack_plain(array: Any, column: Column, *, is_text: bool) -> Result:
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan), np.zeros(len(array), dtype=np.bool_)
    if column.kind == "category":
        return _categories(array, column)
    if column.kind == "datetime":
        return _instants(array)
    if is_text and _is_text(array.type):
        return _from_text(array, column)
    if column.kind == "boolean":
        return _booleans(array)
    return _numbers(array)


def _numbers(array: Any) -> Result:
    kind = array.type
    if pa.types.is_integer(kind):
        return _whole(array)
    if pa.types.is_decimal(kind):
        return _whole(array) if kind.scale <= 0 else _parsed(array.cast(pa.string()))
    if pa.types.is_floating(kind):
        floats = _floats(array.cast(pa.float64()))
        return floats, np.isinf(floats)
    return _refused(array)


def _whole(array: Any) -> Result:
    """Whole numbers; those beyond ±2^53 are faults. 2^53 + 1 would round into the range, so compare first."""
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.decimal256(76, 0))
    floats = _floats(array.cast(pa.float64(), safe=False))
    if not _reaches(array.type):
        return floats, np.zeros(len(array), dtype=np.bool_)
    beyond = _bools(pc.greater(array, pa.scalar(LARGEST_EXACT).cast(array.type)))
    if pa.types.is_unsigned_integer(array.type):
        return floats, beyond
    return floats, beyond | _bools(pc.less(array, pa.scalar(-LARGEST_EXACT).cast(array.type)))


def _reaches(kind: pa.DataType) -> bool:
    """Whether the type can hold what float64 cannot."""
    return not pa.types.is_integer(kind) or kind.bit_width == 64


def _booleans(array: Any) -> Result:
    if pa.types.is_boolean(array.type):
        return _floats(array.cast(pa.int8()).cast(pa.float64())), np.zeros(len(array), dtype=np.bool_)
    floats, bad = _numbers(array)
    return floats, bad | ~((floats == 0) | (floats == 1) | np.isnan(floats))


def _categories(array: Any, column: Column) -> Result:
    if pa.types.is_time(array.type) or (column.reading is not None and pa.types.is_integer(array.type)):
        array = array.cast(pa.string())  # whole numbers where training read them as text
    if not _is_text(array.type):
        return _refused(array)
    array = array.cast(pa.large_string())
    places = pc.index_in(array, pa.array(column.categories, pa.large_string()))
    codes = np.array(pc.fill_null(places, int(UNSEEN)), dtype=np.float64)
    if array.null_count:
        codes[_nulls(array)] = np.nan
    return codes, np.zeros(len(array), np.bool_)


def _instants(array: Any) -> Result:
    kind = array.type
    if _is_text(kind):
        return _dates_in_text(array)
    if pa.types.is_date32(kind):
        return _ticks(array.cast(pa.int32()).cast(pa.int64()), array, per_second=1, times=86400)
    if pa.types.is_date64(kind):
        return _ticks(array.cast(pa.int64()), array, per_second=1000)
    if pa.types.is_timestamp(kind):
        return _ticks(array.cast(pa.int64()), array, per_second=UNITS[kind.unit])
    return _refused(array)


def _ticks(counts: Any, array: Any, *, per_second: int, times: int = 1) -> Result:
    ticks = np.asarray(pc.fill_null(counts, 0)).astype(np.int64) * times
    whole = ticks // per_second
    bad = (whole < FIRST) | (whole > LAST)
    safe = np.where(bad, 0, ticks)
    micros = safe // (per_second // 10**6) if per_second > 10**6 else safe * (10**6 // per_second)
    return np.where(_nulls(array), np.nan, micros / 1e6), bad


def _dates_in_text(array: Any) -> Result:
    texts = pc.utf8_trim(array.cast(pa.large_string()), " \t\r\n")
    fits = pc.match_substring_regex(texts, DATE_PATTERN)
    if not pc.all(fits, min_count=0).as_py():
        return _dates_one_by_one(texts)
    cut = pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
    timed = pc.if_else(pc.equal(pc.utf8_length(cut), 10), _joined(cut, "T00:00"), cut)
    zoned = pc.match_substring_regex(timed, r"(Z|[T ].*[+-]\d{2}(:?\d{2})?)$")
    try:
        moments = pc.if_else(zoned, timed, _joined(timed, "Z")).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return _dates_one_by_one(texts)
    return _ticks(moments.cast(pa.int64()), texts, per_second=10**6)


def _dates_one_by_one(texts: Any) -> Result:
    """Find which texts are no dates: only columns with a fault come here."""
    cells = [instant(text) for text in texts.to_pylist()]
    bad = np.array([cell is None for cell in cells], dtype=np.bool_)
    return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64), bad


def _from_text(array: Any, column: Column) -> Result:
    everyday = _parsed_everyday(array) if column.kind == "number" else None
    if everyday is not None:
        return everyday, np.zeros(len(array), dtype=np.bool_)
    texts = pc.utf8_trim(array.cast(pa.large_string()), " \t\r\n")
    if column.kind == "number":
        return _parsed(texts)
    lowered = pc.utf8_lower(texts)
    digits = pc.if_else(pc.equal(lowered, "true"), "1", pc.if_else(pc.equal(lowered, "false"), "0", texts))
    floats, bad = _parsed(digits)
    return floats, bad | ~((floats == 0) | (floats == 1) | np.isnan(floats))


def _parsed(texts: Any) -> Result:
    """Numbers written as text. Arrow's parser rounds correctly; it takes no plus sign."""
    everyday = _parsed_everyday(texts)
    if everyday is not None:
        return everyday, np.zeros(len(texts), dtype=np.bool_)
    fits = pc.match_substring_regex(texts, NUMBER_PATTERN)
    plain = pc.replace_substring_regex(pc.if_else(fits, texts, None), r"^\+", "")
    floats = _floats(plain.cast(pa.float64()))
    whole = _bools(pc.match_substring_regex(texts, WHOLE_PATTERN))
    beyond = np.abs(floats) > LARGEST_EXACT
    at_edge = whole & (np.abs(floats) == LARGEST_EXACT)
    for row in np.flatnonzero(at_edge).tolist():
        beyond[row] = abs(int(texts[row].as_py())) > LARGEST_EXACT
    return floats, _bools(pc.invert(fits)) | np.isinf(floats) | (whole & beyond)


def _parsed_everyday(texts: Any) -> Floats | None:
    """Return the numbers where all are plain and below 2^53: without three regular expressions a cell."""
    try:
        floats = _floats(texts.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None
    plain = (
        np.count_nonzero(np.isnan(floats)) == texts.null_count and not (np.abs(floats) >= LARGEST_EXACT).any()
    )
    return floats if plain else None


def _refused(array: Any) -> Result:
    return np.full(len(array), np.nan), np.ones(len(array), dtype=np.bool_)


def _joined(texts: Any, ending: str) -> Any:
    return pc.binary_join_element_wise(texts, pa.scalar(ending, texts.type), pa.scalar("", texts.type))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _nulls(array: Any) -> Bools:
    return _bools(pc.is_null(array))


def _floats(array: Any) -> Floats:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _bools(array: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
