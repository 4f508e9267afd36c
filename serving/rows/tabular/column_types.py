"""Which columns of a table are refused before they are read, since no model could use them.

A nested column holds more values than rows: 100 lists of 2,000,000 zeros stand in 6 kB of Parquet. Views
may all show the same text, which then stands in memory as often as it is shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from data.schema import Schema
from serving.errors import Fault, Malformed, TooLarge, UnusableValues
from serving.rows.cells import EXPECTED
from serving.settings import Limits


def refuse_types(present: Any, schema: Schema) -> None:
    """Raise UnusableValues where a column of the model is of a type that is more than one value a row."""
    faults = [
        Fault(None, field.name, EXPECTED[schema[field.name].kind], _name_of(field.type))
        for field in present
        if field.name in schema.names and not _is_plain(field.type)
    ]
    if faults:
        raise UnusableValues(faults=faults, count=len(faults))


def refuse_unbounded(present: Any, metadata: Any) -> None:
    """Raise Malformed where a file's column could become more than its rows and texts say, whoever reads it."""
    by_name = {
        column.path: column.physical_type
        for column in map(metadata.schema.column, range(metadata.num_columns))
    }
    for field in present:
        is_odd = isinstance(field.type, pa.BaseExtensionType) and by_name.get(field.name) == "BYTE_ARRAY"
        if is_odd or pa.types.is_nested(field.type):
            kind = str(field.type).partition("<")[0]
            raise Malformed(
                f"column {field.name!r} is of type {kind}, which is not read from Parquet here: send JSON"
            )


def makes_objects(kind: pa.DataType) -> bool:
    """Return whether pandas has one of Python's objects for each value, however small the file."""
    tells = (pa.types.is_decimal, pa.types.is_date, pa.types.is_time, pa.types.is_fixed_size_binary)
    return isinstance(kind, pa.BaseExtensionType) or any(tell(kind) for tell in tells)


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        if pa.types.is_dictionary(kind):
            return False
    return not (
        pa.types.is_nested(kind)
        or pa.types.is_run_end_encoded(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _name_of(kind: pa.DataType) -> str:
    """Return a type without what is in it: names of fields are the sender's."""
    return f"{str(kind).partition('<')[0]}, of which no column can be"


def refuse_views(batch: Any, limits: Limits) -> int:
    """Return how many bytes of text the batch's views show; raises TooLarge."""
    shown = sum(_shown(column) for column in batch.columns)
    if shown > limits.body_bytes:
        raise TooLarge(what="bytes when expanded", limit=limits.body_bytes)
    return shown


def _shown(array: Any) -> int:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary
    if not (pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type)):
        return 0
    lengths = np.frombuffer(array.buffers()[1], dtype=np.int32)[::4]
    return int(lengths[array.offset : array.offset + len(array)].sum(dtype=np.int64))
