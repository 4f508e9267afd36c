"""Evidence from ranks: an exact martingale on a small urn, rates of false alarms on simulated streams, delays."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binom

from training.monitoring.evidence import ranks
from training.monitoring.evidence.ranks import BEYOND, MEMORY, PRIOR, Bins, RankEvidence, bins_of

RISK = 0.01


def urn_chance(gaps: list[int], sequence: tuple[int, ...]) -> Fraction:
    """The chance of a sequence of bins, from counting orders of distinct values, not from the code."""
    chance, counts = Fraction(1), [0] * len(gaps)
    for index, bin_ in enumerate(sequence):
        chance *= Fraction(gaps[bin_] + counts[bin_], sum(gaps) + index)
        counts[bin_] += 1
    return chance


@pytest.mark.parametrize("bet", [None, np.array([0.2, 0.3, 0.5])])
def test_no_bettor_wins_on_average(bet: np.ndarray | None) -> None:
    """Over all sequences of two days of three rows the expected wealth is the capital given: 1/2 + 1/6, exactly."""
    gaps, mean = [2, 1, 2], 0.0
    for sequence in itertools.product(range(3), repeat=6):
        evidence = RankEvidence([np.array(gaps)], [bet])
        for day in (sequence[:3], sequence[3:]):
            evidence.see_day(np.array(day)[:, None])
        mean += float(urn_chance(gaps, sequence)) * float(np.exp(evidence.log_wealth[0]))
    assert mean == pytest.approx(1 / 2 + 1 / 6, rel=1e-12)


def one_by_one(gaps: list[int], days: list[list[int]], tolerance: float) -> float:
    """The wealth of the bettor who learns, by a loop over rows with fractions for the odds."""
    shares = [share / sum(gaps) for share in gaps]
    counts, recent, wealth = [0] * len(gaps), [0.0] * len(gaps), 0.0
    for number, day in enumerate(days, start=1):
        wealth += 1 / (number * (number + 1))
        for bin_ in day:
            odds = Fraction(gaps[bin_] + counts[bin_], sum(gaps) + sum(counts))
            bet = (PRIOR * shares[bin_] + recent[bin_]) / (PRIOR + sum(recent))
            wealth *= bet / float(odds) / (1 + tolerance)
            recent = [each * (1 - 1 / MEMORY) for each in recent]
            counts[bin_] += 1
            recent[bin_] += 1.0
    return wealth


@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_a_day_that_is_seen_at_once_is_as_its_rows_one_after_the_other(
    tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bets of a row must not know the row itself, nor those behind it; days may be cut to keep memory bounded."""
    monkeypatch.setattr(ranks, "MOST_ROWS_AT_ONCE", 200)
    random, gaps = np.random.default_rng(3), [30, 5, 12, 1]
    days = [random.choice(4, size=size, p=[0.5, 0.2, 0.2, 0.1]) for size in (1, 700, 40, 0, 3)]
    evidence = RankEvidence([np.array(gaps), np.array([9, 1])], tolerance=tolerance)
    for day in days:
        evidence.see_day(np.column_stack([day, day > 2]))
    wanted = one_by_one(gaps, [day.tolist() for day in days], tolerance)
    assert evidence.log_wealth[0] == pytest.approx(np.log(wanted), rel=1e-9)


def test_the_urns_odds_are_those_of_exchangeable_values() -> None:
    """Counted over all orders of five distinct values, three of them the reference: no formula of ours is used."""
    seen: dict[tuple[int, ...], int] = {}
    for order in itertools.permutations(range(5)):
        reference = sorted(order[:3])
        sequence = tuple(int(np.searchsorted(reference, value)) for value in order[3:])
        seen[sequence] = seen.get(sequence, 0) + 1
    for sequence, count in seen.items():
        assert Fraction(count, 120) == urn_chance([1, 1, 1, 1], sequence)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=500),
        np.repeat([1.0, 2.0, 3.0], [400, 90, 10]),
        np.array([1.0] * 450 + [np.nan] * 50),
        np.array([5.0] * 20),
        np.random.default_rng(1).integers(0, 30, size=300).astype(float),
        np.full(40, np.nan),
    ],
    ids=["numbers", "few values", "gaps", "constant", "ties", "nothing but gaps"],
)
def test_the_references_own_values_fall_into_its_bins_by_their_shares(values: np.ndarray) -> None:
    """Each bin's number of gaps is the number of reference values in it, and one gap lies beyond them all."""
    ties = np.random.default_rng(2).random(len(values))
    bins = bins_of("x", values, ties)
    assert bins.gaps.sum() == len(values) + 1
    counted = np.bincount(bins.of(values, ties), minlength=len(bins.gaps))
    assert counted[:-1].tolist() == bins.gaps[:-1].tolist()
    assert (counted[-1], bins.gaps[-1], bins.labels[-1]) == (0, 1, BEYOND)
    assert Bins.from_dict(json.loads(json.dumps(bins.as_dict()))).as_dict() == bins.as_dict()


