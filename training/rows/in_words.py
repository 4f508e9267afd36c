"""What a table's rows are, in sentences: their columns, their sides, their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from data.checks import Checked
from data.figures import figure
from data.schema import Schema
from data.splits import SIDES, Split
from training.weights import effective


def columns_in_words(schema: Schema) -> str:
    """Say how many columns of which kind there are."""
    plural = {"number": "numbers", "boolean": "booleans", "category": "categories", "datetime": "dates"}
    counts = Counter(column.kind for column in schema.columns)
    kinds = ", ".join(f"{count} {kind if count == 1 else plural[kind]}" for kind, count in counts.items())
    total = len(schema.columns)
    return f"{total} {'feature' if total == 1 else 'features'} ({kinds}): {', '.join(schema.names)}"


def sides_in_words(split: Split) -> str:
    """Say how many rows stand on which side."""
    return ", ".join(f"{count:,} {side}" for side, count in split.counts.items())


def sample_in_words(split: Split, all_counts: Mapping[str, int] | None) -> str:
    """Say that a sample of a large table is gone on with, and of how many rows; nothing where all are."""
    if all_counts is None:
        return ""
    kept = ", ".join(f"{count:,} of {all_counts[side]:,} {side}" for side, count in split.counts.items())
    return f"{kept}: what the time budget allows for; a larger time_budget takes more"


def weights_in_words(checked: Checked, split: Split) -> str:
    """Say how far the weights reach, and what they leave of the rows."""
    values = checked.table.numbers(checked.weight)[checked.counted]
    none = int((~checked.counted).sum())
    training = checked.table.numbers(checked.weight)[split.mask("train")]
    return (
        f"{checked.weight}, {figure(float(values.min()))} to {figure(float(values.max()))}; "
        + (f"{none:,} rows of weight 0 do not count; " if none else "")
        + f"the {len(training):,} training rows are worth {effective(training):,.0f} of equal weight"
    )


def weights_in_figures(checked: Checked, split: Split) -> dict[str, float]:
    """Return what the weights leave of the rows, under MLflow names; nothing without weights."""
    if not checked.weight:
        return {}
    values = checked.table.numbers(checked.weight)
    worth = {
        f"effective_rows_{side}": effective(values[split.mask(side)]) for side in SIDES if split.counts[side]
    }
    return worth | {"rows_of_weight_0": float((~checked.counted).sum())}
