"""Splits hold for years, keep twins together, and say when they can't."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import MissingColumn, SplitError
from data.splits import SplitRule, split_table
from data.tables import Table, fingerprint, row_digests

KNOWN_DIGESTS = ["0x8fb4e59c100210aa", "0xc70bbaba36668085", "0x1f378be6e5585474"]
KNOWN_FINGERPRINT = "5ee6f64e690a49ecce2b43524c2a05a1"
RULE = SplitRule("hash", ("x", "c"), salt="houses")


def table(rows: int = 4000, seed: int = 0) -> Table:
    """Rows with a number, a category with gaps, a date, a group and a side."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=rows),
            "c": pd.Series(random.choice(["a", "b", "ü"], rows), dtype=object),
            "day": pd.Series(
                np.datetime_as_string(np.datetime64("2013-01-01") + random.integers(0, 365, rows))
            ).astype(object),
            "group": pd.Series(random.integers(0, 300, rows).astype(str), dtype=object),
            "side": pd.Series(random.choice(["train", "holdout"], rows), dtype=object),
        }
    )
    frame.loc[::7, "c"] = None
    kinds = {"x": "number", "c": "category", "day": "datetime", "group": "category", "side": "category"}
    return Table("rows.csv", frame, kinds)


def shuffled(given: Table, seed: int = 1) -> tuple[Table, np.ndarray]:
    """The same rows in another order, and where each came from."""
    order = np.random.default_rng(seed).permutation(len(given))
    return given.take(order), order


def test_the_digests_of_known_rows_never_change() -> None:
    """A literal: any other value would move rows of registered models between their sides."""
    frame = pd.DataFrame({"x": [1.5, -0.0, np.nan], "c": pd.Series(["Köln", None, ""], dtype=object)})
    known = Table("known", frame, {"x": "number", "c": "category"})
    assert [hex(digest) for digest in row_digests(known, ["x", "c"], salt="houses").tolist()] == KNOWN_DIGESTS
    assert fingerprint(known) == KNOWN_FINGERPRINT


def test_shares_are_kept_within_chance() -> None:
    """Four standard deviations of a binomial count around 15 %."""
    counts = split_table(table(), RULE).counts
    assert abs(counts["holdout"] - 600) < 4 * np.sqrt(4000 * 0.15 * 0.85)
    assert abs(counts["calibration"] - 600) < 4 * np.sqrt(4000 * 0.15 * 0.85)


@pytest.mark.parametrize(
    "rule",
    [RULE, SplitRule("group", ("group",)), SplitRule("time", ("day",)), SplitRule("column", ("side",))],
)
def test_the_side_of_a_row_does_not_depend_on_the_order(rule: SplitRule) -> None:
    """A database returns rows as it likes."""
    given = table()
    other, order = shuffled(given)
    np.testing.assert_array_equal(split_table(other, rule).sides, split_table(given, rule).sides[order])


def test_rows_stay_on_their_side_when_rows_and_columns_are_added() -> None:
    """What was held out is held out of every later retrain."""
    given = table()
    more = Table(
        given.where,
        pd.concat([given.frame, table(seed=9).frame]).assign(new=1.0).reset_index(drop=True),
        {**given.kinds, "new": "number"},
    )
    np.testing.assert_array_equal(split_table(more, RULE).sides[:4000], split_table(given, RULE).sides)


def test_another_name_splits_another_way() -> None:
    """Two models on one table must not share their luck."""
    other = SplitRule("hash", ("x", "c"), salt="flats")
    assert (split_table(table(), RULE).sides != split_table(table(), other).sides).mean() > 0.3


def test_twins_stand_on_one_side_and_in_one_fold() -> None:
    """A row that the model has seen says nothing about new rows."""
    given = table(1000)
    twice = Table(given.where, pd.concat([given.frame, given.frame]).reset_index(drop=True), given.kinds)
    split = split_table(twice, RULE)
    np.testing.assert_array_equal(split.sides[:1000], split.sides[1000:])
    blocks = split.blocks[split.mask("train")]
    for fit, validate in split.folds(5):
        assert not set(blocks[fit]) & set(blocks[validate])


