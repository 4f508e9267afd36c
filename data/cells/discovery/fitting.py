"""What a column of text may be, and how well a reading fits its cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from data.cells.readings import Reading

FITTING_SHARE = 0.95
"""Share of a column's cells that must fit a reading for the others to be dirt, and to be mended."""

_GAPS = (
    "? ?? - -- \u2013 \u2014 . .. ... * n.a. N.A. N/D missing Missing unknown Unknown #DIV/0! #VALUE! "
    "#REF! #NUM! #NAME?"
)
GAPS = frozenset(_GAPS.split())
"""Cells that can only be missing where all others are numbers, dates or durations."""


@dataclass(frozen=True)
class Inference:
    """What a column may be.

    Attributes
    ----------
    readings : tuple of Reading
        None where it is text, one that is certain, or two that are possible.
    cells : mapping of str to int
        Its texts but the gaps, and how often each stands there.
    gaps : tuple of str
        Texts that can only be missing values.
    misfits : tuple of str
        Texts that the reading does not fit, where nearly all others do.
    decimal : str
        The decimal mark that it shows without doubt.
    is_mixed : bool
        Whether most large numbers have no mark at all, so that those of other columns say nothing about it.
    """

    readings: tuple[Reading, ...] = ()
    cells: Mapping[str, int] | None = None
    gaps: tuple[str, ...] = ()
    misfits: tuple[str, ...] = ()
    decimal: str = ""
    is_mixed: bool = False

    def by(self, decimal: str) -> Inference:
        """Return the same with the decimal mark of the file's other columns, where that decides."""
        fitting = [
            reading for reading in self.readings if reading.decimal == decimal and reading.form == "number"
        ]
        if len(self.readings) < 2 or len(fitting) != 1 or self.is_mixed:
            return self
        cells = self.cells or {}
        others = [text for text in self.misfits if text not in cells]
        return replace(self, readings=tuple(fitting), misfits=(*best(cells, fitting).misfits, *others))

    def example(self) -> tuple[str, str, str]:
        """Return a text that two readings read differently, and what each makes of it."""
        first, second = self.readings
        for text in self.cells or ():
            one, other = first.plain(text), second.plain(text)
            if one != other and None not in (one, other):
                return text, str(one), str(other)
        raise AssertionError("two readings of a column differ in a cell")


class Fit(NamedTuple):
    """How many cells a reading fits, and the texts that it does not."""

    fitting: int
    reading: Reading
    misfits: tuple[str, ...]


def best(cells: Mapping[str, int], readings: Iterable[Reading]) -> Fit:
    """Return the first of the readings that fit most cells."""
    fits = []
    for reading in readings:
        fits.append(_fit(cells, reading))
        if not fits[-1].misfits:
            break
    return max(fits, key=lambda fit: fit.fitting)


def likely(cells: Mapping[str, int], fits: Iterable[Fit]) -> list[Fit]:
    """Return those that fit nearly all cells, the best first."""
    needed = FITTING_SHARE * sum(cells.values())
    return sorted((fit for fit in fits if fit.fitting >= needed), key=lambda fit: -fit.fitting)


def _fit(cells: Mapping[str, int], reading: Reading) -> Fit:
    misfits = tuple(text for text in cells if reading.plain(text) is None)
    return Fit(sum(cells.values()) - sum(cells[text] for text in misfits), reading, misfits)
