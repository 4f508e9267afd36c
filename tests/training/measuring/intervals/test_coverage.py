"""Which coverage is chance: the stated range against what simulated trainings reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import betabinom, binom

from data.schema import Schema
from data.tables import Table, describe
from training.measuring.intervals.conformal import Residuals, calibrate, one_width
from training.measuring.intervals.coverage import Reached, chance, crowding

Floats = NDArray[np.float64]


def draw(random: np.random.Generator, rows: int) -> tuple[pd.DataFrame, Floats]:
    """Rows whose residuals grow with one of two columns, and their absolute residuals."""
    frame = pd.DataFrame(random.normal(size=(rows, 2)), columns=["a", "b"])
    return frame, np.abs(np.exp(0.7 * frame["a"].to_numpy()) * random.normal(size=rows))


def residuals(random: np.random.Generator, rows: int) -> Residuals:
    """Calibration rows that stand alone."""
    frame, absolute = draw(random, rows)
    return Residuals(frame, absolute, random.integers(0, 2**63, rows).astype(np.uint64), None, "calibration")


def schema_of(frame: pd.DataFrame) -> Schema:
    """Describe both columns."""
    table = frame.assign(y=0.0)
    return describe(Table("t", table, dict.fromkeys(table, "number")), list(frame), target="y")


def test_the_range_holds_the_share_at_its_rate() -> None:
    """Of 400 calibrations 4 may lie outside; with the holdout's chance alone 22 do."""
    random = np.random.default_rng(5)
    low, high = chance(0.9, made_from=500, newest=500, judged_on=500)
    outside, outside_binomial = 0, 0
    for _ in range(400):
        made = one_width(residuals(random, 500))
        assert made is not None
        share = float(np.mean(draw(random, 500)[1] <= made.table.quantile_for(0.9)))
        outside += not low <= share <= high
        binomial = binom.ppf([0.005, 0.995], 500, 0.9) / 500
        outside_binomial += not binomial[0] <= share <= binomial[1]
    assert outside <= 10
    assert outside_binomial >= 20


@pytest.mark.soak
def test_a_scale_model_leaves_the_range_as_it_is() -> None:
    """Its rows are scaled crosswise: of 90 trainings with one, about as many lie outside as without."""
    random = np.random.default_rng(6)
    low, high = chance(0.9, made_from=600, newest=600, judged_on=2_000)
    outside = adaptive = 0
    for _ in range(90):
        kept = residuals(random, 600)
        made = calibrate(kept, schema_of(kept.frame), seed=0)
        assert made is not None
        frame, absolute = draw(random, 2_000)
        scale = made.scale.predict(frame) if made.scale is not None else 1.0
        adaptive += made.scale is not None
        outside += not low <= float(np.mean(absolute <= made.table.quantile_for(0.9) * scale)) <= high
    assert adaptive >= 45
    assert outside <= 5


@pytest.mark.parametrize(("made_from", "judged_on"), [(9, 5), (60, 40), (400, 900), (3_000, 200)])
def test_the_ends_are_those_of_the_whole_distribution(made_from: int, judged_on: int) -> None:
    """Summed over a window alone, so that a million rows take no time."""
    inside = int(np.ceil((made_from + 1) * 0.9 - 1e-9))
    whole = betabinom.ppf([0.005, 0.995], judged_on, inside, made_from + 1 - inside) / judged_on
    assert chance(0.9, made_from=made_from, newest=made_from, judged_on=judged_on) == pytest.approx(
        tuple(whole)
    )


def test_by_time_the_wider_of_two_quantiles_may_cover_more() -> None:
    """The newest half's is kept where it is the larger: its chance makes the upper end, not the lower."""
    alone = chance(0.9, made_from=2_000, newest=2_000, judged_on=2_000)
    by_time = chance(0.9, made_from=2_000, newest=1_000, judged_on=2_000)
    assert by_time[0] == alone[0]
    assert by_time[1] > alone[1]


def test_rows_that_err_together_count_as_fewer() -> None:
    """Fifty groups of twenty that are inside or outside as one are fifty rows; a thousand that stand alone are not."""
    random = np.random.default_rng(7)
    groups = np.repeat(np.arange(50), 20)
    together = (random.random(50) < 0.9)[groups]
    assert crowding(together, groups) == pytest.approx(20.0, rel=0.05)
    apart = random.random(1_000) < 0.9
    assert crowding(apart, groups) < 1.6
    assert crowding(apart, np.arange(1_000)) == 1.0
    assert crowding(np.ones(1_000, dtype=bool), groups) == 1.0


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.9, ""),
        (0.884, "a little too narrow"),
        (0.85, "too narrow"),
        (0.915, "a little too wide"),
        (0.95, "too wide"),
    ],
)
def test_a_share_beyond_chance_is_called_what_it_is(share: float, words: str) -> None:
    """`88.8% (88.9% to 91.1% is chance)` left the reader to compare."""
    found = Reached(0.9, 0.9, 0.889, 0.911, 1.0, 1.0)
    assert replace(found, share=share).verdict == words
