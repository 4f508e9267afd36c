"""LightGBM's models that were fitted elsewhere, as the text that a version may hold: no pickle, and what compiles.

A model that was fitted on pandas' own categories knows them by their place among them. It gets an encoder before it
that gives these places, so that it takes the text of a request.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from training.lightgbm_text import LightGBMRegressor


def with_texts(model: Any) -> Any:
    """Return a model whose parts of LightGBM are texts; raises ValueError where one has no exact form."""
    return _replaced(model, {}) if "lightgbm" in sys.modules else model  # else none of it was in the file


def _replaced(value: Any, done: dict[int, Any]) -> Any:
    """Return what stands for a part: a text, or the part itself, whose own parts were replaced."""
    if id(value) in done:
        return done[id(value)]
    if (made := _text_of(value)) is not None:
        done[id(value)] = made
        return made
    done[id(value)] = value
    if isinstance(value, BaseEstimator):
        for name, part in list(vars(value).items()):
            setattr(value, name, _replaced(part, done))
    elif isinstance(value, dict):
        value.update({name: _replaced(part, done) for name, part in value.items()})
    elif type(value) in (list, tuple):
        return type(value)(_replaced(part, done) for part in value)
    return value


def with_codes(model: Any, frame: pd.DataFrame) -> Any:
    """Return a model of pandas' categories behind their encoder, for rows with its columns in order.

    Raises
    ------
    ValueError
        The rows' columns of text are not as many as those that it was fitted on.
    """
    known = getattr(model, "pandas_categories", None)
    if not known:
        return model
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    if len(texts) != len(known):
        raise ValueError(
            f"it was fitted on {len(known)} columns of categories, the rows have {len(texts)} of text"
        )
    if strange := [value for values in known for value in values if not isinstance(value, str)]:
        raise ValueError(f"it was fitted on the category {strange[0]!r}, a category is text here")
    del model.pandas_categories
    values = dict(zip(texts, known, strict=True))
    steps = [(str(index), _encoder(values.get(name)), [name]) for index, name in enumerate(frame)]
    return make_pipeline(ColumnTransformer(steps).fit(frame), model)


def with_names_of(model: Any, columns: Sequence[str]) -> Any:
    """Return a model that calls its columns as the rows do: LightGBM writes "living_area" for "living area"."""
    if isinstance(model, LightGBMRegressor) and hasattr(model, "feature_names_in_"):
        written = {name.replace(" ", "_"): name for name in columns} | {name: name for name in columns}
        names = [written.get(name, name) for name in model.feature_names_in_]
        model.feature_names_in_ = np.asarray(names, dtype=object)
    return model


def _encoder(known: list[str] | None) -> Any:
    if known is None:
        return "passthrough"
    return OrdinalEncoder(
        categories=[np.array(known, dtype=object)],
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
    )


def _text_of(model: Any) -> LightGBMRegressor | None:
    """Return a model of LightGBM's as text, None for any other."""
    import lightgbm  # noqa: PLC0415 - it is there, the file named it

    if isinstance(model, lightgbm.LGBMRegressor):
        return _as_text(model.booster_) if model.__sklearn_is_fitted__() else LightGBMRegressor()
    return _as_text(model) if isinstance(model, lightgbm.Booster) else None


def _as_text(booster: Any) -> LightGBMRegressor:
    made = LightGBMRegressor.of(booster)
    names = booster.feature_name()
    if names != [f"Column_{index}" for index in range(len(names))]:
        made.feature_names_in_ = np.asarray(names, dtype=object)
    if booster.pandas_categorical:
        made.pandas_categories = booster.pandas_categorical
    return made
