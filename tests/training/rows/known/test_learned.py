"""Learned rows are known again among others, and fresh ones are not taken for them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from data.schema import Column, Schema
from data.splits import SplitRule
from data.tables import Table
from training.challenger import making
from training.commands import trainings
from training.rows import arrange, thinned
from training.rows.known import learned
from training.rows.known.learned import Sketch

SCHEMA = Schema((Column("area", "number"), Column("town", "category")), target="price")
KINDS = {"area": "number", "town": "category", "price": "number"}


def houses(n: int, seed: int, decimals: int = 6) -> pd.DataFrame:
    """Sales of which fewer differ, the fewer decimals they have."""
    random = np.random.default_rng(seed)
    area, town = random.normal(size=n), random.choice(["Ulm", "Bonn"], n)
    frame = pd.DataFrame({"area": area, "price": 2.0 * area + random.normal(size=n)}).round(decimals)
    return frame.assign(town=pd.Series(town, dtype=object))


def sketch(frame: pd.DataFrame, of: int = 0) -> Sketch:
    """Return the sketch of all rows of a table."""
    table = Table("t", frame, KINDS)
    return learned.sketch_of(table, SCHEMA, np.arange(len(frame)), salt="salt", of=of)


def digests(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """Return what rows are looked up by."""
    return learned._digests(Table("t", frame, KINDS), SCHEMA, "salt")


@pytest.mark.parametrize("kept", [8_192, 1_000])
def test_the_share_of_learned_rows_is_found_in_any_order(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """To the row where all are kept; otherwise within its standard error."""
    monkeypatch.setattr(learned, "MOST_KEPT", kept)
    known, fresh = houses(6_000, 0), houses(2_000, 1)
    table = pd.concat([known.head(3_000), fresh])
    first, again = sketch(known), sketch(known.iloc[::-1])
    assert first.as_dict() == again.as_dict()
    found, shuffled = (
        first.shared_with(digests(rows)) for rows in (table, table.sample(frac=1.0, random_state=0))
    )
    assert found == shuffled
    assert found is not None
    assert found.matters
    assert (found.error == 0.0) == (kept == 8_192)
    assert found.share == pytest.approx(0.6, abs=1e-9 + 4.0 * found.error)
    assert found.error < 0.03


def test_other_columns_and_other_ways_to_write_a_value_change_nothing() -> None:
    """An export of another month has an id more, and its columns in another order."""
    rows = houses(300, 0)
    other = rows.assign(id=np.arange(300.0))[["price", "id", "town", "area"]]
    table = Table("t", other, KINDS | {"id": "number"})
    found = sketch(rows).shared_with(learned._digests(table, SCHEMA, "salt"))
    assert found is not None
    assert (found.share, str(found)) == (1.0, "100 %")


@pytest.mark.parametrize("decimals", [6, 2, 1])
@pytest.mark.parametrize("rows", [500, 20_000])
def test_a_fresh_table_of_the_same_kind_is_not_taken_for_learned_rows(decimals: int, rows: int) -> None:
    """With one decimal nearly each row of 20,000 equals a learned one by chance."""
    known = sketch(houses(20_000, 0, decimals))
    found = known.shared_with(digests(houses(rows, 1, decimals)))
    assert found is None or not found.matters
    twins = digests(houses(rows, 1, decimals))
    met = np.isin(twins, digests(houses(20_000, 0, decimals))).mean()
    assert (met == 0.0) if decimals == 6 else (met > 0.03), "it would prove nothing"


@pytest.mark.parametrize("decimals", [3, 2])
def test_learned_rows_are_found_among_twins_by_chance(decimals: int) -> None:
    """Those that were learned once tell, and the chance of these to come again is taken off."""
    known, fresh = houses(20_000, 0, decimals), houses(10_000, 1, decimals)
    found = sketch(known).shared_with(digests(pd.concat([known.head(10_000), fresh])))
    assert found is not None
    assert found.matters
    assert found.share == pytest.approx(0.5, abs=4.0 * found.error)


def test_of_few_different_rows_nothing_is_told() -> None:
    """Each row to come equals learned ones, too."""
    rows = houses(5_000, 0, 6).assign(area=1.0, price=np.arange(5_000) % 7 * 1.0)
    assert sketch(rows).shared_with(digests(rows)) is None


def test_rows_of_a_large_table_that_were_learned_in_parts_count_too() -> None:
    """A tenth of them was at hand for the sketch, and all were learned."""
    known = houses(10_000, 0)
    found = sketch(known.head(1_000), of=10_000).shared_with(digests(pd.concat([known, houses(10_000, 1)])))
    assert found is not None
    assert found.share == pytest.approx(0.5, abs=1e-9)
    few = sketch(known.head(1_000), of=10_000).shared_with(digests(known.sample(2_000, random_state=0)))
    assert few is not None
    assert few.share == pytest.approx(1.0, abs=4.0 * few.error)
    assert few.error > 0.02


def test_the_file_is_small_and_comes_back_the_same() -> None:
    """However many rows there are; it says neither values nor whole hashes."""
    made = sketch(houses(50_000, 0))
    text = json.dumps(made.as_dict())
    assert len(text) < 64_000
    assert Sketch.from_dict(json.loads(text)).as_dict() == made.as_dict()
    assert len(made.once) == learned.MOST_KEPT


BROKEN = {"rows": 0, "of": 10**400, "below": "-1", "once": "AAAA", "twice": None}


@pytest.mark.parametrize("name", [*BROKEN, "cut", "nested", "bytes"])
def test_of_a_broken_sketch_it_is_said_that_nothing_can_be_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line, before intervals are made: nobody who recalibrates can mend it."""
    monkeypatch.setattr(learned, "_path", lambda _: tmp_path / "learned.json")
    version: Any = SimpleNamespace(name="m", number="1", adopted=False, schema=SCHEMA)
    table, said = Table("t", houses(300, 0), KINDS), list[str]()
    whole = json.dumps(sketch(houses(300, 0)).as_dict())
    odd = {"cut": whole[:-9], "nested": "[" * 100_000, "bytes": "\udcff"}
    broken = odd.get(name) or json.dumps(json.loads(whole) | {name: BROKEN[name]})
    (tmp_path / "learned.json").write_bytes(broken.encode("utf-8", "surrogateescape"))
    assert learned.left_out(version, table, lambda _, words: said.append(words), fewest=20) is table
    assert said[0].startswith(
        "whether m version 1 learned some of these rows cannot be told: its learned.json"
    )


def test_only_the_rows_that_a_training_learned_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that it held out, nor those that a sample of a large table passed by."""
    for name, value in {"CELLS_A_SECOND": 0, "LEAST_CELLS": 600, "JUDGED_A_SECOND": 0}.items():
        monkeypatch.setattr(thinned, name, value)
    frame = houses(3_000, 0)
    config = trainings.TrainConfig("t", "price")
    rule = SplitRule("hash", ("area", "town"))
    rows = arrange(Table("t", frame, KINDS), rule, config, lambda *_: None)
    made = making.learned_by(rows, 200)
    assert (made.rows, made.of) == (200, 200)
    places = np.flatnonzero(rows.split.mask("train"))
    whole = making.learned_by(rows, len(places))
    hashes = learned._digests(rows.checked.table, rows.schema, rows.fingerprint)
    assert set(whole.once) == set(hashes[places].astype(np.uint32))
    assert set(made.once) < set(whole.once)
    assert making.learned_by(rows, 2_000).of == 2_000
