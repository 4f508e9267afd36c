"""Columns that know the answer: what a model may not see, found before it is fitted.

Each finding has a figure, the share of the target's variance that a column explains on rows it was
not fitted on. An honest predictor can be that good as well (y = 3x + 2): so findings are warnings,
unless the user asks to be strict. It knows tables and sides, not models.

What cannot be seen in one table is not found: a value that was corrected in every row looks like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.checks.faults import cell_hashes
from data.long_arrays import beside, blocks
from data.schema import Kind
from data.splits import Split
from data.tables import Table, row_digests

PERFECT = 0.98
"""Share of the target's variance beyond which a column is suspected."""

MOST_ROWS, MOST_CELLS, FEW_ROWS = 20_000, 2_000_000, 2_000
"""Rows of the sample on which columns are judged."""

MOST_PAIRED = 40
"""Columns of numbers, the first, of which all pairs are looked at."""

BINS = 100
"""Ranges into which a number is cut, each with a mean of the target."""

LAGS = (1, 2, 3, 7)
"""How many rows before, in the order of time, a column may have the target from."""

SAME = 0.95
"""Share of rows in which a column is an earlier row's target."""

GAP_JUMP = 0.3
"""Difference in the share of missing values between the newest tenth of the rows and the others."""

CORRECTED = 0.3
"""Difference in the share of variance explained between older rows and the newest tenth."""

GROUP_ROWS = (2.0, 200.0)
"""How many rows a group has on average, at least and at most: a person, a shop or a machine in a table."""

GROUPING: tuple[Kind, ...] = ("number", "category")
"""The kinds of columns that may name a group."""

FEWEST_GROUPS = 20
"""Of which there are as many at least."""

ALIKE = 0.5
"""Share of the target's variance between groups beyond which the rows of one group look alike."""

MINUTES = 1440.0
"""Of a day."""

Floats = NDArray[np.float64]


def leaks(table: Table, features: Sequence[str], *, target: str, split: Split) -> list[str]:
    """Return one sentence for each thing that looks like a leak; table and split as `leaks_in_rows` has them."""
    names = [name for name in table.names if name != target]
    found = [*leaks_in_rows(table, features, target=target, split=split)]
    found += grouped(table, names, target=target, split=split)
    if split.moments is not None:
        found += lagged(table, features, target=target, moments=split.moments)
    return found


def leaks_in_rows(table: Table, features: Sequence[str], *, target: str, split: Split) -> list[str]:
    """Return one sentence for each thing that rows show, whichever of the table's they are.

    Parameters
    ----------
    table : Table
        The rows that have a target.
    features : sequence of str
        The columns to predict from.
    split : Split
        The rows' sides; a split by time is looked at for gaps too.
    """
    sample = _sample(table)
    y = sample.numbers(target)
    alone = {name: explained_alone(sample, name, y) for name in features}
    sentences = [
        f"column {name!r} alone explains {share:.1%} of {target}: is it known when you predict?"
        for name, share in alone.items()
        if share >= PERFECT
    ]
    suspected = [name for name, share in alone.items() if share >= PERFECT]
    sentences += _pairs(sample, [name for name in features if name not in suspected], y, target)
    sentences += _twins(table, features, target, split)
    if split.moments is not None:
        sentences += _late(table, features, split.moments)
        sentences += _corrected(table, features, table.numbers(target), split.moments, target)
    return sentences


def explained_alone(table: Table, name: str, y: Floats) -> float:
    """Return the share of variance that one column explains out of sample, at most 1, negative where it misleads."""
    codes = pd.factorize(table.frame[name], use_na_sentinel=False)[0]
    if table.kinds[name] in ("number", "boolean"):
        x = table.numbers(name)
        line = _line(np.nan_to_num(x, nan=float(np.nanmean(x)) if np.isfinite(x).any() else 0.0)[:, None], y)
        if len(np.unique(codes)) > BINS:
            edges = np.nanquantile(x, np.linspace(0.0, 1.0, BINS + 1)[1:-1])
            codes = np.where(np.isnan(x), BINS, np.searchsorted(edges, x))
        return max(line, _monotone(x, y), _means(codes, y))
    return _means(codes, y)


