"""One rule for a value, whatever brought it: requests, golden rows, later tables and the checks agree."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pandas as pd
import pytest

from data.cell_values import converter, instant
from data.checks.faults import _is_date
from data.schema import Column
from data.tables.kept_kinds import _date
from data.tables.moments import seconds
from serving.scorer.document import pack

WHEN = Column("when", "datetime")
DATES = (
    "2024-02-29",
    " 2024-01-31 ",
    "2024-01-31T10:00:00.1234567+02:00",
    "0001-01-01",
    "9999-12-31 23:59:59Z",
)
NONE = (
    "2023-02-29",
    "20240131",
    "2024-W05-3",
    "0001-01-01T00:00+10:00",
    "9999-12-31T23:00-10:00",
    "",
    "soon",
)


@pytest.mark.parametrize("text", DATES)
def test_a_date_is_one_everywhere(text: str) -> None:
    """And the same moment as by the way that whole columns take."""
    assert instant(text) == converter(WHEN)(text) == pack(text, WHEN) == seconds(pd.Series([text.strip()]))[0]
    assert _is_date(text)
    assert _date(text) == text.strip()


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_date_is_none_anywhere(text: str) -> None:
    """Golden rows took what Python's parser takes, `20240131` too, and later tables what no request may hold."""
    assert instant(text) is None
    assert not _is_date(text)
    assert _date(text) is None
    with pytest.raises(TypeError, match="which is no datetime"):
        pack(text, WHEN)


def test_a_moment_is_exact_to_the_microsecond() -> None:
    """Against the standard library; finer digits are cut, not rounded."""
    assert (
        instant("2024-01-31T10:00:00.123456789Z") == datetime(2024, 1, 31, 10, 0, 0, 123456, UTC).timestamp()
    )


@pytest.mark.parametrize("value", [True, "3", 2**53 + 1, math.inf])
def test_a_number_is_used_as_it_was_sent_or_not_at_all(value: object) -> None:
    """A golden row was cast by `float`, which takes whole numbers that it cannot hold."""
    assert converter(Column("x", "number"))(value) is None
    with pytest.raises(TypeError, match="which is no number"):
        pack(value, Column("x", "number"))  # type: ignore[arg-type]
