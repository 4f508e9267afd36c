"""Columns of numbers as people write them: which marks, units and currencies stand in the cells, and what they mean.

What is certain, and what decides where it is not, is explained in `data.cells.discovery.inference`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from data.cells.currencies import POINTED, is_currency
from data.cells.discovery.fitting import Fit, Inference, best, likely
from data.cells.hints import Hint
from data.cells.readings import GROUPS, MINUS, SPACES, Reading

FEWEST_MARKED = 10
"""Different cells with a mark between their digits that show, at least, how a column is written."""

DASHES = frozenset({"-", "--", "\u2013", "\u2014"})
"""What accountants write for nought: in a column of money such a cell may be 0 or missing."""

_WORDS = (
    "mm cm m km mi ft yd in nm m2 m² km2 km² sqft ha l L ml cl cc CC m3 m³ g mg kg lb lbs oz t s ms sec min mins "
    "h hr hrs yrs d Hz MHz GHz V W kW MW kWh MWh Wh Ah mAh hp HP bhp PS ° °C °F C F Pa hPa kPa bar psi rpm km/h "
    'kmh mph m/s mpg kmpl Nm GB MB TB kB px pt ppm ppb cal kcal kJ ‰ "'
)
UNITS = frozenset(_WORDS.split())
"""Units that may follow digits without a blank; behind a blank any word may be one, if all cells have the same."""

_BLANK, _SIGN = rf"[{SPACES}]*", rf"[+{MINUS}-]"
_LOOSE = re.compile(
    rf"(?P<open>\()?{_SIGN}?{_BLANK}(?P<before>[^\d\s().,+{MINUS}-]{{1,4}}\.?)?{_BLANK}{_SIGN}?{_BLANK}"
    rf"(?P<body>\d[\d.,'\u2019{SPACES}]*\d|\d|[.,]\d+)(?P<exponent>[eE][+-]?\d+)?(?P<factor>[kKMB](?![^\W\d_]))?"
    rf"(?P<gap>{_BLANK})(?P<after>[^\d\s(),+-][^()]*?)?{_BLANK}(?P<close>\))?",
    re.ASCII,
)
_UNIT = re.compile(r"[^\W\d_°%‰\"][^\W_\d]{0,11}|[^\W\d_°‰µ\"'²³][^\d]{0,19}[23]?|[°‰µ%\"'].{0,6}")


def infer_number(cells: Mapping[str, int], gaps: tuple[str, ...], hint: Hint) -> Inference:
    """Find how the numbers of a column are written; dashes in one of money, which may be noughts, are misfits."""
    matches = {text: match for text in cells if (match := _LOOSE.fullmatch(text))}
    if not matches or any(_is_code(match["body"]) for match in matches.values()):
        return Inference()
    shape = _shape(cells, matches)
    is_money = is_currency(shape.mark) or shape.brackets
    noughts = tuple(gap for gap in gaps if is_money and gap in DASHES)
    marks = {mark for match in matches.values() for mark in GROUPS.findall(match["body"])}
    fits = [best(cells, _styles(shape, each, marks)) for each in (hint.decimal or ".,")]
    decided = _decided(cells, fits, hint)
    if not decided.readings:
        return decided
    gaps = tuple(gap for gap in gaps if gap not in noughts)
    return replace(decided, misfits=(*decided.misfits, *noughts), gaps=gaps)


def _is_code(body: str) -> bool:
    """Return whether digits name something: leading zeros, or more of them than a float64 holds."""
    whole = re.split(r"[.,]", body)[0]
    digits = GROUPS.sub("", body)
    return (len(whole) > 1 and whole[0] == "0") or (body.isdigit() and int(digits) >= 2**53)


def _shape(cells: Mapping[str, int], matches: Mapping[str, re.Match[str]]) -> Reading:
    """Return the mark, factors and brackets that most cells have."""
    marks: Counter[str] = Counter()
    for text, match in matches.items():
        marks[_mark(match)] += cells[text]
    named = [mark for mark, _ in marks.most_common() if mark]
    enough = named and 2 * marks[named[0]] >= sum(marks.values()) and _is_mark(named[0], matches.values())
    factored = [match for match in matches.values() if match["factor"]]
    plain = [match["body"] for match in matches.values() if not match["factor"]]
    small = all(len(re.split(r"[.,]", body)[0]) <= 3 and not re.search(r"[.,]\d{3}", body) for body in plain)
    letters = {match["factor"] for match in factored}
    mark = named[0] if enough else ""
    factors = bool(factored) and small and (letters != {"B"} or is_currency(mark))
    brackets = [bool(match["open"] and match["close"]) for match in matches.values()]
    return Reading("number", mark=mark, factors=factors, brackets=any(brackets) and not all(brackets))


def _mark(match: re.Match[str]) -> str:
    before, after = (match["before"] or "").strip(), (match["after"] or "").strip()
    return before or after if not (before and after) else f"{before} {after}"


def _is_mark(mark: str, matches: Iterable[re.Match[str]]) -> bool:
    """Return whether a mark is a currency, a percent sign or a unit; no unit stands before a number."""
    if mark == "%" or is_currency(mark):
        return True
    with_it = [match for match in matches if _mark(match) == mark]
    if any(match["before"] for match in with_it) or not _UNIT.fullmatch(mark):
        return False
    return mark.rstrip(".") in UNITS or all(match["gap"] for match in with_it)


def _styles(shape: Reading, decimal: str, marks: set[str]) -> Iterator[Reading]:
    """Yield the readings of a shape with a decimal mark, the ones with fewest marks first."""
    yield replace(shape, decimal=decimal)
    written = {"'": "'\u2019", " ": SPACES, ",": ",", ".": "."}
    for thousands, characters in written.items():
        if thousands != decimal and marks & set(characters):
            yield replace(shape, decimal=decimal, thousands=thousands)


def _decided(cells: Mapping[str, int], fits: list[Fit], hint: Hint) -> Inference:
    """Choose between a decimal point and a decimal comma, or neither."""
    good = likely(cells, fits)
    if not good:
        return _lenient(fits, hint)
    first, total = good[0], sum(cells.values())
    if len(good) == 1 or (first.fitting == total > good[1].fitting):
        return Inference(
            (first.reading,), misfits=first.misfits, decimal=_shown_decimal(cells, first.reading)
        )
    second = good[1]
    if all(first.reading.plain(text) == second.reading.plain(text) for text in cells):
        return Inference((first.reading,), misfits=first.misfits)
    parting = [fit for fit in good if fit.reading.thousands in (",", ".")]
    if parting and (hint.prefers_thousands or _parts_thousands(cells, parting[0].reading)):
        return Inference(
            (parting[0].reading,), misfits=parting[0].misfits, decimal=parting[0].reading.decimal
        )
    return Inference((first.reading, second.reading), misfits=first.misfits, is_mixed=_are_mixed(cells))


def _are_mixed(cells: Iterable[str]) -> bool:
    """Return whether some cells have marks that three digits follow and more have four digits in a row."""
    bodies = [match["body"] for text in cells if (match := _LOOSE.fullmatch(text))]
    marked = sum(1 for body in bodies if re.fullmatch(r"\d{1,3}([.,]\d{3})+", body))
    return marked < sum(1 for body in bodies if re.match(r"\d{4}", body))


def _lenient(fits: list[Fit], hint: Hint) -> Inference:
    """Return the reading of the cells that fit one, where the user says that they are numbers."""
    fit = max(fits, key=lambda fit: fit.fitting)
    return (
        Inference((fit.reading,), misfits=fit.misfits)
        if fit.fitting and hint.form == "number"
        else Inference()
    )


def _shown_decimal(cells: Mapping[str, int], reading: Reading) -> str:
    """Return the reading's decimal mark if any cell needs it, or a comma or point between thousands."""
    used = any(reading.decimal in text for text in cells if reading.plain(text) is not None)
    return reading.decimal if used or reading.thousands in (",", ".") else ""


def _parts_thousands(cells: Iterable[str], reading: Reading) -> bool:
    """Return whether marks that three digits follow can only part thousands; see `data.cells.discovery.inference`."""
    bodies = [match["body"] for text in cells if (match := _LOOSE.fullmatch(text))]
    marked = [body for body in bodies if re.fullmatch(r"\d{1,3}([.,]\d{3})+", body)]
    bare = [body for body in bodies if re.fullmatch(r"\d{1,3}", body)]
    if len(marked) < FEWEST_MARKED or len(marked) + len(bare) < len(bodies):
        return False
    where_points_are = reading.thousands == "," and reading.mark in POINTED
    return where_points_are or (bool(bare) and any(body.endswith("0") for body in marked))
