"""A table that is looked at, in memory or in parts: its rows by columns, and rows whole where they are asked for.

In parts, each column is held by itself (`data.tables.streams.filed`), so that what is found there is found in all rows.
What has to see rows whole sees a sample of them, or such rows as belong together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from data.cells import ReadOptions
from data.checks import Checked, check_table, leakage, trainable
from data.errors import SplitError, UnusableWeight
from data.own_files import own_folder
from data.sources import Source
from data.splits import Split, SplitRule, split_table, splitting, weighting
from data.tables import Table, fingerprint, load_table, row_digests
from data.tables.streams import MOST_TEXTS, Digests, Form, bytes_in_memory, filed, form_of, free_memory
from training.rows import suspicions
from training.rows.parts.sampling import rows_in, sampled_alike

COPIES = 3
"""How many times a command that learns nothing holds a table at its peak."""

FREE_SHARE = 0.5
"""Of the memory that is free, for the sample of a table that it does not hold."""

Columns = Mapping[str, Iterable[str]]
"""By their role."""


def room_for(source: Source, memory: float | None) -> float | None:
    """Return the bytes that the sample of a table may take which memory does not hold; None for one that it does."""
    most = free_memory() if memory is None else memory
    if COPIES * bytes_in_memory(source) <= most:
        return None
    return FREE_SHARE * most if memory is None else memory


def fingerprint_of(form: Form) -> str:
    """Return the fingerprint of all rows, as `data.tables.fingerprint` has it of a table that memory holds."""
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        digests = Digests(Path(folder), "rows")
        for table in form.tables():
            digests.add(row_digests(table, sorted(table.names)))
        return digests.fingerprint(form.head.names)


@dataclass(frozen=True)
class Some:
    """The rows that have a target, to be seen whole: all, or a sample that `in_words` tells of."""

    checked: Checked
    in_words: str = ""

    def of_them(self, sentence: str) -> str:
        """Return what was found in these rows, with where."""
        return suspicions.in_sample(sentence) if self.in_words else sentence


@dataclass(frozen=True)
class Seen:
    """All rows of a table, by columns; `form` where memory does not hold them."""

    table: Table
    form: Form | None = None

    @property
    def fingerprint(self) -> str:
        """Of all rows."""
        return fingerprint(self.table) if self.form is None else fingerprint_of(self.form)

    @property
    def cut_in_words(self) -> list[str]:
        """Say of which columns not all rows were looked at."""
        return [
            f"column {name!r} has more than {MOST_TEXTS:,} different texts: only its first {rows:,} rows were looked at"
            for name, rows in filed.cut(self.table).items()
        ]

    def checked(
        self,
        *,
        target: str,
        exclude: Sequence[str] = (),
        weight: str = "",
        reserved: Columns | None = None,
        mentioned: Columns | None = None,
    ) -> Checked:
        """Do what `data.checks.check_table` does; texts too many to be told apart name rows."""
        many = filed.cut(self.table)
        if self.form and many.keys() & {target, weight}:
            check_table(self.form.whole([target, *filter(None, [weight])]), target=target, weight=weight)
        checked = check_table(
            self.table,
            target=target,
            exclude=[*exclude, *many],
            weight=weight,
            reserved=reserved,
            mentioned=mentioned,
        )
        words = trainable.as_names(f"more than {MOST_TEXTS:,}", len(checked.table))
        left_out = [
            trainable.left_out(name, words) for name in many if name not in {target, weight, *exclude}
        ]
        return replace(checked, warnings=(*checked.warnings, *left_out))

    def some_of(self, checked: Checked, target: str) -> Some:
        """Return the rows to be seen whole: those that are equal in what is learned stay together."""
        if self.form is None:
            return Some(checked)
        most = rows_in(self.form)
        if len(checked.table) <= most:
            return Some(replace(checked, table=filed.held(checked.table)))
        by = [*checked.features, target]
        some = sampled_alike(self.form, target, checked.weight, most=most, by=by)
        return Some(replace(checked, table=some.table), some.in_words)

    def sides(self, checked: Checked, some: Some, rule: SplitRule) -> Split:
        """Return the sides of the rows that are seen whole; raises SplitError."""
        if some.in_words and rule.method == "time":
            splitting.moments_of(
                checked.table, rule.columns[0]
            )  # the first row that lacks it is none of the sample
        try:
            split = split_table(some.checked.table, rule)
            weighting.check_sides(split, some.checked.counted, checked.weight)
        except (SplitError, UnusableWeight) as error:
            raise SplitError(some.of_them(str(error))) from error
        return split.of_counted(some.checked.counted)

    def leaks(self, checked: Checked, some: Some, split: Split, target: str) -> list[str]:
        """Return what looks as if it knew the target, and where it was found if not in all rows.

        Parameters
        ----------
        checked, some
            All rows that have a target, and those that are seen whole.
        split : Split
            The sides of the latter.
        """
        names = [name for name in self.table.names if name not in (target, checked.weight)]
        table, features = (
            some.checked.table.without([checked.weight] if checked.weight else []),
            checked.features,
        )
        if self.form is None or not some.in_words:
            return leakage.leaks(table, features, target=target, split=split)
        found = [*map(some.of_them, leakage.leaks_in_rows(table, features, target=target, split=split))]
        most = rows_in(self.form)
        for name in names:
            rows = leakage.whole_groups(checked.table, name, most=most)
            if rows is not None and len(near := filed.held(checked.table.take(rows))):
                sides = split_table(near, split.rule)
                of_it = leakage.grouped(near, [name], target=target, split=sides)
                found += [f"{each} (in {len(near):,} rows, whole groups)" for each in of_it]
        if split.moments is not None:
            moments = splitting.moments_of(checked.table, split.rule.columns[0])
            rows = leakage.oldest(moments, most=most)
            near = filed.held(checked.table.take(rows))
            of_them = leakage.lagged(near, features, target=target, moments=moments[rows])
            found += [f"{each} (in the {len(near):,} oldest)" for each in of_them]
        return found


@contextmanager
def seen(source: Source, options: ReadOptions, memory: float | None) -> Iterator[Seen]:
    """Read a table to be looked at; raises DataError.

    Parameters
    ----------
    memory : float or None
        Bytes that it may take; None for what is free.
    """
    room = room_for(source, memory)
    if room is None:
        yield Seen(load_table(source, options))
        return
    form = form_of(source, {}, options, most_bytes=room)
    with filed.opened(form) as table:
        yield Seen(table, form)
