"""What a column's texts are is certain for all of its cells, or it is in doubt: never another number."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.cells import Reading, plain_texts
from data.cells.discovery.inference import infer
from data.cells.hints import NO_HINT, hint_of
from data.cells.readings import SPACES


def found(*texts: str, wish: str = "", decimal: str = "") -> list[str]:
    """The readings of a column that holds these texts, in words."""
    looked = infer(Counter(texts), hint_of(wish) if wish else NO_HINT).by(decimal)
    return [str(reading) for reading in looked.readings]


MANY = [f"{row},{row * 37 % 900 + 10:03d}" for row in range(1, 30)]


@pytest.mark.parametrize(
    ("texts", "reading", "first"),
    [
        (("12,5", "3"), "decimal ,", "12.5"),
        (("0,123", "1,500"), "decimal ,", "0.123"),
        (("1.234,5", "7"), "thousands ., decimal ,", "1234.5"),
        (("1,234,567", "1,234"), "thousands ,", "1234567"),
        (("12,34,567", "5"), "thousands ,", "1234567"),
        (("1 234,5", "12,0"), "thousands blank, decimal ,", "1234.5"),
        (("1\u202f234", "12"), "thousands blank", "1234"),
        (("1'234.5", "3"), "thousands '", "1234.5"),
        (("-1’234.5", "3"), "thousands '", "-1234.5"),
        (("$10,300", "$2,038,005"), "currency $, thousands ,", "10300"),
        (("432.271,50 €", "5 €"), "currency €, thousands ., decimal ,", "432271.50"),
        (("EUR 12,50", "EUR 3"), "currency EUR, decimal ,", "12.50"),
        (("-$5", "$-6.5", "$7"), "currency $", "-5"),
        (("($1,234.50)", "$7"), "currency $, thousands ,, (5) is -5", "-1234.50"),
        (("12%", "13.5 %"), "percent (12% is 12)", "12"),
        (("12 km", "13 km"), "unit km", "12"),
        (("12km", "13km"), "unit km", "12"),
        (("51,000 mi.", "1,051,000 mi."), "unit mi., thousands ,", "51000"),
        (("19.67 kmpl", "20.5 kmpl"), "unit kmpl", "19.67"),
        (("120 m2", "80.5 m2"), "unit m2", "120"),
        (("12k", "1.25M", "850"), "12k is 12000", "12000"),
        (("€110.5M", "€565K", "€0"), "currency €, 12k is 12000", "110500000.0"),
        (("\u22125", "3"), "number", "-5"),
        (("20241013T000000", "20231013T010000"), "a date such as 2024/12/31", "2024-10-13T00:00:00"),
        (("2024-02", "2023-05"), "a date such as 2024-12", "2024-02-01"),
        (("01.02.2024", "02.03.2024"), "a date such as 31.12.2024", "2024-02-01"),
        (("1/2/2024", "10/31/2024 3:45 PM"), "a date such as 12/31/2024", "2024-01-02"),
        (("2024/01/31", "2024/2/1 08:15"), "a date such as 2024/12/31", "2024-01-31"),
        (("31 Jan 2024", "1-Feb-2024"), "a date such as 31.12.2024", "2024-01-31"),
        (("Jan 5, 2024", "December 31, 2023"), "a date such as 12/31/2024", "2024-01-05"),
        (("1h 20m", "2h", "45m"), "a duration in minutes", "80"),
        (("2 hours 5 min 3 s", "45 s"), "a duration in seconds", "7503"),
        (("Yes", "no"), "yes is true, no is false", "true"),
        (("ja", "nein", "ja"), "ja is true, nein is false", "true"),
        ((*MANY, "985", "1,430"), "thousands ,", "1047"),
    ],
)
def test_what_is_certain_is_read(texts: tuple[str, ...], reading: str, first: str) -> None:
    """Each kind of the world's ways to write a number, a date, a duration or a truth."""
    looked = infer(Counter(texts))
    assert [str(each) for each in looked.readings] == [reading]
    assert looked.readings[0].plain(texts[0]) == first
    assert not looked.misfits


@pytest.mark.parametrize(
    ("texts", "wish", "decimal", "reading"),
    [
        (("1,234", "12"), "", "", ["thousands ,", "decimal ,"]),
        (("1,234", "12"), "", ".", ["thousands ,"]),
        (("1,234", "12"), "", ",", ["decimal ,"]),
        (("1,234", "12"), "thousands", "", ["thousands ,"]),
        (("1,234", "12"), "thousands", ",", ["thousands ,"]),
        (("1,234", "12"), "decimal-comma", ".", ["decimal ,"]),
        (("432,271 €", "9 €"), "", "", ["currency €, thousands ,", "currency €, decimal ,"]),
        (("432,271 €", "9 €"), "currency", "", ["currency €, thousands ,"]),
        (("432,271 €", "9 €"), "currency+decimal-comma", "", ["currency €, decimal ,"]),
        (("1.234 €", "9 €"), "", "", ["currency €", "currency €, thousands ., decimal ,"]),
        (("3/4/2024", "5/6/2024"), "", "", ["a date such as 31.12.2024", "a date such as 12/31/2024"]),
        (("3/4/2024", "5/6/2024"), "date-mdy", "", ["a date such as 12/31/2024"]),
        (("1,200", "12000", "13000"), "", ".", ["thousands ,", "decimal ,"]),
        ((*(f"{cell[:-1]}7" for cell in MANY), "985"), "", "", ["thousands ,", "decimal ,"]),
        (tuple(f"{cell} €" for cell in MANY), "", "", ["currency €, thousands ,", "currency €, decimal ,"]),
        (tuple(f"${cell}" for cell in MANY), "", "", ["currency $, thousands ,"]),
    ],
)
def test_doubt_is_kept_until_someone_decides(
    texts: tuple[str, ...], wish: str, decimal: str, reading: list[str]
) -> None:
    """Both readings are named; the user's word goes before the file's mark."""
    assert found(*texts, wish=wish, decimal=decimal) == reading


