"""Which reading the texts of a column have: what is certain for all of its cells, or what it may be.

A column is looked at by its different texts and how often each stands there. Where every cell that is no
gap fits one reading and no other, the column has it. `1,234` may be 1234 or 1.234: what decides is

    the column     1,234,567 and 1,234.5 have thousands commas, 12,5 and 0,123 a decimal comma; with 1,430 and
                   985 side by side commas part thousands, for decimals are padded (985,000) or cut (1,43);
                   so they do in $1,234, for nobody who writes $ or £ has three digits behind a decimal comma
    the file       one file has one decimal mark: that of its columns that leave no doubt, where they agree
    the user       `read=`, `decimal=`

and where nothing does, both readings are named. It knows one column at a time:
`data.cells.discovery.column_readings` knows the file and the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from data.cells.dates import ORDERS
from data.cells.discovery.fitting import FITTING_SHARE, GAPS, Inference, best, likely
from data.cells.discovery.number_cells import infer_number
from data.cells.hints import NO_HINT, Hint
from data.cells.readings import Reading

SAMPLE_CELLS = 2_000
"""Cells of a column that show whether all of them are worth a look."""

BOOLEAN_WORDS: tuple[tuple[str, str], ...] = (
    *(("yes", "no"), ("y", "n"), ("ja", "nein"), ("j", "n"), ("oui", "non"), ("sí", "no"), ("si", "no")),
    *(("sì", "no"), ("sim", "não"), ("t", "f"), ("wahr", "falsch"), ("vrai", "faux"), ("true", "false")),
)
"""Pairs of words for true and false, in small letters."""


def infer(texts: Mapping[str, int], hint: Hint = NO_HINT) -> Inference:
    """Find what a column's texts, and how often each stands there, may be."""
    gaps = tuple(text for text in texts if text in GAPS)
    cells = {text: count for text, count in texts.items() if text not in GAPS}
    if not cells or hint.form == "text":
        return Inference(cells=cells)
    finders: dict[str, Callable[[], Inference]] = {
        "number": lambda: infer_number(cells, gaps, hint),
        "duration": lambda: _duration(cells),
        "date": lambda: _dated(cells, hint),
        "boolean": lambda: _boolean(cells, is_hinted=bool(hint.form)),
    }
    results: list[Inference] = []
    for form in [hint.form] if hint.form else finders:
        results += [result for result in [finders[form]()] if result.readings]
        if results and not results[-1].misfits:
            break
    whole = [result for result in results if not result.misfits]
    chosen = (whole or results or [Inference()])[0]
    kept = chosen.gaps if chosen.readings and chosen.readings[0].form == "number" else gaps
    return replace(chosen, cells=cells, gaps=kept if chosen.readings else ())


def is_worth_inferring(texts: Iterable[str]) -> bool:
    """Return whether enough of some cells have digits, or are a word for yes or no, to be anything but text."""
    cells = [text for text in texts if text not in GAPS]
    words = {word for pair in BOOLEAN_WORDS for word in pair}
    hopeful = sum(
        1 for text in cells if (any(map(str.isdigit, text)) and len(text) < 60) or text.casefold() in words
    )
    return hopeful >= (2 * FITTING_SHARE - 1) * len(cells)


def _dated(cells: Mapping[str, int], hint: Hint) -> Inference:
    orders = [hint.order] if hint.order else list(ORDERS)
    good = likely(cells, [best(cells, [Reading("date", order=order)]) for order in orders])
    good = [fit for fit in good if fit.fitting == good[0].fitting]
    if not good or (good[0].reading.order == "ym" and not hint.order and _are_seasons(cells)):
        return Inference()
    first, *others = good
    for fit in others:
        if any(fit.reading.plain(text) != first.reading.plain(text) for text in cells):
            return Inference((first.reading, fit.reading), misfits=first.misfits)
    return Inference((first.reading,), misfits=first.misfits)


def _are_seasons(cells: Iterable[str]) -> bool:
    """Return whether each text is a year and the one after it, as 2009-10 is."""
    return all(
        int(text[5:7]) == (int(text[:4]) + 1) % 100 for text in cells if re.fullmatch(r"\d{4}.\d{2}", text)
    )


def _duration(cells: Mapping[str, int]) -> Inference:
    """Two of days, hours, minutes and seconds stand in the column: one alone is a unit beside a number."""
    letters = {letter.lower() for text in cells for letter in re.findall(r"\d ?([dhmsDHMS])", text)}
    if len(letters) < 2:
        return Inference()
    good = likely(cells, [best(cells, [Reading("duration", unit=unit) for unit in ("minutes", "seconds")])])
    return Inference((good[0].reading,), misfits=good[0].misfits) if good else Inference()


def _boolean(cells: Iterable[str], *, is_hinted: bool) -> Inference:
    """Both words of a pair, and nothing else; one of them is enough where the user says so."""
    folded = {text.casefold() for text in cells}
    pairs = [pair for pair in BOOLEAN_WORDS if folded == set(pair) or (is_hinted and folded <= set(pair))]
    return Inference(tuple(Reading("boolean", true=yes, false=no) for yes, no in pairs[:1]))


def word_of(reading: Reading, other: Reading) -> str:
    """Return what to write after `read=column:` for one of two readings."""
    if reading.form == "date":
        return f"date-{reading.order}"
    if reading.thousands in (",", ".") and other.thousands not in (",", "."):
        return "thousands"
    return "decimal-comma" if reading.decimal == "," else "decimal-point"
