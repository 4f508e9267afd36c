"""A target's unit is no matter of the model: 1e-9 and 1e25 train like 1, and compile exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from data.checks import check_table
from data.errors import UnusableTarget
from data.schema import Schema
from data.tables import Table, describe
from training.compiling import compile_verified
from training.models.families import Spec, build
from training.models.portfolio import Task, first, shaped

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.normal(size=(400, 3)), columns=list("abc"))
NEAR = (
    3.0 * FRAME["a"] + 2.0 * np.sin(3.0 * FRAME["b"]) + FRAME["a"] * FRAME["c"] + RANDOM.normal(0.0, 0.3, 400)
).to_numpy()
SETTINGS: dict[str, dict[str, object]] = {
    "ridge": {},
    "lasso": {},
    "huber": {},
    "boosting": {"max_iter": 60},
    "lightgbm": {"num_iterations": 60},
    "stochastic": {"n_estimators": 60},
    "forest": {"n_estimators": 30},
    "extra_trees": {"n_estimators": 30},
    "support_vectors": {},
}


def described(target: NDArray[np.float64]) -> Schema:
    """Describe the columns beside a target."""
    table = FRAME.assign(y=target)
    return describe(Table("t", table, dict.fromkeys(table, "number")), list(FRAME), target="y")


def relative_error(spec: Spec, size: float) -> float:
    """Fit the target times `size` on 300 rows, compile it, and return the error on the others in the first unit."""
    target, schema = NEAR * size, described(NEAR * size)
    task = Task.of(target[:300], schema, None)
    model = build(shaped(spec, task), schema, seed=0).fit(FRAME[:300], target[:300])
    compile_verified(model, schema=schema, frame=FRAME[:300], target=target[:300])
    return float(np.sqrt(np.mean(((model.predict(FRAME[300:]) - target[300:]) / size) ** 2)))


@pytest.mark.parametrize("size", [1e-9, 1e-30, 1e25])
@pytest.mark.parametrize("family", SETTINGS)
def test_the_error_follows_the_unit(family: str, size: float) -> None:
    """Trees stop at a variance of 2e-16, and Huber at a gradient of 1e-5: at 1e-9 a forest was the mean."""
    spec: Spec = {"family": family, "params": SETTINGS[family]}
    assert relative_error(spec, size) == pytest.approx(relative_error(spec, 1.0), rel=0.05)


def test_ordinary_targets_are_taken_as_they_are() -> None:
    """What is chosen for them, and so their digests, stays."""
    for size in (0.01, 1.0, 1e6):
        task = Task.of(NEAR * size, described(NEAR * size), None)
        assert not task.far
        assert all("target" not in spec["params"] for spec in first(task))


def test_a_skewed_target_keeps_its_logarithm_at_any_size() -> None:
    """log(1 + y) is y at 1e-9; with a zero among the values there is no logarithm."""
    skewed = np.exp(2.0 * NEAR / NEAR.std())
    logs = [
        spec
        for spec in first(Task.of(skewed * 1e-9, described(skewed), None))
        if spec["params"]["target"] == "natural_log"
    ]
    assert (
        len(logs)
        == len(
            [spec for spec in first(Task.of(skewed, described(skewed), None)) if "target" in spec["params"]]
        )
        > 0
    )
    holed = np.append(skewed[1:], 0.0) * 1e-9
    assert all(spec["params"]["target"] == "scaled" for spec in first(Task.of(holed, described(holed), None)))


@pytest.mark.parametrize("size", [1e-60, 1e200])
def test_a_size_that_arithmetic_cannot_square_is_refused(size: float) -> None:
    """After the whole search no graph agreed with its pipeline."""
    frame = FRAME.assign(y=NEAR * size)
    with pytest.raises(UnusableTarget, match="write it in another unit"):
        check_table(Table("t", frame, dict.fromkeys(frame, "number")), target="y")


@pytest.mark.parametrize("scaler", [StandardScaler(with_mean=False), StandardScaler(with_std=False)])
def test_a_scaler_that_takes_no_mean_gives_none_back(scaler: StandardScaler) -> None:
    """It knows its mean all the same, which the graph of an adopted model added to each prediction."""
    target = NEAR + 100.0
    model = TransformedTargetRegressor(LinearRegression(), transformer=scaler).fit(FRAME, target)
    assert compile_verified(model, schema=described(target), frame=FRAME, target=target).parity.holds