@pytest.mark.parametrize(
    "texts",
    [
        ("007", "008"),
        ("007 km", "12 km"),
        ("4WD", "2WD"),
        ("(1)", "(2)"),
        ("12%", "0.3"),
        ("$5", "€5"),
        ("2009-10", "2010-11"),
        ("18.00.00", "19.00.00"),
        ("6-Speed A/T", "8-Speed A/T"),
        ("2.0L V4", "3.5L V6"),
        ("9007199254740993 €", "5 €"),
        ("31.02.2024", "31.03.2024"),
        ("12k", "12000"),
        ("yes", "yes"),
        ("yes", "no", "maybe"),
        ("1,23,45", "5"),
        ("1.2.3", "5"),
        ("< 5", "7"),
    ],
)
def test_what_is_no_number_stays_text(texts: tuple[str, ...]) -> None:
    """Codes, classes, seasons, mixtures."""
    assert found(*texts) == []


@pytest.mark.parametrize("gap", ["?", "-", ".", "#DIV/0!", "n.a."])
def test_a_word_among_numbers_is_a_gap(gap: str) -> None:
    """It can be nothing else; among categories it may be one."""
    looked = infer(Counter(["1.5", gap, "2"]))
    assert looked.gaps == (gap,)
    assert [str(each) for each in looked.readings] == ["number"]
    assert infer(Counter(["a", gap, "b"])).gaps == ()


def test_a_dash_among_amounts_may_be_nought() -> None:
    """Accountants write 0 so; it is not made missing without a word."""
    looked = infer(Counter(["$5", "-", "$6"]))
    assert looked.misfits == ("-",)


STYLES = [
    (decimal, thousands) for decimal in ".," for thousands in ("", ",", ".", " ", "'") if thousands != decimal
]


@st.composite
def dialect(draw: st.DrawFn) -> tuple[list[Decimal], list[str]]:
    """Numbers, and how someone writes them."""
    places = draw(st.integers(0, 4))
    numbers = draw(
        st.lists(st.decimals(-(10**7), 10**7, places=places, allow_nan=False), min_size=1, max_size=30)
    )
    decimal, thousands = draw(st.sampled_from(STYLES))
    before, after = draw(
        st.sampled_from([("", ""), ("$", ""), ("", " €"), ("", " km"), ("", "%"), ("CHF ", "")])
    )
    minus = draw(st.sampled_from(["-", "\u2212", "()"]))
    trimmed = draw(st.booleans())
    return numbers, [
        _written(number, decimal, thousands, before, after, minus, trimmed) for number in numbers
    ]


def _written(number: Decimal, *how: object) -> str:
    decimal, thousands, before, after, minus, trimmed = how
    digits = f"{abs(number):,f}"
    if trimmed and "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    digits = digits.replace(",", "\0").replace(".", str(decimal)).replace("\0", str(thousands))
    if number >= 0:
        return f"{before}{digits}{after}"
    return f"({before}{digits}{after})" if minus == "()" else f"{minus}{before}{digits}{after}"


@settings(max_examples=400)
@given(dialect())
def test_a_number_is_read_as_it_was_meant_or_not_at_all(written: tuple[list[Decimal], list[str]]) -> None:
    """Against Python's own decimals: one of the readings gives each number, and a single one none other."""
    numbers, texts = written
    looked = infer(Counter(texts))
    if len(looked.readings) == 1 and not looked.misfits:
        read = [Decimal(looked.readings[0].plain(text) or "NaN") for text in texts]
        assert read == numbers


@settings(max_examples=200)
@given(
    st.lists(st.text(alphabet="0123456789.,'()-$€%kM " + SPACES[2:], max_size=8), max_size=6),
    st.sampled_from(STYLES),
)
def test_an_array_is_read_as_each_of_its_cells(texts: list[str], style: tuple[str, str]) -> None:
    """One function for every door: the server's rows of JSON, its tables, batch scoring and training."""
    import pyarrow as pa

    reading = Reading("number", decimal=style[0], thousands=style[1], mark="€", brackets=True, missing=("-",))
    plain, refused = plain_texts(pa.array(texts, pa.string()), reading)
    assert plain.to_pylist() == [reading.plain(text) or None for text in texts]
    assert refused.tolist() == [reading.plain(text) is None for text in texts]


def test_a_reading_survives_its_json_form() -> None:
    """It lives in the schema of each version."""
    reading = Reading("number", decimal=",", thousands=".", mark="€", missing=("?", "-200"))
    assert Reading.from_dict(reading.as_dict()) == reading
    assert reading.as_dict() == {
        "form": "number",
        "decimal": ",",
        "thousands": ".",
        "mark": "€",
        "missing": ["?", "-200"],
    }


@pytest.mark.parametrize(
    "written",
    [
        {"form": "number", "decimal": ";"},
        {"form": "number", "thousands": "."} | {"decimal": "."},
        {"form": "guess"},
        {"form": "number", "mark": 5},
        {"form": "number", "mark": "x" * 41},
        {"form": "number", "missing": "?"},
        {"form": "date", "order": "dym"},
        {"form": "number", "factor": True},
    ],
)
def test_what_is_no_reading_is_refused(written: dict[str, object]) -> None:
    """A version's file, or a contract, that someone edited."""
    with pytest.raises((ValueError, TypeError)):
        Reading.from_dict(written)
