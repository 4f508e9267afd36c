"""The promise of each alarm on whole watches: its share of false ones and its delays, as docs/monitoring.md says."""

from __future__ import annotations

from itertools import takewhile

import pytest
from scipy.stats import binomtest

from benchmarks import monitoring
from benchmarks.monitoring import OURS, RISK, SHIFTS, WORLDS, Count, World
from tests.conftest import ROOT

STREAMS = 80
"""Of each world: `python -m benchmarks monitoring` has 500, whose upper bounds say that the promise is surely kept."""

DOCS = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("alarms", [0, 1, 5, 12, 499, 500])
def test_the_bounds_of_a_share_are_scipys(alarms: int) -> None:
    """What holds the promise below must be right itself: both tails of 1 % are an exact interval of 98 %."""
    count, exact = Count(alarms, 500), binomtest(alarms, 500).proportion_ci(0.98, method="exact")
    assert (count.low, count.high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def cells(line: str) -> list[str]:
    """The cells of a row of a table in Markdown."""
    return [each.strip() for each in line.strip().strip("|").split("|")]


def on_the_page(*first: str) -> list[str]:
    """The other cells of the page's row that begins so."""
    (found,) = [row for row in map(cells, DOCS.splitlines()) if tuple(row[: len(first)]) == first]
    return found[len(first) :]


def below(*first: str) -> list[list[str]]:
    """The page's rows under that one, as far as they have no name of their own."""
    rows = [cells(line) for line in DOCS.splitlines()]
    (start,) = [place for place, row in enumerate(rows) if tuple(row[: len(first)]) == first]
    return list(takewhile(lambda row: len(row) > 1 and not row[0], rows[start + 1 :]))


def number(text: str) -> float:
    """A number of the page; what was not found took for ever."""
    return float("inf") if text == "not found" else float(text.replace(",", ""))


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_share_of_false_alarms_is_not_above_the_promise(world: World) -> None:
    """Of 80 streams more than 3 would deny 1 %, with 99 %; the page's counts of 500 are within what chance leaves."""
    counts = monitoring.false_alarms(world, STREAMS)
    assert {name: counts[name] for name in OURS if counts[name].low > RISK} == {}
    written = dict(zip(counts, map(number, on_the_page(world.name)), strict=True))
    share = STREAMS / monitoring.STREAMS
    far = {
        name: (count.alarms, share * written[name])
        for name, count in counts.items()
        if abs(count.alarms - share * written[name])
        > 4.0 * (count.alarms + share**2 * written[name] + 1.0) ** 0.5
    }
    assert far == {}


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_all_streams_together_do_not_deny_the_promise() -> None:
    """Nor do they together; on the same rows the tests that people write alarm in one of ten."""
    every = [monitoring.false_alarms(world, STREAMS) for world in WORLDS]
    counts = {name: sum((each[name] for each in every[1:]), every[0][name]) for name in every[0]}
    assert {name: count for name, count in counts.items() if name in OURS and count.low > RISK} == {}
    assert {name: count for name, count in counts.items() if name not in OURS and count.low < 0.1} == {}


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_change_is_found_as_soon_as_the_page_says(shift: str) -> None:
    """Within a half: the median of forty streams is known no better."""
    ours, *others = monitoring.delay_lines(shift)
    before = on_the_page(*cells(ours)[:2])
    assert number(cells(ours)[2]) == pytest.approx(number(before[0]), rel=0.5)
    assert int(cells(ours)[3]) == 0, "no stream alarmed before the change"
    for line, written in zip(others, below(*cells(ours)[:2]), strict=True):
        _, name, rows, alarmed, _ = cells(line)
        assert name == written[1]
        assert number(rows) == pytest.approx(number(written[2]), rel=0.5)
        assert int(alarmed) == pytest.approx(int(written[3]), abs=5)
