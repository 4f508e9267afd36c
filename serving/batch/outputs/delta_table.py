"""A folder of parts as a Delta table: one commit to its log says which of its files are its rows from now on.

The log is compared with the parts first, so that nothing is committed twice, whoever was killed when. Files that no
longer count stay where they are: earlier versions of the table have them, until `vacuum` takes both away.

Delta has fewer kinds of columns than Parquet. What the files hold has to be readable as what the table says of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data.sources.lakes import MAPPING, by_library, delta_library
from serving.errors import BadOutput

ATTEMPTS = 10
"""How often another one may have committed in between."""


@dataclass(frozen=True)
class PartFile:
    """A file in the table's folder."""

    name: str
    size: int
    rows: int


def check_table(where: str) -> None:
    """Raise BadOutput where a table is there that no parts can be, UnreadableSource or OutOfReach where none is read.

    A store may refuse its library what it lets pyarrow do: they look for keys in different places.
    """
    deltalake, folder, options = delta_library(where)
    with _by_library(where):
        if deltalake.DeltaTable.is_deltatable(folder, options):
            _refuse_promises(folder, deltalake.DeltaTable(folder, storage_options=options))


def committed(
    where: str, files: Sequence[PartFile], schemas: Sequence[pa.Schema], said: Mapping[str, str]
) -> int:
    """Let a table consist of these files, which have these columns, by one commit or none; return its version.

    Raises
    ------
    BadOutput
        Delta has no such columns.
    UnreadableSource, OutOfReach
        Its library is not there, or could not write.
    """
    lake, columns = delta_library(where), table_columns(schemas)
    with _by_library(where):
        for _ in range(ATTEMPTS - 1):
            with suppress(lake[0].exceptions.CommitFailedError):  # another one made this very version
                return _committed(lake, files, columns, said)
        return _committed(lake, files, columns, said)


def _by_library(where: str) -> AbstractContextManager[None]:
    return by_library(where, "Delta", done="written", repair="run the same again, or name another folder")


def _refuse_promises(folder: str, table: Any) -> None:
    """Raise BadOutput for what somebody set on a table that files of ours, named in its log alone, would not keep."""
    said = table.metadata()
    kept = {"partitioned by": ", ".join(said.partition_columns)} | {
        name: value
        for name, value in said.configuration.items()
        if (name in _PROMISES and value not in ("none", "false")) or name.startswith(_CONSTRAINT)
    }
    if found := [f"{name} {value}" for name, value in kept.items() if value]:
        raise BadOutput(
            reason=f"{folder} is a Delta table with {found[0]}, which parts do not keep",
            repair="name another folder",
        )


def _committed(
    lake: tuple[Any, str, Any], files: Sequence[PartFile], columns: pa.Schema, said: Mapping[str, str]
) -> int:
    """Commit what differs from what the table has now; raises CommitFailedError where another one was faster."""
    deltalake, folder, options = lake
    schema = deltalake.Schema.from_arrow(columns)
    properties = deltalake.CommitProperties(custom_metadata=dict(said), max_commit_retries=0)
    if not deltalake.DeltaTable.is_deltatable(folder, options) and _made(lake, files, schema, properties):
        return 0
    table = deltalake.DeltaTable(folder, storage_options=options)
    _refuse_promises(folder, table)
    listed = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    there = {each["path"]: each["size_bytes"] for each in listed}
    wanted = {each.name: each.size for each in files}
    if there == wanted and table.schema() == schema:
        return int(table.version())
    shared = there.keys() & wanted.keys()
    if shared and table.schema() != schema:
        raise BadOutput(
            reason=f"{folder} is a Delta table of other columns, in which some parts stay",
            repair="name another folder",
        )
    if _NAIVE in schema.to_json() and _NAIVE_FEATURE not in (table.protocol().reader_features or ()):
        feature = deltalake.table.TableFeatures.TimestampWithoutTimezone
        table.alter.add_feature(feature, allow_protocol_versions_increase=True)
    actions = [_added(deltalake, each) for each in files if there.get(each.name) != each.size]
    mode = "overwrite"  # it removes all that is there
    if shared:
        mode, now = "append", int(time.time() * 1000)
        remove = deltalake.transaction.RemoveAction
        actions += [remove(name, True, now, size) for name, size in there.items() if name not in wanted]
    version = int(table.version()) + 1
    table.create_write_transaction(actions, mode, schema, commit_properties=properties)
    return version


def _made(lake: tuple[Any, str, Any], files: Sequence[PartFile], schema: Any, properties: Any) -> bool:
    """Make the table, and return whether nobody else did at the same time."""
    deltalake, folder, options = lake
    added = [_added(deltalake, each) for each in files]
    try:
        deltalake.transaction.create_table_with_add_actions(
            folder, schema, added, storage_options=options, commit_properties=properties
        )
    except deltalake.exceptions.DeltaError:
        if not deltalake.DeltaTable.is_deltatable(folder, options):
            raise
        return False
    return True


def _added(deltalake: Any, file: PartFile) -> Any:
    now, rows = int(time.time() * 1000), json.dumps({"numRecords": file.rows})
    return deltalake.transaction.AddAction(file.name, file.size, {}, now, True, rows)


def table_columns(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the columns that a table says it has, for files with these; raises BadOutput."""
    try:
        joined = pa.unify_schemas([schema.remove_metadata() for schema in schemas])
    except pa.ArrowException as error:
        reason = f"parts have other columns than each other: {str(error).splitlines()[0]}"
        raise BadOutput(reason=reason, repair="make the input's files alike") from error
    return pa.schema([pa.field(each.name, _kind(each.name, each.type)) for each in joined])


def _kind(name: str, kind: pa.DataType) -> pa.DataType:
    """Return what Delta calls a kind of column, as all its readers take it from a Parquet file."""
    if pa.types.is_dictionary(kind):
        return _kind(name, kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit != "ns":
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(each.name, _kind(name, each.type)) for each in kind])
    if pa.types.is_map(kind):
        return pa.map_(_kind(name, kind.key_type), _kind(name, kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_kind(name, kind.value_type))
    for is_such, delta in _KINDS:
        if is_such(kind):
            return delta or kind
    raise BadOutput(
        reason=f"a Delta table cannot hold column {name!r}, which is {kind}",
        repair="leave it out of the input, or write it there as another kind, such as times in microseconds",
    )


_NAIVE, _NAIVE_FEATURE = '"timestamp_ntz"', "timestampNtz"
"""Times without a zone, which a table has to say it may hold: deltalake would commit what it cannot read."""

_PROMISES, _CONSTRAINT = (MAPPING, "delta.appendOnly"), "delta.constraints."
"""What a table may say of its rows: their columns' other names, that none goes, what holds of each."""

_KINDS = (
    (pa.types.is_uint8, pa.int16()),
    (pa.types.is_uint16, pa.int32()),
    (pa.types.is_uint32, pa.int64()),
    (pa.types.is_signed_integer, None),
    (pa.types.is_boolean, None),
    (pa.types.is_float32, None),
    (pa.types.is_float64, None),
    (pa.types.is_decimal128, None),
    (pa.types.is_date, pa.date32()),
    *(
        (each, pa.string())
        for each in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    ),
    *(
        (each, pa.binary())
        for each in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    ),
    (pa.types.is_fixed_size_binary, pa.binary()),
)
"""Kinds of Arrow's, and what Delta calls them where that is another one."""
