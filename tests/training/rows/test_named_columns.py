"""A column is found as a person writes its name: with quotes, without the blank that Excel left at its end."""

from __future__ import annotations

import pytest

from data.cells import Reading, ReadOptions
from data.column_names import matching
from training.commands.checking import CheckConfig
from training.commands.parser import parse
from training.commands.trainings import TrainConfig
from training.commands.values.words import columns, joined
from training.rows.named_columns import as_named

COMPOSED, TAKEN_APART = "café", "cafe\u0301"
NAMES = [
    "Sale Price ",
    " Lot",
    "it's",
    "'quoted'",
    "a",
    "a ",
    "b ",
    " b",
    "x,y",
    "x\ny",
    'say "hi"',
    TAKEN_APART,
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Sale Price", "Sale Price "),
        ("'Sale Price'", "Sale Price "),
        ('"Sale Price "', "Sale Price "),
        ("`Lot`", " Lot"),
        ("it's", "it's"),
        ("'quoted'", "'quoted'"),
        ("quoted", "quoted"),  # its quotes are part of the name
        ("a", "a"),
        ("a ", "a "),
        ("b", "b"),  # two have it: neither is meant
        ("sale price", "sale price"),
        (COMPOSED, TAKEN_APART),
        (TAKEN_APART, TAKEN_APART),
        (f" {COMPOSED}", TAKEN_APART),
        ("'", "'"),
    ],
)
def test_the_one_name_that_is_meant_is_found(word: str, meant: str) -> None:
    """Only where it is unique; else the refusal names the nearest."""
    assert matching(word, NAMES) == meant


def test_each_parameter_that_names_a_column_is_read_so() -> None:
    """Target, exclude, key, units, monotonic and the split's column."""
    words = ["--target", "'Sale Price'", "--exclude", "Lot,'it's'", "--units", "Sale Price = EUR,Lot=m²"]
    words += ["--monotonic", "Lot=+", "--split", "group", "--group_column", '"Lot"', "--name", "h"]
    asked = parse(["train", "--data", "h.csv", *words])
    assert isinstance(asked, TrainConfig)
    found = as_named(asked, NAMES)
    assert (found.target, found.exclude, found.split_by) == ("Sale Price ", (" Lot", "it's"), " Lot")
    assert found.units == (("Sale Price ", "EUR"), (" Lot", "m²"))
    assert found.monotonic == ((" Lot", 1),)
    keyed = parse(["train", "--data", "h.csv", "--target", "a", "--key", "'Lot','Sale Price'", "--name", "h"])
    assert isinstance(keyed, TrainConfig)
    assert as_named(keyed, NAMES).key == (" Lot", "Sale Price ")
    assert as_named(CheckConfig("h.csv", time_column="Lot"), NAMES).time_column == " Lot"


@pytest.mark.parametrize("command", [["train", "--target", "a", "--name", "h"], ["check"]])
def test_how_a_column_is_read_is_said_of_the_column_that_is_meant(command: list[str]) -> None:
    """`read=` and `missing=` wanted the blank at the end of the name, which nobody sees."""
    words = ["--read", f"Sale Price:currency,{COMPOSED}:text", "--missing", "Lot:none,?,Lot: x"]
    asked = parse([*command, "--data", "h.csv", *words, "--weight", "'Lot'"])
    assert isinstance(asked, TrainConfig | CheckConfig)
    found = as_named(asked, NAMES)
    assert found.read == (("Sale Price ", "currency"), (TAKEN_APART, "text"))
    assert found.missing == (" Lot:none", "?", " Lot: x")
    assert found.weight == " Lot"


def test_what_is_known_of_a_column_stands_unless_something_else_is_said() -> None:
    """Of the column, however its name is written, or of the decimal mark of all; `decimal=.` was not heard at all."""
    comma, word = Reading("number", decimal=","), Reading("text", missing=("?",))
    known = {"Sale Price ": comma, "city": word}
    assert ReadOptions().with_known(known).known == known
    assert ReadOptions(decimal=",").with_known(known).known == known
    assert ReadOptions(decimal=".").with_known(known).known == {"city": word}
    assert ReadOptions(read=(("Sale Price", "text"),)).with_known(known).known == {"city": word}


@pytest.mark.parametrize("names", [tuple(NAMES), ("a",), (), ("x\ny", "z"), (" ", "b")[1:]])
def test_names_are_written_so_that_they_are_read_back(names: tuple[str, ...]) -> None:
    """`reproduce` reads the recorded command."""
    assert columns(joined(names)) == names
