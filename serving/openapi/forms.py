"""What one model takes and gives, as JSON Schemas: from its scorer's document, or from MLflow's signature.

Both kinds of model fill the same frame, which `serving.openapi.describing` sets into paths, protocols and errors.
A signature names types and shapes alone: units, ranges and golden rows exist for compiled models only,
and no server holds a model's answers against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from data.schema import Column, Schema
from serving.protocols import tensors
from serving.rows import media
from serving.scorer import Document, Intervals

Described = dict[str, Any]
"""A JSON Schema."""

NULL: Described = {"type": "null"}
NUMBER: Described = {"type": ["number", "null"]}
_DATES: list[Described] = [{"type": "string", "format": form} for form in ("date-time", "date")]
_KINDS: dict[str, Described] = {
    "number": NUMBER,
    "boolean": {"type": ["boolean", "null"]},
    "category": {"type": ["string", "null"]},
    "datetime": {"anyOf": [*_DATES, NULL]},
}
_COLUMNS: dict[str, Described] = {
    "double": NUMBER,
    "float": NUMBER,
    "long": {"type": "integer"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "string": {"type": "string"},
    "datetime": {"type": "string"},
    "binary": {"type": "string", "description": "base64"},
    "object": {"type": "object"},
    "map": {"type": "object"},
}
"""By MLflow's type of a column; any other may be anything. A missing double is null."""

TOP: Described = {"type": "integer", "minimum": 1, "description": "columns shown, those that add most"}
REASONS: dict[str, Described] = {"explain": {"type": "boolean"}, "top": TOP}
"""What may be asked for beside predictions."""

GOLDEN_SHOWN, CATEGORIES_SHOWN = 2, 10


@dataclass(frozen=True)
class Forms:
    """The parts of an OpenAPI document that differ by model.

    Attributes
    ----------
    title : str
        What is predicted.
    rows : mapping of str to schema
        What `/invocations` may hold under each key.
    x, y : schema
        Of `/predict`.
    predictions : schema
        Of `/invocations`.
    named : mapping of str to schema
        What the others refer to.
    params : schema or None
        What may be asked for with the rows.
    coverage : mapping of str to schema
        The interval that may be asked for; empty where there is none.
    explains : bool
        Whether reasons can be asked for.
    tables : tuple of str
        Content-Types that `/invocations` takes beside JSON.
    tensors : sequence
        The Open Inference Protocol's inputs, as an example.
    names : sequence of str
        Of those inputs.
    golden : tuple of rows and predictions
        An example.
    """

    title: str
    rows: Mapping[str, Described]
    x: Described
    y: Described
    predictions: Described
    named: Mapping[str, Described]
    params: Described | None = None
    coverage: Mapping[str, Described] = field(default_factory=dict)
    explains: bool = False
    tables: tuple[str, ...] = (media.CSV, media.PARQUET)
    tensors: Sequence[Described] = ()
    names: Sequence[str] = ()
    golden: tuple[list[Any], list[Any]] = ([], [])


def ref(name: str) -> Described:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(items: Described, **more: Any) -> Described:
    """Return a list."""
    return {"type": "array", "items": items} | more


def object_of(needed: Mapping[str, Described], others: Mapping[str, Described] | None = None) -> Described:
    """Return an object by the keys that it must have, and those that it may have."""
    described: Described = {"type": "object", "properties": {**needed, **(others or {})}}
    return described | ({"required": list(needed)} if needed else {})


def any_of(*choices: Described) -> Described:
    """Return what fits one of these at least."""
    return {"anyOf": list(choices)} if len(choices) > 1 else choices[0]


def closed(others: Mapping[str, Described]) -> Described | None:
    """Return an object that may have these keys alone; None for none."""
    return (object_of({}, others) | {"additionalProperties": False}) if others else None


def of_scorer(document: Document) -> Forms:
    """Return the forms of a compiled model: kinds, units, ranges, categories, golden rows."""
    schema = document.schema
    cells = {column.name: _cell(column) for column in schema.columns}
    rows = [dict(row) for row in document.golden_rows[:GOLDEN_SHOWN]]
    lists = {name: list_of(cell, minItems=1) for name, cell in cells.items()}
    named = {"Row": object_of(cells), "Columns": object_of(lists)}
    records = list_of(ref("Row"), minItems=1, examples=[rows])
    bare = [] if len(cells) > 1 else [list_of(cell, minItems=1) for cell in cells.values()]
    number = NUMBER | {"description": _of_target(schema)}
    coverage = _coverage(document.intervals)
    return Forms(
        title=schema.target,
        rows=_by_key(records, any_of(records, ref("Columns"), *bare), schema.names),
        x=any_of(ref("Row"), records, ref("Columns"), *bare, *(bare and cells.values())),
        y=any_of(number, list_of(number)),
        predictions=list_of(number),
        named=named,
        params=closed(coverage | (REASONS if document.explain else {})),
        coverage=coverage,
        explains=bool(document.explain),
        tables=(media.ARROW, media.PARQUET, media.CSV),
        tensors=_tensors(schema, rows),
        names=schema.names,
        golden=(rows, list(document.golden_predictions[:GOLDEN_SHOWN])),
    )


def of_signature(signature: Mapping[str, Any]) -> Forms:
    """Return the forms of a model that MLflow runs, by its signature as MLflow writes it."""
    inputs, outputs = signature["inputs"], signature["outputs"]
    predictions = _answers(outputs)
    taken = _tables(inputs) if not inputs or "tensor-spec" not in inputs[0] else _arrays(inputs)
    return Forms(
        title="predictions",
        **taken,
        y=any_of(predictions["items"], predictions) if "items" in predictions else predictions,
        predictions=predictions,
        params={"type": "object"},
        names=[str(each.get("name", "input")) for each in inputs],
    )