def test_a_group_stands_on_one_side_and_in_one_fold() -> None:
    """All rows of one customer, one house, one patient."""
    given = table()
    split = split_table(given, SplitRule("group", ("group",)))
    assert pd.Series(split.sides).groupby(given.frame["group"].to_numpy()).nunique().max() == 1
    groups = given.frame["group"].to_numpy()[split.mask("train")]
    for fit, validate in split.folds(5):
        assert not set(groups[fit]) & set(groups[validate])


def test_time_holds_out_the_newest_rows_and_validates_on_newer_ones() -> None:
    """No day stands on two sides, and no fold looks into its own future."""
    given = table()
    split = split_table(given, SplitRule("time", ("day",)))
    days = given.frame["day"].to_numpy()
    assert days[split.mask("train")].max() < days[split.mask("calibration")].min()
    assert days[split.mask("calibration")].max() < days[split.mask("holdout")].min()
    training = days[split.mask("train")]
    for fit, validate in split.folds(5):
        assert training[fit].max() < training[validate].min()


def test_a_column_may_say_it() -> None:
    """As published benchmarks do; calibration rows are not required."""
    split = split_table(table(), SplitRule("column", ("side",)))
    assert split.counts["calibration"] == 0
    assert split.counts["train"] + split.counts["holdout"] == 4000


def test_folds_are_a_partition_of_the_training_rows() -> None:
    """Each training row is validated once."""
    split = split_table(table(), RULE)
    validated = np.concatenate([validate for _, validate in split.folds(5)])
    np.testing.assert_array_equal(np.sort(validated), np.arange(split.counts["train"]))


@pytest.mark.parametrize(
    ("rule", "error", "says"),
    [
        (SplitRule("time", ("dya",)), MissingColumn, "did you mean 'day'"),
        (SplitRule("time", ("c",)), SplitError, "holds no ISO 8601 dates"),
        (SplitRule("column", ("group",)), SplitError, "must be one of train, calibration, holdout"),
    ],
)
def test_what_cannot_be_split_is_refused(rule: SplitRule, error: type[Exception], says: str) -> None:
    """With the column, the row and the repair."""
    with pytest.raises(error, match=says):
        split_table(table(), rule)


def test_a_side_without_rows_is_refused() -> None:
    """Two groups cannot fill three sides."""
    given = table(100)
    given.frame["group"] = "only one"
    with pytest.raises(
        SplitError, match="which are 1 groups: pass rows of more groups, or another group_column"
    ):
        split_table(given, SplitRule("group", ("group",)))


@settings(max_examples=60, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(allow_nan=False), st.text(max_size=3)), min_size=2, max_size=8), st.data()
)
def test_one_changed_cell_changes_the_fingerprint_and_the_order_does_not(
    rows: list, data: st.DataObject
) -> None:
    """The fingerprint is the identity of a table's content."""

    def made(content: list) -> Table:
        frame = pd.DataFrame(
            {"x": [x for x, _ in content], "c": pd.Series([c for _, c in content], dtype=object)}
        )
        return Table("rows", frame, {"x": "number", "c": "category"})

    before = fingerprint(made(rows))
    assert fingerprint(made(data.draw(st.permutations(rows)))) == before
    place = data.draw(st.integers(0, len(rows) - 1))
    x, c = rows[place]
    changed = data.draw(st.sampled_from([(np.nextafter(x, np.inf) if x != np.inf else 0.0, c), (x, c + "'")]))
    assert fingerprint(made([*rows[:place], changed, *rows[place + 1 :]])) != before


def test_a_name_and_a_missing_value_count() -> None:
    """The text "nan", a missing value and zero are three contents."""
    kinds = {"c": "category"}
    contents = [None, "nan", "", "0"]
    tables = [Table("t", pd.DataFrame({"c": pd.Series([value], dtype=object)}), kinds) for value in contents]
    renamed = Table("t", pd.DataFrame({"d": pd.Series([None], dtype=object)}), {"d": "category"})
    assert len({fingerprint(one) for one in [*tables, renamed]}) == 5
