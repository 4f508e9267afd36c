"""Numbers as people read them: short at any size, and the same in each line that says them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.figures import alike, figure, number, percent

FINITE = st.floats(-1e300, 1e300)


SAY_OTHERWISE = {
    "data/figures.py": "it is the one way",
    "data/contracts/proposing.py": "a file that the next training reads",
    "data/checks/suspects.py": "the value as it is passed back in a parameter",
}


def test_data_and_pages_have_no_second_way_to_say_a_number() -> None:
    """`4.213e+04 EUR` stood beside `42,131 EUR` in one run."""
    root = Path(__file__).parents[2]
    found = {
        path
        for folder in ("data", "training/pages", "training/measuring")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FormattedValue) and node.format_spec
        if re.search("[eEgG]'$", ast.unparse(node.format_spec))
    }
    assert {str(path.relative_to(root)) for path in found} == set(SAY_OTHERWISE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (21947.3, "21,947"),
        (117100.0, "117,100"),
        (62.6812, "62.68"),
        (9999.6, "10,000"),
        (1e30, "1e30"),
        (-2.1954e-25, "-2.195e-25"),
        (0.00012345, "0.0001234"),
        (0.0, "0"),
        (-0.0, "0"),
    ],
)
def test_a_number_is_written_one_way(value: float, shown: str) -> None:
    """`2.195e+04` stood beside `21,947`, and a bias of 1e-25 was 0.00."""
    assert number(value) == shown


@given(FINITE)
@example(999999999999.6)
@example(0.000099996)
def test_a_number_is_short_and_not_far_from_what_it_says(value: float) -> None:
    """Four digits lose at most half a thousandth; thirty digits help nobody, and 0.00 says that there is nothing."""
    shown = number(value)
    assert len(shown) <= len("-999,999,999,999")
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=5.01e-4, abs=0.0)


@given(FINITE, FINITE, st.floats(0.0, 1e300))
def test_figures_that_belong_together_are_short(value: float, other: float, doubt: float) -> None:
    """Whatever their sizes."""
    assert all(len(shown) <= len("-999,999,999,999.0000000") for shown in alike(value, other, doubt=doubt))


def test_a_figure_is_the_same_alone_and_beside_its_bounds() -> None:
    """63 stood beside 62.68."""
    assert alike(62.6812, 49.31, 79.67, doubt=17.0) == ["62.68", "49.31", "79.67"]
    assert figure(62.6812, "min") == "62.68 min"
    assert figure(62.6812, "min", 6.2) == "62.68 ± 6.20 min"
    assert alike(0.8482, 0.6788, 1.06, doubt=0.2118) == ["0.8482", "0.6788", "1.0600"]
    assert alike(21947.3, 20100.0, 23900.0, doubt=1900.0)[0] == number(21947.3)
    assert alike(6.2681e-25, 4.9e-25, 8e-25, doubt=2e-25)[0] == number(6.2681e-25)


def test_a_small_doubt_brings_more_digits() -> None:
    """R² of 0.99995 is not 1.0000."""
    assert alike(0.99995, 0.99993, 0.99997, doubt=0.00002) == ["0.999950", "0.999930", "0.999970"]


def test_a_doubt_of_next_to_nothing_does_not_bring_ten_digits() -> None:
    """One row of 1e12 made the errors of all others count for nothing."""
    assert alike(4672897196.7, 4672897190.7, 4672897202.6, doubt=5.9)[0] == "4,672,897,197"


def test_percent_is_written_out() -> None:
    """`+1.2e+03 %` stood beside `+12 %`."""
    assert [percent(share) for share in (12.3456, -0.0974, 0.0)] == ["+1,235 %", "-9.7 %", "0 %"]
    assert percent(0.028, sign=False) == "2.8 %"