def _pairs(table: Table, names: Sequence[str], y: Floats, target: str) -> Iterator[str]:
    """Yield differences and sums of two columns of numbers; clock times (1759 is a minute before 1800) as minutes."""
    numbers = [name for name in names if table.kinds[name] == "number"][:MOST_PAIRED]
    values = {name: table.numbers(name) for name in numbers}
    clocks = {name: minutes for name in numbers if (minutes := as_minutes(values[name])) is not None}
    for one, other in combinations(numbers, 2):
        known = np.isfinite(values[one]) & np.isfinite(values[other])
        if known.sum() < 20:
            continue
        share = _line(np.column_stack([values[one], values[other]])[known], y[known])
        sign = "-"
        if one in clocks and other in clocks:
            apart = clocks[one][known] - clocks[other][known]
            apart = (apart + MINUTES / 2.0) % MINUTES - MINUTES / 2.0  # over midnight
            within = np.abs(y[known]) < MINUTES / 2.0  # more than half a day wraps around
            share = max(share, _line(apart[within, None], y[known][within]))
        elif np.corrcoef(values[one][known] + values[other][known], y[known])[0, 1] ** 2 > PERFECT:
            sign = "+"
        if share >= PERFECT:
            yield f"columns {one!r} {sign} {other!r} explain {share:.1%} of {target}: are both known when you predict?"


def as_minutes(values: Floats) -> Floats | None:
    """Return clock times such as 1759 as minutes since midnight, or None where the numbers are none.

    >>> as_minutes(np.array([1759.0, 5.0]))
    array([1079.,    5.])
    """
    known = values[np.isfinite(values)]
    clock = known.size > 0 and known.min() >= 0 and 1000 < known.max() <= 2400
    if not clock or (known % 1).any() or (known % 100 >= 60).any():
        return None
    return np.floor(values / 100.0) * 60.0 + values % 100.0


def _twins(table: Table, features: Sequence[str], target: str, split: Split) -> Iterator[str]:
    rule = split.rule
    if rule.method == "repeat":  # that is what the user asked for
        return
    if rule.method == "hash" and {*rule.columns} <= {*features, target}:  # equal rows stand on one side
        return
    digests = row_digests(table, [*features, target])
    training, held = digests[split.mask("train")], digests[split.mask("holdout")]
    share = float(np.isin(held, training).mean())
    if share > 0.01:
        yield (
            f"{share:.1%} of the holdout rows stand in the training rows too, cell by cell: the holdout's figures "
            "flatter; see those on rows without a twin"
        )


def grouped(table: Table, names: Sequence[str], *, target: str, split: Split) -> Iterator[str]:
    """Yield columns that name what rows belong to (a patient), where rows of one stand on both sides.

    All rows of a group have to be there.
    """
    if split.rule.method == "group":
        return
    y, held, training = table.numbers(target), split.mask("holdout"), split.mask("train")
    for name in names:
        if table.kinds[name] not in GROUPING:
            continue
        codes, groups = pd.factorize(table.frame[name])
        if not _are_groups(len(table), len(groups)):
            continue
        if (codes < 0).any():
            continue
        apart, alike = float(np.isin(codes[held], codes[training]).mean()), _means(codes, y)
        if (
            apart > 0.5
            and alike >= ALIKE
            and not (table.kinds[name] == "number" and _smooth(table, name, y, alike))
        ):
            yield (
                f"{apart:.0%} of the holdout rows share their {name!r} with training rows, and it explains {alike:.1%} "
                f"of {target}: for groups that are new when you predict, use split=group with group_column={name}"
            )


