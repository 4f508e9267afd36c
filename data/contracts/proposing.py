"""The first contract for a table, written from what is in it.

Its limits are the range seen, widened by half its width and not across zero, so that next month's table passes and
a sensor's -999 does not. It is a proposal, and the user's to edit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import yaml

from data.long_arrays import blocks
from data.tables import Table

MOST_VALUES = 50
"""Categories that a proposal lists; more are taken as open."""

SPARE = 0.05
"""Added to the share of missing cells that was seen, where there were any."""


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
        low, high = (float(least.reduce(values.to_numpy())) for least in (np.fmin, np.fmax))
        yield f"    minimum: {_figure(widened(low, high, -1))}  # seen {low:.6g}"
        yield f"    maximum: {_figure(widened(low, high, 1))}  # seen {high:.6g}"
    if kind == "datetime":
        parts = (values.iloc[part].dropna() for part in blocks(len(values)))
        ends = [(part.min(), part.max()) for part in parts if len(part)]
        yield f"    # seen {min(ends)[0]} to {max(high for _, high in ends)}"
    if name in table.readings:
        yield f"    reading: {json.dumps(table.readings[name].as_dict(), ensure_ascii=False)}"
    if kind == "category" and values.nunique() <= MOST_VALUES:
        yield f"    values: [{', '.join(map(_scalar, sorted(values.dropna().unique())))}]"
    missing = float(values.isna().mean())
    if missing:
        yield f"    missing: {min(math.ceil(100 * (missing + SPARE)) / 100, 1.0)}  # seen {missing:.4f}"


def widened(low: float, high: float, sign: int) -> float:
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
