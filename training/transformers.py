"""The two feature steps that scikit-learn lacks. This file travels inside each registered version.

It is copied into the version's `code/` folder, so that stock MLflow can load the model without
Slipway: it may import numpy, pandas and scikit-learn, and nothing of ours.

Date text is ISO 8601. A time zone's offset is applied and the instant taken in UTC; text without
one is taken as it stands.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

CALENDAR = ("year", "month", "day", "weekday", "day_of_year", "hour", "minute", "days")


class CategoryText(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Make every missing category NaN.

    A JSON null reaches the pipeline as None where the whole column is null and as NaN where it is
    not (tried on MLflow 3.17), and scikit-learn's encoders tell the two apart: without this step a
    row's prediction would depend on the rows it was sent with.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Learn nothing but the columns' names."""
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the same columns as objects: str, or NaN where missing."""
        values = X.astype(object)
        return values.where(values.notna(), np.nan)


class CalendarFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn columns of ISO 8601 text into numbers that a model can use.

    Each column of shape (n_rows,) becomes eight float64 columns: year, month (1 to 12), day
    (1 to 31), weekday (Monday is 0), day of year (1 to 366), hour, minute, and days since
    1970-01-01 with its fraction. A missing date gives eight NaN. Text that is no date raises
    ValueError, as any other estimator does on values it cannot use.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Learn nothing but the columns' names."""
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return a float64 array of shape (n_rows, 8 * n_columns)."""
        return np.hstack([calendar(X.iloc[:, place]) for place in range(X.shape[1])])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the outputs `<column>_<part>`."""
        names = self.feature_names_in_ if input_features is None else input_features
        return np.asarray([f"{name}_{part}" for name in names for part in CALENDAR], dtype=object)


def seconds(texts: pd.Series) -> NDArray[np.float64]:
    """Return seconds since 1970-01-01T00:00:00, NaN where missing; raises ValueError on text that is no date."""
    instants = pd.to_datetime(texts.astype(object), format="ISO8601", utc=True)
    microseconds = instants.to_numpy(dtype="datetime64[us]")
    counted = microseconds.astype("int64") / 1e6
    return np.where(np.isnat(microseconds), np.nan, counted)


def calendar(texts: pd.Series) -> NDArray[np.float64]:
    """Return the eight numbers of `CALENDAR` for each text, float64 of shape (n_rows, 8)."""
    moments = seconds(texts)
    missing = np.isnan(moments)
    when = pd.DatetimeIndex(np.where(missing, 0.0, np.round(moments * 1e6)).astype("datetime64[us]"))
    parts = np.column_stack(
        [
            when.year,
            when.month,
            when.day,
            when.day_of_week,
            when.day_of_year,
            when.hour,
            when.minute,
            moments / 86400.0,
        ]
    ).astype(np.float64)
    parts[missing] = np.nan
    return parts
