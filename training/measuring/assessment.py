"""How sure are the holdout's figures: intervals, parts of the rows, rows without a twin, and what more rows bring.

Twins, groups and stretches of time are drawn whole (`training.measuring.comparison`). Each interval holds for its own
figure: of forty slices two lie outside theirs by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.measuring import comparison, learning_curve
from training.measuring.comparison import Change, Figures
from training.measuring.scores import Evaluation
from training.rows import PreparedTable
from training.search import Winner
from training.weights import of

SHARE_OF_SEARCH = 0.2
LEAST_SECONDS = 3.0
"""The learning curve may take this share of the search's time, and this much in any case."""


@dataclass(frozen=True)
class HoldoutErrors:
    """The errors on some of the holdout rows."""

    name: str
    rows: int
    figures: Figures


@dataclass(frozen=True)
class Assessment:
    """The holdout's figures with their doubt.

    Attributes
    ----------
    holdout : HoldoutErrors
        All rows.
    alone : HoldoutErrors or None
        Those whose features no training row has; None where these are all rows, or too few.
    slices : tuple of HoldoutErrors
        The largest RMSE first.
    beside_mean : Change
        Against the training mean.
    curve : Curve or None
        None where the training rows are too few.
    """

    holdout: HoldoutErrors
    alone: HoldoutErrors | None
    slices: tuple[HoldoutErrors, ...]
    beside_mean: Change
    curve: learning_curve.Curve | None

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under their MLflow names."""
        metrics = comparison.standard_errors("holdout", self.holdout.figures)
        for name in ("rmse", "mae"):
            result = self.holdout.figures[name]
            if np.isfinite(result.half):
                metrics |= {f"holdout_{name}_low": result.low, f"holdout_{name}_high": result.high}
        if self.alone:
            metrics |= {
                "holdout_without_twins_rmse": self.alone.figures["rmse"].value,
                "rows_holdout_without_twins": float(self.alone.rows),
            }
        if self.curve:
            last = self.curve.last
            metrics["rmse_change_of_last_doubling"] = last.change
            if self.curve.reaches:  # a retraining goes by its interval
                metrics |= {
                    "rmse_change_of_last_doubling_low": last.low,
                    "rmse_change_of_last_doubling_high": last.high,
                }
        return metrics

    def slice_table(self) -> pd.DataFrame:
        """Return the slices as a table."""
        return pd.DataFrame(
            [
                {"slice": part.name, "rows": part.rows}
                | {
                    f"{name}{end}": value
                    for name, result in part.figures.items()
                    for end, value in (("", result.value), ("_low", result.low), ("_high", result.high))
                }
                for part in self.slices
            ]
        )


def assess(
    rows: PreparedTable, winner: Winner, evaluation: Evaluation, *, seed: int, seconds: float
) -> Assessment:
    """Measure how sure the holdout's figures are; the model is fixed by now.

    The learning curve may take so many seconds, and no more than its share of the search's.
    """
    actual, predicted = evaluation.actual, evaluation.predicted
    held_out = rows.split.mask("holdout")
    clusters, weight = comparison.clusters_of(rows.split, held_out), rows.weight("holdout")

    def part(name: str, mask: np.typing.NDArray[np.bool_], **redraws: int) -> HoldoutErrors:
        result = comparison.estimate(
            actual[mask], predicted[mask], clusters[mask], of(weight, mask), **redraws
        )
        return HoldoutErrors(name, int(mask.sum()), result)

    few = {"resamples": comparison.SLICE_RESAMPLES, "most_clusters": comparison.MOST_OF_SLICE}
    training = rows.split.mask("train")
    alone = ~comparison.twins(rows.checked.table, rows.split, rows.schema.names, held_out, training)
    moments = None if rows.split.moments is None else rows.split.moments[held_out]
    slices = [part(name, mask, **few) for name, mask in comparison.slices(rows.frame("holdout"), moments)]
    mean = winner.baseline.predict(rows.frame("holdout"))
    return Assessment(
        holdout=part("all rows", np.ones(len(actual), dtype=bool)),
        alone=part("rows without a twin in training", alone, **few)
        if 2 <= alone.sum() < len(alone)
        else None,
        slices=tuple(sorted(slices, key=lambda part: -part.figures["rmse"].value)),
        beside_mean=comparison.compare(actual, predicted, mean, clusters, weight),
        curve=_curve(
            rows, winner, seed, min(seconds, max(SHARE_OF_SEARCH * winner.choice.seconds, LEAST_SECONDS))
        ),
    )


def _curve(rows: PreparedTable, winner: Winner, seed: int, seconds: float) -> learning_curve.Curve | None:
    training = rows.split.mask("train")
    return learning_curve.measure(
        winner.fitted,
        rows.frame("train"),
        rows.target("train"),
        rows.split.folds(5),
        clusters=np.unique(rows.split.blocks[training], return_inverse=True)[1].astype(np.int64),
        budget=seconds,
        seconds_a_row=winner.fit_seconds / winner.fitted_on,
        seed=seed,
        weight=rows.weight("train"),
    )
