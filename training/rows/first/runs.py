"""Runs of parts of a table, read beside a worker: it needs neither scikit-learn nor what else a model does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from data.sources import Part
from data.tables import Table
from data.tables.streams import Form
from data.workers import at_work
from training.rows.first.reading import FirstAsked, FirstReading


@dataclass(frozen=True)
class PartedRows:
    """All rows of a table in parts, as everyone who reads some is told."""

    form: Form
    asked: FirstAsked
    parts: tuple[Part, ...]

    def of(self, place: int) -> Iterator[Table]:
        """Yield the rows of a part; raises DataError."""
        for table in replace(self.form, source=self.parts[place].source).tables():
            at_work()
            yield table


def read(rows: PartedRows, places: Sequence[int]) -> FirstReading:
    """Return what a run of parts comes to; raises DataError."""
    reading = FirstReading(rows.form, rows.asked)
    for place in places:
        reading.read(rows.of(place))
    return reading
