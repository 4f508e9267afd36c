"""Which columns matter, measured on the graph, within a time."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance

from data.tables import Table, describe
from training.compiling import compile_verified
from training.measuring.importance import importance
from training.models.families import build


def fitted(columns: int, rows: int = 400) -> tuple:
    """A ridge on numbers of which the first two matter, 3 and 1 times their value."""
    random = np.random.default_rng(0)
    names = [f"x{place}" for place in range(columns)]
    frame = pd.DataFrame(random.normal(size=(rows, columns)), columns=names)
    y = 3.0 * frame["x0"].to_numpy() + frame["x1"].to_numpy() + random.normal(0.0, 0.1, rows)
    table = Table("t", frame.assign(y=y), dict.fromkeys([*names, "y"], "number"))
    schema = describe(table, names, target="y")
    model = build({"family": "ridge"}, schema, seed=0).fit(frame, y)
    graph = compile_verified(model, schema=schema, frame=frame, target=y).graph
    return model, graph, frame, y, schema


def test_it_agrees_with_scikit_learn() -> None:
    """Two measures with other shuffles of 400 rows are within a tenth of each other."""
    model, graph, frame, y, schema = fitted(4)
    ours = importance(graph, frame, y, schema, seed=0, seconds=60.0).drops
    theirs = permutation_importance(
        model, frame, y, scoring="neg_root_mean_squared_error", n_repeats=20, random_state=1
    ).importances_mean
    for place in (0, 1):
        assert abs(ours[f"x{place}"][0] / theirs[place] - 1.0) < 0.1
    assert max(ours["x2"][0], ours["x3"][0]) < 0.02


def test_many_columns_are_bounded_in_time_and_said() -> None:
    """Two thousand columns took 98 s of a budget of five."""
    _, graph, frame, y, schema = fitted(300)
    began = time.perf_counter()
    found = importance(graph, frame, y, schema, seed=0, seconds=0.0)
    assert time.perf_counter() - began < 30
    assert list(found.drops) == [f"x{place}" for place in range(10)]
    assert found.left_out == 290
    assert list(found.as_table()["column"][:1]) == ["x0"]
