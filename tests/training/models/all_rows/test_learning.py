"""A line that learned a sample learns all rows in parts: exactly, whatever the parts and their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from data.tables import Table, describe
from training.models import AllRows, Spec, build, fit
from training.models.all_rows import Sums, can_learn_all, learn_all

Floats = NDArray[np.float64]
ROWS, SAMPLE = 3_000, 400


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Numbers of far apart sizes, a gap, a text and a date; the target is about 1e6."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=ROWS), "b": random.normal(1e6, 1e3, ROWS)})
    frame["shop"] = random.choice(["Ulm", "Bonn", None], ROWS, p=[0.5, 0.4, 0.1])
    frame["day"] = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(ROWS) % 700)
    frame["y"] = 1e6 + 300.0 * frame["a"] ** 2 + (frame["b"] - 1e6) + 100.0 * (frame["shop"] == "Ulm")
    frame["y"] += random.normal(0, 50, ROWS)
    frame.loc[::9, "a"] = np.nan
    return frame.astype({"shop": object, "day": object})


def learned(frame: pd.DataFrame, spec: Spec, order: NDArray[Any], parts: int) -> Any:
    """Return a model of the first rows that has learned all of them, in an order and so many parts."""
    kinds = {"a": "number", "b": "number", "shop": "category", "day": "datetime", "y": "number"}
    names = ["a", "b", "shop", "day"]
    schema = describe(Table("t", frame, kinds), names, target="y")  # type: ignore[arg-type]
    model = fit(build(spec, schema, seed=0), frame[names][:SAMPLE], frame["y"].to_numpy()[:SAMPLE])

    def all_parts() -> Iterator[tuple[pd.DataFrame, Floats]]:
        for places in np.array_split(order, parts):
            yield frame[names].iloc[places], frame["y"].to_numpy()[places]

    assert learn_all(model, AllRows(ROWS, all_parts), frame["y"].to_numpy()[:SAMPLE])
    return model


SPECS: list[Spec] = [
    {"family": "ridge"},
    {"family": "ridge", "params": {"splines": 4, "target": "log"}},
]


@pytest.mark.parametrize("spec", SPECS, ids=["plain", "curves and a log"])
def test_the_line_is_that_of_all_rows_at_once(frame: pd.DataFrame, spec: Spec) -> None:
    """scikit-learn's own ridge, on the same columns and with the same penalty, is the reference."""
    model = learned(frame, spec, np.arange(ROWS), 7)
    target = frame["y"].to_numpy()
    pipeline = getattr(model, "regressor_", model)
    last, columns = pipeline.steps[-1][1], pipeline[:-1].transform(frame[["a", "b", "shop", "day"]])
    if "target" in spec.get("params", {}):
        target = np.log1p(target)
    direct = Ridge(alpha=last.alpha_, solver="cholesky").fit(columns, target)
    spread = float(np.std(target))
    assert np.abs(direct.predict(columns) - last.predict(columns)).max() < 1e-9 * spread
    assert np.abs(direct.coef_ - last.coef_).max() < 1e-7 * np.abs(direct.coef_).max()


def test_neither_order_nor_parts_change_a_bit(frame: pd.DataFrame) -> None:
    """Else a table that another tool sorted would give another digest."""
    one = learned(frame, SPECS[0], np.arange(ROWS), 1)
    other = learned(frame, SPECS[0], np.random.default_rng(1).permutation(ROWS), 13)
    assert one[-1].coef_.tobytes() == other[-1].coef_.tobytes()
    assert one[-1].intercept_ == other[-1].intercept_


def test_sums_of_whole_numbers_are_exact() -> None:
    """Of numbers whose sum no float64 holds: 2^12 and 2^-40 side by side, more of them than are summed at once."""
    rows = np.ones((200_001, 3))
    rows[:, 0], rows[:, 1] = 2.0**12 + 2.0**-40, -(2.0**-40)
    sums = Sums(3)
    assert sums.add(rows)
    assert sums.products()[0, 0] == 200_001 * (2**52 + 1) ** 2
    assert sums.products()[0, 1] == -200_001 * (2**52 + 1)
    assert sums.products()[2, 2] == 200_001 * 2**80


@pytest.mark.parametrize("wild", [2.0**14, np.inf, np.nan])
def test_a_number_that_cannot_be_summed_is_not(wild: float) -> None:
    """The model stays what the sample made of it."""
    assert not Sums(2).add(np.array([[wild, 1.0]]))


def test_only_a_line_learns_in_parts(frame: pd.DataFrame) -> None:
    """Whatever else there is keeps to its sample, and the card says so."""
    kinds = {"a": "number", "b": "number", "y": "number"}
    schema = describe(Table("t", frame[["a", "b", "y"]], kinds), ["a", "b"], target="y")  # type: ignore[arg-type]
    model = fit(build({"family": "mean"}, schema, seed=0), frame[["a", "b"]][:50], frame["y"].to_numpy()[:50])
    assert not can_learn_all(model)
    assert not learn_all(model, AllRows(1, lambda: iter(())), np.ones(2))
