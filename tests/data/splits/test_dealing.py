"""Few groups, days or different rows: each side and each fold gets rows, as nearly as whole blocks allow."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import SplitError
from data.splits import Split, SplitRule, split_table
from data.splits.dealing import cuts_of
from data.tables import Table

SHARES = (0.7, 0.15, 0.15)


def table(**columns: object) -> Table:
    """Numbers and texts by their dtype."""
    frame = pd.DataFrame(columns)
    kinds = {name: "number" if frame[name].dtype.kind == "f" else "category" for name in frame}
    return Table("rows.csv", frame.astype({n: object for n, k in kinds.items() if k == "category"}), kinds)


def groups(count: int, rows: int = 100) -> Table:
    """So many groups of so many rows."""
    names = np.repeat([f"group {number}" for number in range(count)], rows)
    return table(group=names, x=np.random.default_rng(0).normal(size=count * rows))


def hold(split: Split, *, folds: int = 5) -> None:
    """Check that all sides and all folds have rows and that no block stands in two."""
    assert all(split.counts.values())
    training = split.blocks[split.mask("train")]
    made = split.folds(folds)
    assert 1 <= len(made) <= folds
    for fit, validate in made:
        assert len(fit)
        assert len(validate)
        assert not set(training[fit]) & set(training[validate])


@pytest.mark.parametrize("salt", [f"name {number}" for number in range(20)])
@pytest.mark.parametrize("count", [4, 7])
def test_few_groups_fill_all_sides_and_folds_whatever_the_name(count: int, salt: str) -> None:
    """Four groups ended in an IndexError, and which name a model had decided whether it could be trained."""
    split = split_table(groups(count), SplitRule("group", ("group",), salt=salt))
    hold(split)
    assert split.counts["train"] >= 100 * count // 2


def test_two_groups_learn_from_one_and_are_judged_by_the_other_only_with_sides_said() -> None:
    """With one group to learn from nothing can be compared: the line says what would help."""
    split = split_table(groups(2), SplitRule("group", ("group",)))
    with pytest.raises(SplitError, match=r"100 training rows are one group.*pass rows of more groups"):
        split.folds(5)


def test_a_split_by_seven_years_has_folds_with_rows() -> None:
    """A split by year took 98 s and then ended in an IndexError."""
    years = np.repeat(np.arange(2010.0, 2017.0), 50)
    split = split_table(table(year=years), SplitRule("time", ("year",)))
    hold(split)
    training = years[split.mask("train")]
    for fit, validate in split.folds(5):
        assert training[fit].max() < training[validate].min()
    assert training.max() < years[split.mask("calibration")].min() < years[split.mask("holdout")].min()


def test_three_moments_are_enough() -> None:
    """As few as can be."""
    split = split_table(table(year=np.repeat([1.0, 2.0, 3.0], 40)), SplitRule("time", ("year",)))
    assert split.counts == {"train": 80, "calibration": 0, "holdout": 40}
    assert len(split.folds(5)) == 1


@pytest.mark.parametrize("salt", ["houses", "flats", "line", ""])
def test_four_doses_of_a_hundred_rows_are_dealt(salt: str) -> None:
    """They left no holdout row under some names, and "pass more rows" never helped."""
    doses = table(x=np.repeat([1.0, 2.0, 5.0, 10.0], 100), y=np.random.default_rng(1).normal(size=400))
    split = split_table(doses, SplitRule("hash", ("x",), salt=salt))
    assert split.counts == {"train": 200, "calibration": 100, "holdout": 100} or split.counts["train"] == 300
    assert "400 rows are 4 different ones in x" in split.repeats_in_words
    assert "split=repeat" in split.repeats_in_words


def test_repeats_can_be_dealt_one_by_one_in_any_order() -> None:
    """Each measurement has a side of its own, which neither order nor later rows change."""
    x = np.repeat([1.0, 2.0, 5.0, 10.0], 100)
    doses = table(x=x, y=np.round(x + np.random.default_rng(1).normal(size=400), 1))
    rule = SplitRule("repeat", ("x", "y"), salt="doses")
    split = split_table(doses, rule)
    assert split.counts["holdout"] == pytest.approx(60, abs=4 * np.sqrt(400 * 0.15 * 0.85))
    assert pd.Series(split.sides).groupby(x).nunique().min() == 3
    assert split.repeats_in_words == ""
    more = Table("more", pd.concat([doses.frame, doses.frame.head(50)], ignore_index=True)[::-1], doses.kinds)
    before = pd.DataFrame(doses.frame).assign(side=split.sides).value_counts()
    after = pd.DataFrame(more.frame).assign(side=split_table(more, split.rule).sides).value_counts()
    assert (after.reindex(before.index) >= before).all()


def test_one_huge_group_is_learned_from() -> None:
    """Chance put nine tenths of the rows into the holdout for one name in seven."""
    names = np.append(np.repeat("huge", 9_000), [f"small {number // 10}" for number in range(1_000)])
    given = table(group=names, x=np.zeros(10_000))
    for salt in "abcdefghij":
        split = split_table(given, SplitRule("group", ("group",), salt=salt))
        assert split.counts["train"] >= 9_000
        hold(split)


def test_later_rows_keep_the_sides_of_the_first_training() -> None:
    """The cuts are kept with the rule, so what was held out stays held out."""
    first = split_table(groups(5), SplitRule("group", ("group",), salt="shops"))
    stored = SplitRule.from_dict(first.rule.as_dict())
    later = split_table(groups(40), stored)
    np.testing.assert_array_equal(later.sides[:500], first.sides)


def test_a_rule_of_an_earlier_version_cuts_where_it_did() -> None:
    """Their JSON has no cuts; rows of registered models must not move."""
    written = SplitRule("hash", ("x",), salt="old").as_dict()
    del written["cuts"]
    many = table(x=np.random.default_rng(0).normal(size=4_000))
    old = split_table(many, SplitRule.from_dict(written))
    np.testing.assert_array_equal(old.sides, split_table(many, SplitRule("hash", ("x",), salt="old")).sides)
    assert old.rule.cuts == (0.0, pytest.approx(0.7), 0.85)


@settings(max_examples=200, derandomize=True)
@given(st.lists(st.integers(1, 50), min_size=4, max_size=8), st.integers(0, 1_000))
def test_blocks_are_dealt_as_well_as_any_way_round_the_circle(counts: list, seed: int) -> None:
    """Compared with every way to cut the circle in three."""
    blocks = np.sort(np.random.default_rng(seed).random(len(counts)))
    places = np.repeat(blocks, counts)
    parts = cuts_of(places, SHARES).parts(places)
    shares = np.bincount(parts, minlength=3) / len(parts)
    assert (shares > 0).all()

    def cost(first: int, learned: int, kept: int) -> float:
        turned = np.roll(counts, -first) / sum(counts)
        sides = turned[:learned].sum(), turned[learned:kept].sum(), turned[kept:].sum()
        return float(np.abs(np.array(sides) - SHARES).sum())

    best = min(
        cost(first, *ends) for first in range(len(counts)) for ends in combinations(range(2, len(counts)), 2)
    )
    assert np.abs(shares - SHARES).sum() == pytest.approx(best)
