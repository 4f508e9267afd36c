"""What stands beside a row once it is scored: its prediction, its interval's ends, what each column adds.

One block of rows at a time, whatever brought it and wherever it goes: a file, a part of one, an executor of Spark's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from serving.rows import coercion
from serving.scorer import Floats, Scorer

PREDICTION = "prediction"
ADDED = (PREDICTION, "lower", "upper")
"""The columns that the output has beside the input's."""


@dataclass(frozen=True)
class Options:
    """What is asked of each row.

    Attributes
    ----------
    coverage : float, optional
        Of the interval whose ends are written beside each prediction.
    explain : bool
        Write the base and what each column adds beside each prediction.
    null_on_fault : bool
        Leave the prediction of a row that cannot be used empty, in place of refusing all.
    """

    coverage: float | None = None
    explain: bool = False
    null_on_fault: bool = False

    def columns(self, scorer: Scorer) -> tuple[str, ...]:
        """Return the names of all that is written, where the input has none of them; raises NotExplained."""
        ends = ADDED[: 1 if self.coverage is None else len(ADDED)]
        return (*ends, *contributions(scorer)) if self.explain else ends

    def names(self, taken: Sequence[str], scorer: Scorer) -> list[str]:
        """Return the names of all that is written, beside those of the input."""
        more = contributions(scorer) if self.explain else ()
        ours = names_beside(taken, more)
        return [*ours[: 1 if self.coverage is None else len(ADDED)], *ours[len(ADDED) :]]


def contributions(scorer: Scorer) -> tuple[str, ...]:
    """Return the names of the columns that explain; raises NotExplained."""
    scorer.explainer()
    return ("base", *(f"contribution_{name}" for name in scorer.schema.names))


def with_predictions(
    batch: pa.RecordBatch, scorer: Scorer, packed: coercion.Packed, options: Options, *, typed: bool
) -> pa.RecordBatch:
    """Return the batch with its predictions; `typed` makes numbers of those that came as text."""
    columns, names = list(batch.columns), list(batch.schema.names)
    if typed:
        for index, column in enumerate(scorer.schema.columns):
            if column.kind == "number":
                values = packed.matrix[:, index]
                columns[names.index(column.name)] = pa.array(values, mask=np.isnan(values))
    new = [pa.array(values, mask=packed.faulty) for values in _outputs(scorer, packed.matrix, options)]
    return pa.RecordBatch.from_arrays([*columns, *new], names=[*names, *options.names(names, scorer)])


def _outputs(scorer: Scorer, matrix: Floats, options: Options) -> list[Floats]:
    if options.coverage is None:
        outputs = [scorer.predict(matrix)]
    else:
        bounds = scorer.predict_interval(matrix, options.coverage)
        outputs = [bounds.predictions, bounds.lower, bounds.upper]
    if options.explain:
        reasons = scorer.explainer().explain(matrix)
        outputs += [np.full(len(matrix), reasons.base), *reasons.shares.T]
    return outputs


def names_beside(names: Sequence[str], more: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what the columns of a prediction and its interval are called beside these: numbered where one is taken.

    Capitals do not tell them apart: databases do not, either.

    >>> names_beside(["x", "Lower"])
    ('prediction_2', 'lower_2', 'upper_2')
    """
    plain: tuple[str, ...] = (*ADDED, *more)
    ours = plain
    taken, number = {name.casefold() for name in names}, 1
    while taken & {name.casefold() for name in ours}:
        number += 1
        ours = tuple(f"{name}_{number}" for name in plain)
    return ours
