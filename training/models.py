"""The model families that compete, each a scikit-learn pipeline from a frame to the target.

A pipeline takes a frame with the schema's columns (float64 for numbers and booleans, text for
categories and dates) and does everything itself, so that what is registered needs no step
before it. A family gets the features in the form it works best on; it knows nothing of scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from data.schema import Kind, Schema
from training.transformers import CalendarFeatures, CategoryText

MOST_CATEGORIES = 254
"""HistGradientBoosting bins a column into 255 values at most, one of them for what is missing."""


def mean(schema: Schema, seed: int) -> Pipeline:  # noqa: ARG001 - one signature for all families
    """Predict the training mean: what any model must beat."""
    return Pipeline([("columns", _encoded_trees(schema)), ("model", DummyRegressor())])


def ridge(schema: Schema, seed: int) -> Pipeline:  # noqa: ARG001 - one signature for all families
    """Linear least squares with a quadratic penalty, chosen by leave-one-out error."""
    return Pipeline([("columns", _encoded_linear(schema)), ("model", RidgeCV(alphas=np.logspace(-6, 4, 21)))])


def boosting(schema: Schema, seed: int) -> Pipeline:
    """Histogram gradient boosting on native categories and missing values."""
    numbers = len(_of(schema, "number", "boolean")) + len(_of(schema, "datetime")) * 8
    categories = list(range(numbers, numbers + len(_of(schema, "category"))))
    model = HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.08, categorical_features=categories or None, random_state=seed
    )
    return Pipeline([("columns", _encoded_trees(schema)), ("model", model)])


FAMILIES: dict[str, Callable[[Schema, int], Pipeline]] = {"mean": mean, "ridge": ridge, "boosting": boosting}


def build(spec: Mapping[str, Any], schema: Schema, *, seed: int) -> Pipeline:
    """Return the unfitted pipeline of a recorded choice, as in `{"family": "boosting", "params": {}}`."""
    return FAMILIES[spec["family"]](schema, seed)


def _encoded_linear(schema: Schema) -> ColumnTransformer:
    """Give numbers without gaps on one scale, and a column of zeros and ones for each category."""
    scaled = [SimpleImputer(strategy="median", add_indicator=True), StandardScaler()]
    one_hot = OneHotEncoder(handle_unknown="ignore", min_frequency=5, sparse_output=False)
    return _by_kind(
        ("numbers", make_pipeline(*scaled), _of(schema, "number", "boolean")),
        ("dates", make_pipeline(CalendarFeatures(), *scaled), _of(schema, "datetime")),
        ("categories", make_pipeline(CategoryText(), one_hot), _of(schema, "category")),
    )


def _encoded_trees(schema: Schema) -> ColumnTransformer:
    """Give numbers as they are and categories as codes, NaN where missing or unseen."""
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MOST_CATEGORIES
    )
    return _by_kind(
        ("numbers", "passthrough", _of(schema, "number", "boolean")),
        ("dates", CalendarFeatures(), _of(schema, "datetime")),
        ("categories", make_pipeline(CategoryText(), codes), _of(schema, "category")),
    )


def _by_kind(*steps: tuple[str, Any, list[str]]) -> ColumnTransformer:
    return ColumnTransformer([step for step in steps if step[2]], verbose_feature_names_out=False)


def _of(schema: Schema, *kinds: Kind) -> list[str]:
    return [column.name for column in schema.columns if column.kind in kinds]
