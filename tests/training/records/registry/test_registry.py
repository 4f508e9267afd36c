"""What a version says of the rows that it was made from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.schema import Column, Schema
from data.splits import SplitRule, split_table
from data.tables import Table
from training.errors import NotOurs
from training.records import model_registry, tag_names


def days(count: int) -> Table:
    """One row for each day from 2013-01-01 on."""
    texts = np.datetime_as_string(np.datetime64("2013-01-01") + np.arange(count)).tolist()
    frame = pd.DataFrame({"day": pd.Series(texts, dtype=object), "x": np.arange(count, dtype=float)})
    return Table("days.csv", frame, {"day": "datetime", "x": "number"})


def trained_on(table: Table, rule: SplitRule) -> model_registry.Version:
    """A version as it is registered after a training on the table."""
    schema = Schema((Column("x", "number"),), target="y")
    tags = model_registry.describe_rows(split_table(table, rule), schema, "fingerprint")
    return model_registry.Version("days", "1", "run", tags)


def test_a_time_split_counts_rows_from_the_versions_own_boundary() -> None:
    """A retrain on the first half of the table would otherwise judge the champion on rows it has learned."""
    champion = trained_on(days(1000), SplitRule("time", ("day",)))
    assert champion.held_out(days(1000)).sum() == 150
    assert champion.held_out(days(500)).sum() == 0
    # With 200 newer days: the 150 that it held out, and the 200.
    assert champion.held_out(days(1200)).sum() == 350


def test_a_hash_split_needs_no_boundary() -> None:
    """A row says itself where it stands."""
    rule = SplitRule("hash", ("day", "x"), salt="days")
    champion = trained_on(days(1000), rule)
    assert tag_names.HELD_OUT_FROM not in champion.tags
    np.testing.assert_array_equal(champion.held_out(days(500)), champion.held_out(days(1000))[:500])


def test_a_version_without_our_tags_is_not_ours() -> None:
    """Somebody registered it with MLflow alone: there is no telling what it learned from."""
    with pytest.raises(NotOurs, match=r"lacks the tag slipway\.split"):
        model_registry.Version("days", "1", "run", {}).held_out(days(10))
