"""What a run says of itself: sentences, figures with units, plots, importances.

Words and numbers for people; nothing here is read back by a program.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data.figures import alike, figure, with_unit
from data.schema import Schema
from training.compiling import versions
from training.measuring import Assessment, Evaluation, comparison
from training.pages.drawings import plots
from training.rows import PreparedTable
from training.search import Standing, Winner

MOST_SLICES = 18
"""Shown in the card, the largest errors first; the table has all."""


def day(moment: float) -> str:
    """Return the date of seconds since 1970.

    >>> day(86400.0)
    '1970-01-02'
    """
    return str(np.datetime64(int(moment), "s").astype("datetime64[D]"))


def weighted_by(column: str) -> str:
    """Say what figures are weighted by, after them; nothing where all rows count the same."""
    return f", weighted by {column}" if column else ""


def summary(
    schema: Schema, winner: Winner, evaluation: Evaluation, assessment: Assessment, weight: str = ""
) -> str:
    """Say in one line what the model is and how good."""
    count, error = len(schema.columns), assessment.holdout.figures["rmse"]
    return (
        f"{winner.family} on {count} {'column' if count == 1 else 'columns'}; "
        f"typical error (holdout RMSE{weighted_by(weight)}) {interval(error, schema.target_unit)}, "
        f"mean alone {figure(evaluation.baseline.rmse, schema.target_unit)}"
    )


def sample_in_words(winner: Winner, rows: PreparedTable) -> str:
    """Say that the model learned a sample of the training rows, or all in parts; nothing where it learned all."""
    everything = rows.counts["train"]
    if winner.rows == everything:
        return _in_parts(winner) if rows.everything else ""
    return f"{winner.family} learned from a sample of {winner.rows:,} of the {everything:,} training rows"


def _in_parts(winner: Winner) -> str:
    """Say that the model learned all rows of a large table, and what of it did not."""
    kept = "codes of categories" if winner.family == "lightgbm" else "medians, scales and penalty"
    return f"{winner.family} learned all {winner.rows:,} training rows in parts; its {kept} are those of the sample"


def standing_in_words(standing: Standing, unit: str | None = None) -> str:
    """Say how far a search is.

    >>> standing_in_words(Standing(trials=31))
    '31 settings'
    """
    words = f"{standing.trials} settings"
    if standing.best is None:
        return words
    count, best = standing.families, standing.best
    return (
        f"{words} of {count} {'family' if count == 1 else 'families'}, best so far: {best.family} "
        f"{figure(best.cv_rmse, unit)} on {standing.rows:,} rows"
    )


def line(winner: Winner, schema: Schema) -> dict[str, float]:
    """Return w and b of y = wx + b as metrics where the model is such a line, and nothing otherwise."""
    if winner.spec != {"family": "ridge", "params": {}} or [column.kind for column in schema.columns] != [
        "number"
    ]:
        return {}
    at = pd.DataFrame({schema.names[0]: [0.0, 1.0]})
    intercept, at_one = winner.fitted.predict(at)
    return {"slope": float(at_one - intercept), "intercept": float(intercept)}


def versions_in_words() -> str:
    """Name the packages that made the model, as in `python 3.11, numpy 2.4.6`."""
    return ", ".join(f"{package} {version}" for package, version in versions().items())


def interval(found: comparison.Interval, unit: str | None = None) -> str:
    """Write a figure with its interval, or say that there is none.

    >>> interval(Interval(17.23456, 16.9, 17.57), "min")
    '17.23 [16.90, 17.57] min'
    """
    if not math.isfinite(found.half):
        return f"{figure(found.value, unit)} (too few rows for an interval)"
    value, low, high = alike(found.value, found.low, found.high, doubt=found.half)
    return with_unit(f"{value} [{low}, {high}]", unit)


def target_with_unit(schema: Schema) -> str:
    """Return what plots call the target."""
    return plots.as_text(f"{schema.target} [{schema.target_unit}]" if schema.target_unit else schema.target)


def figures(schema: Schema, evaluation: Evaluation, assessment: Assessment) -> dict[str, Figure]:
    """Return the plots of the errors by file name."""
    target = target_with_unit(schema)
    actual, predicted = evaluation.actual, evaluation.predicted
    drawn = {
        "predicted_against_actual": plots.predicted_against_actual(actual, predicted, target=target),
        "residuals_by_predicted": plots.residuals_by_predicted(actual, predicted, target=target),
        "residual_histogram": plots.residual_histogram(actual, predicted, target=target),
    }
    sure = [part for part in assessment.slices if math.isfinite(part.figures["rmse"].half)]
    if sure:
        shown = [assessment.holdout, *sure[:MOST_SLICES]]
        places = [(part.name, part.figures["rmse"]) for part in shown]
        drawn["slices"] = plots.slices(
            [(name, at.value, at.low, at.high) for name, at in places], target=target
        )
    if assessment.curve:
        drawn["learning_curve"] = plots.learning_curve(
            assessment.curve.sizes, assessment.curve.rmse, target=target
        )
    return drawn
