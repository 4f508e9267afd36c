"""A model that learned a sample of a large table learns all of its rows.

Linear models do, and LightGBM's trees (`training.models.all_rows.trees`). What stands before the line (medians,
scales, the columns of categories) stays the sample's, and so does the penalty; the line itself is that of all rows. Its
sums are exact: each number is a whole multiple of 2^-40, in three parts of 18 bits, so that no sum of products of so
many rows at once goes beyond 2^53. So neither the rows' order nor their parts change a bit of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from training.lightgbm_text import LightGBMRegressor
from training.models.all_rows import trees as all_trees

Floats = NDArray[np.float64]
Parts = Callable[[], Iterator[tuple[pd.DataFrame, Floats]]]

FRACTION, BITS, LARGEST, AT_ONCE = 40, 18, 2.0**14, 2**17
"""Bits behind the point, bits of a part, the largest number that can be summed, and rows that are at once."""

MOST_COLUMNS = 100
"""Of a line whose sums are taken: their cost is quadratic."""

TRIED_ROWS = 20_000
"""Of the sample, to know by how long all rows will take."""


class Elsewhere(Protocol):
    """Who reads all rows in place of this process."""

    def sums(self, fitted: Any, sample: Floats) -> Sums | None:
        """Return the sums of what a fitted line sees, given the target of the sample too."""

    def seen(self, fitted: Any) -> Iterator[tuple[Floats, Floats]]:
        """Yield the columns that fitted trees see and their target, in the order of the rows."""


@dataclass(frozen=True)
class AllRows:
    """All training rows of a table, read anew each time they are asked for: features, and the target.

    Attributes
    ----------
    reading_seconds : float
        That reading them takes; nothing where memory holds them.
    room : float
        Bytes of memory that learning them may take.
    """

    count: int
    parts: Parts
    reading_seconds: float = 0.0
    elsewhere: Elsewhere | None = None
    room: float = np.inf

    def sums(self, fitted: Any, sample: Floats) -> Sums | None:
        """Return the sums of what a fitted line sees of all rows; None where a number is too large for them."""
        if self.elsewhere:
            return self.elsewhere.sums(fitted, sample)
        return sums_of(fitted, self.parts(), sample)

    def seen(self, fitted: Any) -> Iterable[tuple[Floats, Floats]]:
        """Yield the columns that fitted trees see of all rows, and their target."""
        return self.elsewhere.seen(fitted) if self.elsewhere else seen_by(fitted, self.parts())


def can_learn_all(fitted: Any) -> bool:
    """Return whether a fitted model is one that can."""
    return is_line(fitted) or _trees_of(fitted) is not None


def is_line(fitted: Any) -> bool:
    """Return whether a fitted model is one that learns by sums."""
    return _line_of(fitted)[1] is not None


def has_room(fitted: Any, rows: AllRows) -> bool:
    """Return whether all rows can be learned in the memory that there is for it."""
    trees = _trees_of(fitted)
    return trees is None or all_trees.bytes_for(rows.count, trees.n_features_in_) <= rows.room


def seconds_for(fitted: Any, rows: AllRows, frame: pd.DataFrame, target: Floats) -> float:
    """Return how long a fitted model that can learn all rows will take, by some of its sample."""
    frame, target = frame[:TRIED_ROWS], target[:TRIED_ROWS]
    began = time.perf_counter()
    sums_of(fitted, [(frame, target)], target)
    return rows.reading_seconds + (time.perf_counter() - began) * rows.count / len(target)


def learn_all(fitted: Any, rows: AllRows, sample: Floats, *, until: float = np.inf) -> bool:
    """Let a fitted model learn all rows, and return whether it did; one that cannot stays as it is.

    Parameters
    ----------
    sample : float64 array of shape (n_sample,)
        The target that the model learned: its middle and its width keep the sums small.
    until : float
        Trees that are not finished at that moment, by `time.perf_counter`, are given up.
    """
    trees = _trees_of(fitted)
    if trees is not None:
        return all_trees.learn(trees, rows.seen(fitted), until=until)
    _, model, scale = _line_of(fitted)
    sums = None if model is None else rows.sums(fitted, sample)
    if model is None or sums is None:
        return False
    middle, width = _middle_and_width(scale(sample))
    with threadpool_limits(1):
        means, coefficients = sums.line(float(model.alpha_))
    model.coef_ = coefficients * width
    model.intercept_ = float(middle + width * means[-1] - means[:-1] @ model.coef_)
    return True


def sums_of(fitted: Any, parts: Iterable[tuple[pd.DataFrame, Floats]], sample: Floats) -> Sums | None:
    """Return the sums of what a line sees; None where a number is too large for them."""
    front, model, scale = _line_of(fitted)
    assert model is not None
    middle, width = _middle_and_width(scale(sample))
    sums = Sums(len(model.coef_) + 2)
    for frame, target in parts:
        columns = _seen(front, frame)
        seen = np.column_stack([columns, (scale(target) - middle) / width, np.ones(len(target))])
        with threadpool_limits(1):  # on two cores of a busy machine 23 µs a row, on one 9
            if not sums.add(seen):
                return None
    return sums


def seen_by(fitted: Any, parts: Iterable[tuple[pd.DataFrame, Floats]]) -> Iterator[tuple[Floats, Floats]]:
    """Yield the columns that the model at the end sees, and the target on its scale."""
    front, _, scale = _end_of(fitted)
    for frame, target in parts:
        if len(target):
            yield _seen(front, frame), scale(target)


def _middle_and_width(scaled: Floats) -> tuple[float, float]:
    return float(scaled.mean()), float(scaled.std()) or 1.0


def _seen(steps: list[Any], frame: pd.DataFrame) -> Floats:
    """Return the columns that stand behind some steps."""
    values: Any = frame
    for step in steps:
        values = step.transform(values)
    return np.asarray(values, dtype=np.float64)


def _trees_of(fitted: Any) -> LightGBMRegressor | None:
    last = _end_of(fitted)[1]
    return last if isinstance(last, LightGBMRegressor) else None


def _line_of(fitted: Any) -> tuple[list[Any], RidgeCV | None, Callable[[Floats], Floats]]:
    """Return the steps before the line, the line where it is one, and the scale on which it sees the target."""
    front, last, scale = _end_of(fitted)
    is_narrow = isinstance(last, RidgeCV) and len(last.coef_) <= MOST_COLUMNS
    return front, last if is_narrow else None, scale


def _end_of(fitted: Any) -> tuple[list[Any], Any, Callable[[Floats], Floats]]:
    """Return the steps before the model at the end, that model, and the scale on which it sees the target."""
    scale: Callable[[Floats], Floats] = _as_it_is
    if isinstance(fitted, TransformedTargetRegressor):
        transformer = fitted.transformer_
        scale = lambda target: np.asarray(transformer.transform(target[:, None])).ravel()  # noqa: E731
        fitted = fitted.regressor_
    *front, last = _flat(fitted)
    return front, last, scale


def _as_it_is(target: Floats) -> Floats:
    return target


def _flat(model: Any) -> Iterator[Any]:
    for step in [step for _, step in model.steps] if isinstance(model, Pipeline) else []:
        yield from _flat(step)
    if not isinstance(model, Pipeline):
        yield model


class Sums:
    """Sums of products of columns, exact."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._high = np.zeros((3 * columns, 3 * columns), dtype=np.int64)
        self._low = np.zeros_like(self._high)

    def add(self, rows: Floats) -> bool:
        """Add rows of shape (n_rows, n_columns), the last column ones; return whether all can be summed."""
        if not (np.abs(rows) < LARGEST).all():  # NaN neither
            return False
        for start in range(0, len(rows), AT_ONCE):
            whole = np.rint(rows[start : start + AT_ONCE] * 2.0**FRACTION)
            first = np.rint(whole / 2.0 ** (2 * BITS))
            rest = whole - first * 2.0 ** (2 * BITS)
            second = np.rint(rest / 2.0**BITS)
            parts = np.hstack([first, second, rest - second * 2.0**BITS])
            products = (parts.T @ parts).astype(np.int64)
            self._high += products >> 32
            self._low += products & 0xFFFFFFFF
        return True

    def with_more(self, other: Sums) -> Sums:
        """Add what others have summed, and return these."""
        self._high += other._high
        self._low += other._low
        return self

    def products(self) -> NDArray[np.object_]:
        """Return the sums of products as whole numbers, in 2^-80, of shape (n_columns, n_columns)."""
        exact = self._high.astype(object) * 2**32 + self._low.astype(object)
        weights = np.repeat(np.array([2 ** (2 * BITS), 2**BITS, 1], dtype=object), self._columns)
        weighted = exact * weights[:, None] * weights[None, :]
        folded = weighted.reshape(3, self._columns, 3, self._columns).sum(axis=(0, 2))
        return np.asarray(folded, dtype=object)

    def line(self, penalty: float) -> tuple[Floats, Floats]:
        """Return the means of columns and target, and the coefficients of the line with a quadratic penalty.

        Those of the columns but the last two, which are the target and ones.
        """
        products = self.products()
        one = 2 ** (2 * FRACTION)
        count = products[-1, -1] // one
        sums = products[-1, :-1]
        centred = products[:-1, :-1] * count * one - np.outer(sums, sums)
        spread = np.array(
            [[value / (count * one * one) for value in row] for row in centred], dtype=np.float64
        )
        means = np.array([value / (count * one) for value in sums], dtype=np.float64)
        normal = spread[:-1, :-1] + penalty * np.eye(self._columns - 2)
        return means, np.asarray(solve(normal, spread[:-1, -1], assume_a="pos"))