def whole_groups(table: Table, name: str, *, most: int) -> NDArray[np.bool_] | None:
    """Return about so many rows, all of each value of a column that are taken; None where it cannot name groups."""
    if table.kinds[name] not in GROUPING or (values := table.frame[name]).isna().any():
        return None
    every, count = np.uint64(-(-len(values) // most)), 0
    rows: list[NDArray[np.bool_]] = []
    taken: list[NDArray[np.uint64]] = []
    for hashes in cell_hashes(values):
        rows.append(hashes % every == 0)
        taken.append(hashes[rows[-1]])
        count += len(taken[-1])
        if count > 2 * most:
            return None
    return np.concatenate(rows) if _are_groups(count, len(np.unique(np.concatenate(taken)))) else None


def oldest(moments: Floats, *, most: int) -> NDArray[np.bool_]:
    """Return which rows are the first ones in the order of time, so many: of equal moments those above."""
    if len(moments) <= most:
        return np.ones(len(moments), dtype=np.bool_)
    parted = beside(moments, len(moments), moments.dtype)
    for part in blocks(len(moments)):
        parted[part] = moments[part]
    parted.partition(most - 1)
    last = parted[most - 1]
    rows = np.asarray(moments < last)
    left = most - int(np.count_nonzero(rows))
    for part in blocks(len(moments)):
        alike = np.flatnonzero(moments[part] == last)[:left] + part.start
        rows[alike] = True
        left -= len(alike)
    return rows


def _are_groups(rows: int, values: int) -> bool:
    """Return whether so many different values in so many rows may name what rows belong to."""
    return values >= FEWEST_GROUPS and GROUP_ROWS[0] <= rows / values <= GROUP_ROWS[1]


def _smooth(table: Table, name: str, y: Floats, alike: float) -> bool:
    """Return whether twenty ranges of a number explain about as much as its values: a measure, no identifier."""
    x = table.numbers(name)
    ranges = np.searchsorted(np.quantile(x, np.linspace(0.0, 1.0, 21)[1:-1]), x)
    return _means(ranges, y) > alike - 0.3


def lagged(table: Table, features: Sequence[str], *, target: str, moments: Floats) -> Iterator[str]:
    """Yield columns that have the target of some rows before, in the order of time; no row between may be absent."""
    y, order = table.numbers(target), np.argsort(moments, kind="stable")
    for name in features:
        if table.kinds[name] != "number":
            continue
        x, sorted_y = table.numbers(name)[order], y[order]
        for lag in LAGS:
            same = float(np.mean(x[lag:] == sorted_y[:-lag]))
            if same >= SAME:
                yield f"column {name!r} is {target} of {lag} rows before in {same:.1%} of the rows: will it be known?"


def _late(table: Table, features: Sequence[str], moments: Floats) -> Iterator[str]:
    """Yield columns that the newest rows lack and older ones have: filled in after the fact."""
    newest = moments >= np.quantile(moments, 0.9)
    for name in features:
        missing = table.frame[name].isna().to_numpy()
        new, old = float(missing[newest].mean()), float(missing[~newest].mean())
        if new - old >= GAP_JUMP:
            yield (
                f"column {name!r} is missing in {new:.0%} of the newest tenth of the rows and {old:.0%} of the others: "
                "it seems to be filled in later"
            )


def _corrected(
    table: Table, features: Sequence[str], y: Floats, moments: Floats, target: str
) -> Iterator[str]:
    """Yield columns that tell the target of older rows and not of the newest: corrected when it became known."""
    newest = moments >= np.quantile(moments, 0.9)
    if newest.sum() < 50 or np.ptp(y[newest]) == 0.0:
        return
    old, new = _sample(table.take(~newest)), table.take(newest)
    for name in features:
        before = explained_alone(old, name, old.numbers(target))
        if before < CORRECTED:
            continue
        now = max(explained_alone(new, name, y[newest]), 0.0)
        if before - now >= CORRECTED:
            yield (
                f"column {name!r} explains {before:.0%} of {target} in older rows and {now:.0%} in the newest tenth: "
                "it seems to be corrected afterwards"
            )


def _sample(table: Table) -> Table:
    chosen = np.zeros(len(table), dtype=np.bool_)
    most = min(MOST_ROWS, max(MOST_CELLS // max(len(table.names), 1), FEW_ROWS))
    chosen[np.random.default_rng(0).permutation(len(table))[:most]] = True
    return table.take(chosen)


def _line(x: Floats, y: Floats) -> float:
    """Fit a plane to every other row, and return the share of variance that it explains on the rest."""
    design = np.column_stack([x, np.ones(len(x))])
    weights, *_ = np.linalg.lstsq(design[::2], y[::2], rcond=None)
    return _share(y[1::2], design[1::2] @ weights)


def _monotone(x: Floats, y: Floats) -> float:
    """Return the squared rank correlation: 1 for any rising or falling curve."""
    known = np.isfinite(x)
    if known.sum() < 20 or np.ptp(x[known]) == 0.0:
        return 0.0
    ranks = pd.DataFrame({"x": x[known], "y": y[known]}).rank()
    return float(ranks["x"].corr(ranks["y"]) ** 2)


def _means(codes: NDArray[np.intp], y: Floats) -> float:
    """Predict every other row, in a shuffled order, by the mean of its group among the others."""
    order = np.random.default_rng(0).permutation(len(y))
    codes, y = codes[order], y[order]
    size = int(codes.max()) + 1
    count = np.bincount(codes[::2], minlength=size)
    total = np.bincount(codes[::2], weights=y[::2], minlength=size)
    means = np.where(count > 0, total / np.maximum(count, 1), y[::2].mean())
    return _share(y[1::2], means[codes[1::2]])


def _share(y: Floats, predicted: Floats) -> float:
    variance = float(np.var(y))
    return 1.0 - float(np.mean((y - predicted) ** 2)) / variance if variance else 0.0
