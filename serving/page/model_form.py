"""What the page needs to know of a model to make a form: its columns, examples, intervals, whether there are reasons.

A signature of MLflow's says names and types alone: no ranges, no examples, no intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.schema import QUANTILES, Column
from serving.scorer import Document

Form = dict[str, Any]

KINDS = {
    **dict.fromkeys(("double", "float", "long", "integer"), "number"),
    "boolean": "boolean",
    "string": "text",
    "datetime": "datetime",
}
"""By MLflow's type of a column; any other is written as JSON."""
WHOLE = ("long", "integer")
"""Of these MLflow cuts off what stands behind the point, and says nothing."""
RARE = (QUANTILES.index(0.01), QUANTILES.index(0.99))


def of_scorer(document: Document) -> Form:
    """Return the form of a compiled model."""
    schema, intervals = document.schema, document.intervals
    table = {"coverage": intervals.coverage, "quantile": intervals.quantile} if intervals else None
    return {
        "target": {"name": schema.target, "unit": schema.target_unit or ""},
        "columns": [_column(column) for column in schema.columns],
        "examples": [dict(row) for row in document.golden_rows],
        "intervals": table,
        "explains": bool(document.explain),
    }


def of_signature(signature: Mapping[str, Any]) -> Form:
    """Return the form of a model that MLflow runs; without columns where it takes no table of named ones."""
    inputs: Sequence[Mapping[str, Any]] = signature["inputs"] or ()
    is_table = bool(inputs) and all("name" in each and "type" in each for each in inputs)
    columns = [_typed(each) for each in inputs] if is_table else []
    untold: Form = {"target": {"name": "", "unit": ""}, "examples": [], "intervals": None, "explains": False}
    return untold | {"columns": columns}


def _column(column: Column) -> Form:
    described = {
        "name": column.name,
        "kind": column.kind,
        "unit": column.unit or "",
        "missing": column.missing,
    }
    if column.minimum is not None:
        described |= {"minimum": column.minimum, "maximum": column.maximum}
    if column.quantiles:
        described["usual"] = [column.quantiles[place] for place in RARE]
    if column.kind == "category":
        described["categories"] = column.categories
    return described


def _typed(written: Mapping[str, Any]) -> Form:
    kind = KINDS.get(str(written["type"]), "json")
    described: Form = {"name": str(written["name"]), "kind": kind, "unit": ""}
    described["missing"] = not written.get("required", True)
    return described | ({"whole": True} if written["type"] in WHOLE else {})
