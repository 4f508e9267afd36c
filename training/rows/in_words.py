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


def sides_in_words(counts: Mapping[str, int]) -> str:
    """Say how many rows stand on which side."""
    return ", ".join(f"{count:,} {side}" for side, count in counts.items())


def sample_in_words(split: Split, all_counts: Mapping[str, int] | None, held_by: str = "time_budget") -> str:
    """Say that a sample of a large table is gone on with, and of how many rows; nothing where all are."""
    if all_counts is None:
        return ""
    kept = ", ".join(f"{count:,} of {all_counts[side]:,} {side}" for side, count in split.counts.items())
    what = {"time_budget": "the time budget allows for", "memory": "memory holds"}[held_by]
    return f"{kept}: what {what}; a larger {held_by} takes more"


def weights_in_words(checked: Checked, split: Split) -> str:
    """Say how far the weights reach, and what they leave of the rows."""
    values = checked.table.numbers(checked.weight)[checked.counted]
    training = checked.table.numbers(checked.weight)[split.mask("train")]
    ends, none = (float(values.min()), float(values.max())), int((~checked.counted).sum())
    return weighed(checked.weight, ends, none=none, learned=len(training), worth=effective(training))


def weighed(column: str, ends: tuple[float, float], *, none: int, learned: int, worth: float) -> str:
    """Say it of the smallest and the largest weight, the rows of weight 0, and the training rows and their worth."""
    return (
        f"{column}, {figure(ends[0])} to {figure(ends[1])}; "
        + (f"{none:,} rows of weight 0 do not count; " if none else "")
        + f"the {learned:,} training rows are worth {worth:,.0f} of equal weight"
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
