"""What looks wrong with a table that could be learned from, put together from all the checks of `data`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data.cells import column_readings
from data.checks.faults import faults
from data.checks.leakage import leaks
from data.checks.trainable import Checked
from data.checks.wild import wild
from data.splits.splitting import Split
from data.splits.weighting import heavy_in_words
from data.tables.table import Table

STRICT = " (exclude what is not known when you predict, or pass strict=false)"


def suspicions(
    table: Table,
    checked: Checked,
    split: Split,
    features: Sequence[str],
    *,
    target: str,
    ignored: Sequence[str] = (),
) -> list[str]:
    """Return one line for each thing that looks wrong, or as if it knew the target."""
    weights = [checked.weight] if checked.weight else []
    unused = [*ignored, *split.rule.reserved, *weights]
    left_out = [name for name in table.names if name not in (target, *features)]
    odd = wild(table, ignored=[*unused, *left_out], target=target)
    heavy = heavy_in_words(table, checked.weight, target) if checked.weight else ""
    return [
        *map(str, [*faults(table, ignored=unused), *odd]),
        *leaks(checked.table.without(weights), features, target=target, split=split),
        *filter(None, [heavy]),
    ]


def say_readings(table: Table, say: Callable[[str, str], None]) -> None:
    """Say of each reading which columns have it."""
    for line in column_readings.in_words(table.readings):
        say("read", line)
