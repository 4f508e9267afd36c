"""What looks wrong with a table that could be learned from, put together from all the checks of `data`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data.cells import readings_in_words
from data.checks import Checked, column_faults, leakage, suspect_numbers
from data.splits import Split, weighting
from data.tables import Table

STRICT = " (exclude what is not known when you predict, or pass strict=false)"


def suspicions(
    table: Table,
    checked: Checked,
    split: Split,
    features: Sequence[str],
    *,
    target: str,
    ignored: Sequence[str] = (),
    leaking: Sequence[str] | None = None,
) -> list[str]:
    """Return one line for each thing that looks wrong, or as if it knew the target.

    Parameters
    ----------
    leaking : sequence of str, or None
        What looks as if it knew the target; None to look for it in the checked rows.
    """
    weights = [checked.weight] if checked.weight else []
    unused = [*ignored, *split.rule.reserved, *weights]
    left_out = [name for name in table.names if name not in (target, *features)]
    odd = suspect_numbers(table, ignored=[*unused, *left_out], target=target)
    heavy = weighting.heavy_in_words(table, checked.weight, target) if checked.weight else ""
    if leaking is None:
        leaking = leakage.leaks(checked.table.without(weights), features, target=target, split=split)
    return [
        *map(str, [*column_faults(table, ignored=unused), *odd]),
        *leaking,
        *filter(None, [heavy]),
    ]


def in_sample(sentence: str) -> str:
    """Return what was found in a sample of a table's rows, with where: its row numbers are those of the sample."""
    return f"{sentence} (in the sample)"


def say_readings(table: Table, say: Callable[[str, str], None]) -> None:
    """Say of each reading which columns have it."""
    for line in readings_in_words(table.readings):
        say("read", line)