def test_a_missing_value_that_training_never_saw_lies_beyond() -> None:
    """It is as strange as a number above the largest, and no NaN reaches a comparison."""
    bins = bins_of("x", np.arange(50.0), np.full(50, 0.5))
    assert bins.of(np.array([np.nan, 60.0, 3.0]), np.full(3, 0.1)).tolist() == [10, 10, 0]


def alarmed(reference: np.ndarray, stream: np.ndarray, random: np.random.Generator, a_day: int) -> int | None:
    """The row at whose day's end the evidence reached 1 / RISK, or None."""
    bins = bins_of("x", reference, random.random(len(reference)))
    evidence = RankEvidence([bins.gaps])
    for start in range(0, len(stream), a_day):
        part = stream[start : start + a_day]
        evidence.see_day(bins.of(part, random.random(len(part)))[:, None])
        if evidence.log_mean >= -np.log(RISK):
            return start + a_day
    return None


STREAMS = {
    "normal": lambda random, n: random.normal(size=n),
    "ties": lambda random, n: random.poisson(3.0, size=n).astype(float),
    "gaps": lambda random, n: np.where(random.random(n) < 0.2, np.nan, random.normal(size=n)),
    "heavy tails": lambda random, n: random.standard_cauchy(size=n),
}


def false_alarms(kind: str, known: int, streams: int, rows: int) -> int:
    """How many streams without a drift raise an alarm."""
    random = np.random.default_rng(7)
    make = STREAMS[kind]
    return sum(
        alarmed(make(random, known), make(random, rows), random, 100) is not None for _ in range(streams)
    )


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_does_not_drift_rarely_alarms(kind: str) -> None:
    """At most 1 % by theory; of 60 streams more than 4 would come up once in 3,000 such tests."""
    assert false_alarms(kind, known=80, streams=60, rows=1_000) <= 4


@pytest.mark.soak
@pytest.mark.parametrize("known", [30, 1_000])
@pytest.mark.parametrize("kind", STREAMS)
def test_the_rate_of_false_alarms_is_the_promised_one(kind: str, known: int) -> None:
    """500 streams of 3,000 rows: as few as a rate of 1 % leaves with 99 %, a fixed reference alarms on half of them."""
    assert false_alarms(kind, known, streams=500, rows=3_000) <= binom.ppf(0.99, 500, RISK)


def test_a_shift_is_found_within_days() -> None:
    """A quarter of a standard deviation from row 2,000 on: nine of ten alarm, half of them within 1,500 rows."""
    random = np.random.default_rng(3)
    delays = []
    for _ in range(20):
        stream = random.normal(size=6_000) + np.where(np.arange(6_000) < 2_000, 0.0, 0.25)
        row = alarmed(random.normal(size=5_000), stream, random, 500)
        assert row is None or row > 2_000
        delays.append(np.inf if row is None else row - 2_000)
    assert np.mean(np.isfinite(delays)) >= 0.9
    assert np.median(delays) <= 1_500


def test_a_state_that_was_written_goes_on_as_if_never_stopped() -> None:
    """Kill -9 and run again: the same numbers, to the last bit."""
    random = np.random.default_rng(5)
    bins = bins_of("x", random.normal(size=100), random.random(100))
    days = [bins.of(random.normal(size=50), random.random(50))[:, None] for _ in range(4)]
    whole, first, second = (RankEvidence([bins.gaps]) for _ in range(3))
    for day in days:
        whole.see_day(day)
    first.see_day(days[0])
    first.see_day(days[1])
    second.restore(json.loads(json.dumps(first.as_dict())))
    second.see_day(days[2])
    second.see_day(days[3])
    assert second.as_dict() == whole.as_dict()


@pytest.mark.parametrize("alike", [1, 3])
def test_values_without_equals_are_sorted_as_those_with_some(alike: int) -> None:
    """Ties are looked at where there are any; a missing value is the last, and -0.0 is 0.0."""
    random = np.random.default_rng(alike)
    values = np.repeat(random.normal(size=200), alike)
    values[: alike - 1] = -0.0
    values[alike - 1] = np.nan if alike == 1 else 0.0
    ties = random.random(len(values))
    keys = np.where(np.isnan(values), np.inf, values)
    np.testing.assert_array_equal(ranks._ordered(keys, ties), np.lexsort((ties, keys)))
