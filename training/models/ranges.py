"""Between which settings Optuna may choose, and which of its choices a setting is that someone else thought of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from training.models.families import Spec
from training.models.portfolio import (
    BINS,
    MOST_TREES,
    PRODUCTS,
    Task,
    fits,
    forest_size,
    shaped,
    spec_of,
    width,
)

LOGARITHMS = ("log", "natural_log")
"""A skewed target's scales; which of them depends on its size alone."""


SHAPED = ("monotonic", *BINS.values())
"""What the table and the user's directions ask for, whatever was chosen."""


class Suggests(Protocol):
    """Of an Optuna trial what is asked here."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int: ...  # noqa: D102

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float: ...  # noqa: D102

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Range:
    """Between what a setting lies.

    Attributes
    ----------
    name : str
        By which Optuna knows it.
    usual : float, or None
        What it is, or nearly is, where a specification leaves it out; None where that is no value in the range.
    whole, log : bool
        Whether it is a whole number, and whether ratios count in place of differences.
    """

    name: str
    low: float
    high: float
    usual: float | None
    whole: bool = False
    log: bool = False

    def ask(self, trial: Suggests) -> float:
        """Return what Optuna chooses."""
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Return whether it can choose a value."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Switch:
    """A setting that is on or off, and off where a specification leaves it out."""

    name: str
    usual = False

    def ask(self, trial: Suggests) -> bool:
        """Return what Optuna chooses."""
        return bool(trial.suggest_categorical(self.name, [False, True]))

    def holds(self, value: Any) -> bool:
        """Return whether it can choose a value."""
        return isinstance(value, bool)


Ranges = Mapping[str, Range | Switch]
"""By the parameter's name in a specification."""


def proposed(trial: Suggests, task: Task) -> Spec:
    """Return the settings that Optuna wants tried."""
    families = [name for name in RANGES if fits(spec_of(name), task)]
    family = trial.suggest_categorical("family", families)
    params: dict[str, Any] = {name: each.ask(trial) for name, each in RANGES[family](task).items()}
    if params.get("interactions"):
        params["interactions"] = width(task, params["splines"]) <= PRODUCTS
    if task.skewed and trial.suggest_categorical("log", [False, True]):
        params["target"] = "log"
    return shaped(spec_of(family, **params), task)


def answers_of(spec: Spec, task: Task) -> dict[str, Any] | None:
    """Return what Optuna would have chosen, by its names, for these settings; None where it cannot choose them."""
    family = str(spec["family"])
    if family not in RANGES:
        return None
    params = {name: value for name, value in spec["params"].items() if name not in SHAPED}
    is_log = params.pop("target", None) in LOGARITHMS
    chosen = {name: params.pop(name, each.usual) for name, each in RANGES[family](task).items()}
    ranges = RANGES[family](task)
    if params or not all(each.holds(chosen[name]) for name, each in ranges.items()):
        return None
    answers = {"family": family} | {each.name: chosen[name] for name, each in ranges.items()}
    if task.skewed:
        return answers | {"log": is_log}
    return None if is_log else answers


_whole = partial(Range, whole=True, log=True)
_ratio = partial(Range, log=True)


def _boosting(_: Task) -> Ranges:
    return {
        "max_iter": _whole("hist_rounds", 100, 2000, 200),
        "learning_rate": _ratio("hist_rate", 0.015, 0.2, 0.08),
        "max_leaf_nodes": _whole("hist_leaves", 7, 127, 31),
        "min_samples_leaf": _whole("hist_leaf_rows", 2, 60, 20),
        "l2_regularization": _ratio("hist_l2", 1e-3, 30.0, 1e-3),  # of none
        "max_features": Range("hist_features", 0.3, 1.0, 1.0),
    }


def _lightgbm(task: Task) -> Ranges:
    ranges: dict[str, Range | Switch] = {
        "num_iterations": _whole("lgb_rounds", 100, 3000, 300),
        "learning_rate": _ratio("lgb_rate", 0.015, 0.2, 0.05),
        "num_leaves": _whole("lgb_leaves", 4, 127, 31),
        "min_data_in_leaf": _whole("lgb_leaf_rows", 2, 60, 20),
        "lambda_l2": _ratio("lgb_l2", 1e-3, 200.0, 1e-3),  # of none
        "feature_fraction_bynode": Range("lgb_features", 0.3, 1.0, 1.0),
        "bagging_fraction": Range("lgb_rows", 0.4, 1.0, 1.0),
        "extra_trees": Switch("lgb_drawn"),
    }
    if any(column.kind == "category" for column in task.schema.columns):
        ranges["cat_smooth"] = _ratio("lgb_cat_smooth", 1.0, 100.0, 10.0)
    return ranges


def _extra_trees(task: Task) -> Ranges:
    trees, leaf = forest_size(task).values()
    return {
        "n_estimators": Range("extra_trees", trees, trees, MOST_TREES, whole=True),
        "max_features": Range("extra_features", 0.3, 1.0, 1.0),
        "min_samples_leaf": Range("extra_leaf_rows", leaf, 8 * leaf, 1, whole=True),
    }


def _perceptron(_: Task) -> Ranges:
    return {
        "width": _whole("mlp_width", 24, 128, 64),
        "depth": Range("mlp_depth", 1, 3, 2, whole=True),
        "alpha": _ratio("mlp_alpha", 1e-5, 1.0, 1e-4),
        "learning_rate_init": _ratio("mlp_rate", 5e-4, 1e-2, 2e-3),
        "max_iter": _whole("mlp_epochs", 50, 300, 200),
    }


def _support_vectors(task: Task) -> Ranges:
    columns = max(1, len(task.schema.columns))
    return {
        "C": _ratio("svr_C", 1.0, 1000.0, 10.0),
        "epsilon": _ratio("svr_epsilon", 1e-3, 0.2, 0.02),
        "gamma": _ratio(
            "svr_gamma", 0.1 / columns, 3.0 / columns, 1.0 / columns
        ),  # "scale" of scaled columns
    }


def _linear(_: Task) -> Ranges:
    return {
        "splines": Range("line_splines", 3, 12, None, whole=True),
        "interactions": Switch("line_interactions"),
    }


RANGES: Mapping[str, Callable[[Task], Ranges]] = {
    "boosting": _boosting,
    "lightgbm": _lightgbm,
    "extra_trees": _extra_trees,
    "perceptron": _perceptron,
    "support_vectors": _support_vectors,
    "ridge": _linear,
}
"""Of the families that are worth a search."""
