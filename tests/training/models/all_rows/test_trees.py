"""Trees learn rows from a file as they would from memory: the same trees, whatever the parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from data.tables import Table, describe
from training.models import AllRows, Spec, all_rows, build, fit

pytest.importorskip("lightgbm", exc_type=ImportError)

ROWS, SAMPLE = 900, 300
NAMES = ["a", "b", "shop"]
SETTINGS = {"num_iterations": 8, "num_leaves": 7, "bagging_fraction": 0.7}
SPEC: Spec = {"family": "lightgbm", "params": SETTINGS}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Numbers, a gap and a category; the target is far from zero."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=ROWS), "b": random.integers(0, 9, ROWS).astype(float)})
    frame["shop"] = random.choice(["Ulm", "Bonn", "Kiel"], ROWS)
    frame["y"] = 1e5 + 9.0 * frame["a"] ** 2 + frame["b"] + 5.0 * (frame["shop"] == "Ulm")
    frame.loc[::9, "a"] = np.nan
    return frame.astype({"shop": object})


def fitted(frame: pd.DataFrame, spec: Spec = SPEC) -> Any:
    """Return a model of the first rows."""
    kinds = {"a": "number", "b": "number", "shop": "category", "y": "number"}
    schema = describe(Table("t", frame, kinds), NAMES, target="y")  # type: ignore[arg-type]
    return fit(build(spec, schema, seed=3), frame[NAMES][:SAMPLE], frame["y"].to_numpy()[:SAMPLE])


def parts_of(frame: pd.DataFrame, count: int) -> AllRows:
    """Return all rows in so many parts."""

    def parts() -> Iterator[tuple[pd.DataFrame, NDArray[np.float64]]]:
        for places in np.array_split(np.arange(ROWS), count):
            yield frame[NAMES].iloc[places], frame["y"].to_numpy()[places]

    return AllRows(ROWS, parts)


def test_the_trees_are_those_of_the_same_rows_in_memory(frame: pd.DataFrame) -> None:
    """`fit` is the reference: bins, bagging and the mean that the first tree gets are its."""
    model, target = fitted(frame), frame["y"].to_numpy()
    expected = fitted(frame)[-1].fit(model[:-1].transform(frame[NAMES]), target).text_
    before = model[-1].text_
    assert all_rows.learn_all(model, parts_of(frame, 7), target[:SAMPLE])
    assert model[-1].text_ == expected != before
    again = fitted(frame)
    assert all_rows.learn_all(again, parts_of(frame, 1), target[:SAMPLE])
    assert again[-1].text_ == expected
    known = model.predict(frame[NAMES])
    assert np.sqrt(np.mean((known - target) ** 2)) < np.std(target)


def test_a_target_on_another_scale_stays_on_it(frame: pd.DataFrame) -> None:
    """Trees of a logarithm that learned the plain target would predict its exponential."""
    model = fitted(frame, {"family": "lightgbm", "params": SETTINGS | {"target": "log"}})
    assert all_rows.learn_all(model, parts_of(frame, 3), frame["y"].to_numpy()[:SAMPLE])
    assert model.predict(frame[NAMES]) == pytest.approx(frame["y"].to_numpy(), rel=0.01)


def test_trees_that_are_not_finished_in_time_are_given_up(frame: pd.DataFrame) -> None:
    """The version has those of the sample then, whole."""
    model = fitted(frame)
    before = model[-1].text_
    late = time.perf_counter() - 1.0
    assert not all_rows.learn_all(model, parts_of(frame, 2), frame["y"].to_numpy()[:SAMPLE], until=late)
    assert model[-1].text_ == before


def test_rows_beyond_the_memory_for_their_bins_are_not_learned(frame: pd.DataFrame) -> None:
    """Two bytes a cell and forty a row; a line needs none."""
    model, count = fitted(frame), 1_000_000
    assert all_rows.has_room(model, AllRows(count, lambda: iter(()), 1.0, room=47e6))
    assert not all_rows.has_room(model, AllRows(count, lambda: iter(()), 1.0, room=45e6))
    line = fitted(frame, {"family": "ridge", "params": {}})
    assert all_rows.has_room(line, AllRows(count, lambda: iter(()), 1.0, room=1.0))