def _by_key(records: Described, columns_too: Described, names: Sequence[str]) -> dict[str, Described]:
    """Return what `/invocations` takes of a table under each key."""
    split = object_of(
        {"columns": list_of({"type": "string"}, examples=[list(names)]), "data": list_of(list_of({}))},
        {"index": list_of({})},
    )
    return {
        "dataframe_records": records,
        "dataframe_split": split,
        "instances": columns_too,
        "inputs": columns_too,
    }


def _cell(column: Column) -> Described:
    notes = [column.unit] if column.unit else []
    if column.minimum is not None and column.maximum is not None:
        notes.append(f"training saw {_bound(column.minimum, column)} to {_bound(column.maximum, column)}")
    if column.categories:
        notes.append(f"training saw {len(column.categories)} categories; another is scored as unknown")
    if column.reading is not None:
        notes.append(f"text is read as {column.reading}")
    kind = _KINDS[column.kind]
    if column.reading is not None and column.kind != "category":
        kind = any_of(kind, {"type": "string"})
    described = kind | ({"description": "; ".join(notes)} if notes else {})
    if column.categories:
        described["examples"] = list(column.categories[:CATEGORIES_SHOWN])
    return described


def _bound(value: float, column: Column) -> str:
    if column.kind != "datetime":
        return f"{value:g}"
    return datetime.fromtimestamp(value, UTC).isoformat().removesuffix("+00:00").removesuffix("T00:00:00")


def _of_target(schema: Schema) -> str:
    return f"{schema.target} in {schema.target_unit}" if schema.target_unit else schema.target


def _coverage(intervals: Intervals | None) -> dict[str, Described]:
    if intervals is None:
        return {}
    described = {
        "type": "number",
        "minimum": Intervals.LOWEST,
        "maximum": intervals.coverage[-1],
        "description": "share of targets that the interval should hold",
    }
    return {"coverage": described}


def _tensors(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> list[Described]:
    """Return the rows as the protocol has them: a tensor for each column."""
    return [
        {
            "name": column.name,
            "shape": [len(rows)],
            "datatype": tensors.OF_KIND[column.kind],
            "data": [row[column.name] for row in rows],
        }
        for column in schema.columns
        if rows
    ]


def _tables(columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a signature of columns takes; any table where there is no signature, or it has no names."""
    names = [str(each["name"]) for each in columns if "name" in each]
    cells = {str(each["name"]): _value(each) for each in columns if "name" in each}
    needed = {str(each["name"]) for each in columns if "name" in each and each.get("required", True)}
    records = list_of(ref("Row"), minItems=1)
    choices = [records, ref("Columns")] if names else [{}]
    lists = {name: list_of(cell) for name, cell in cells.items()}
    return {
        "rows": _by_key(records, any_of(*choices), names),
        "x": any_of(ref("Row"), *choices) if names else {},
        "named": {"Row": _parted(cells, needed), "Columns": _parted(lists, needed)},
    }


def _parted(cells: Mapping[str, Described], needed: set[str]) -> Described:
    others = {name: cell for name, cell in cells.items() if name not in needed}
    return object_of({name: cell for name, cell in cells.items() if name in needed}, others)


def _arrays(specs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a signature of tensors takes: an array, or one for each name."""
    if "name" not in specs[0]:
        taken = _array(specs[0]["tensor-spec"])
        return {"rows": {"instances": taken, "inputs": taken}, "x": taken, "named": {}}
    arrays = {each["name"]: _array(each["tensor-spec"]) for each in specs}
    single = {name: each.get("items", each) for name, each in arrays.items()}
    rows = list_of(ref("Row"), minItems=1)
    named = {"Row": object_of(single), "Columns": object_of(arrays)}
    return {"rows": {"instances": rows, "inputs": ref("Columns")}, "x": ref("Columns"), "named": named}


def _array(spec: Mapping[str, Any]) -> Described:
    """Return lists within lists, as deep as the shape; -1 is any length."""
    described = _number_of(str(spec["dtype"]))
    for size in reversed(spec["shape"]):
        described = list_of(described, **({} if size < 0 else {"minItems": size, "maxItems": size}))
    return described


def _number_of(dtype: str) -> Described:
    kinds = {"float": "number", "int": "integer", "uint": "integer", "bool": "boolean"}
    return {"type": kinds.get(dtype.rstrip("0123456789"), "string")}


def _value(written: Mapping[str, Any]) -> Described:
    """Return one value of a column, with null where it is not required."""
    kind = str(written["type"])
    if kind == "array":
        described: Described = list_of(_value(written["items"]))
    else:
        described = _COLUMNS.get(kind, {})
    return described if written.get("required", True) or not described else any_of(described, NULL)


def _answers(outputs: Sequence[Mapping[str, Any]]) -> Described:
    """Return what a signature says of the predictions; with names in it, models answer in several forms."""
    if not outputs or "name" in outputs[0]:
        return {}
    spec = outputs[0].get("tensor-spec")
    return _with_gaps(_array(spec)) if spec else list_of(any_of(_value(outputs[0]), NULL))


def _with_gaps(described: Described) -> Described:
    """Return an array whose numbers may be null, as JSON has what is not a number."""
    if "items" in described:
        return described | {"items": _with_gaps(described["items"])}
    return NUMBER if described == {"type": "number"} else described
