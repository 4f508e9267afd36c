"""A version put to the test on the rows that it, and the champion, held out: everything that the gate asks for.

Both are scored by their registered files, or by files of the same digest. Rows of one block (twins, a group) are taken
together, and rows of a time split by stretches of time; what a twin in the training rows gave away is said apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.figures import figure
from data.splits import split_table, weighting
from data.tables import Table
from serving.scorer import Scorer
from training.commands import Policy
from training.compiling import cost, pack_frame
from training.errors import WeightChanged
from training.gate import deciding, proof
from training.measuring import comparison, score
from training.records import ledger, model_registry
from training.weights import Weight, mean, of, relative

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """What the graph of a scorer predicts for some rows of a table: whoever has asked it hands the answers on.

    Attributes
    ----------
    digest : str
        Of the scorer's files.
    rows : bool array of shape (n_rows,)
        Which rows of the table were asked, all of them in one call: the last bits depend on that.
    predictions : float64 array of shape (n_asked,)
    """

    digest: str
    rows: NDArray[np.bool_]
    predictions: Floats

    def by(self, version: model_registry.Version, rows: NDArray[np.bool_]) -> Floats | None:
        """Return what a version predicts for exactly these rows; None where that was not asked."""
        is_known = self.digest == version.digest and np.array_equal(self.rows, rows)
        return self.predictions if is_known else None


@dataclass(frozen=True)
class Trial:
    """The rows and both models' predictions on them; arrays of shape (n_rows,).

    Attributes
    ----------
    clusters : int array
        Rows with the same number err together.
    moments : float array or None
        Seconds since 1970 in a time split.
    twins : bool array
        Rows with the same features as a training row.
    training_mean : float
        Of the target, weighted: the simplest model. An adopted model left no training rows: the mean of those at hand.
    """

    version: model_registry.Version
    champion: model_registry.Version | None
    rows: Table
    actual: Floats
    ours: Floats
    theirs: Floats | None
    clusters: NDArray[np.int64]
    moments: Floats | None
    twins: NDArray[np.bool_]
    training_mean: float
    weight: Weight = None

    @classmethod
    def of(
        cls,
        version: model_registry.Version,
        champion: model_registry.Version | None,
        table: Table,
        answered: Answered | None = None,
    ) -> Trial:
        """Score the shared held-out rows of a table; raises TrainingError or DataError where that cannot be done."""
        check_same_weight(version, champion)
        split, counts = split_table(table, version.split), weighting.counted(table, version.weight)
        shared = version.held_out(table) & counts
        if champion is not None:
            shared &= champion.held_out(table)
        rows, training = table.take(shared), split.mask("train") & counts & ~shared
        moments = None if split.moments is None else split.moments[shared]
        target = table.numbers(version.target)
        weights = table.numbers(version.weight) if version.weight else None
        learned = training if training.any() else shared
        ours = answered.by(version, shared) if answered else None
        if ours is None:
            ours = version.predict(rows.frame) if shared.any() else target[shared]
        return cls(
            version=version,
            champion=champion,
            rows=rows,
            actual=target[shared],
            ours=ours,
            theirs=champion.predict(rows.frame) if champion is not None and shared.any() else None,
            clusters=comparison.clusters_of(split, shared),
            moments=moments,
            twins=comparison.twins(table, split, version.schema.names, shared, training),
            training_mean=mean(target[learned], relative(of(weights, learned))) if learned.any() else np.nan,
            weight=relative(of(weights, shared)),
        )

    @property
    def unit(self) -> str:
        """The target's unit, or nothing."""
        return self.version.schema.target_unit or ""

    def decision(self, policy: Policy, history: ledger.History) -> deciding.Decision:
        """Let the gate decide on everything that can be measured here."""
        ours, baseline = (
            score(self.actual, self.ours, self.weight),
            self.rmse(self.training_mean),
        )
        checks = [deciding.beats_baseline(ours.rmse, baseline, self.unit), *self.proofs()]
        if self.champion is None or self.theirs is None:
            by = self.version.weight
            return deciding.decide(policy, checks, change=None, slices=[], name=self.version.name, weight=by)
        checks.append(deciding.accepts_requests(self.version.schema, self.champion.schema, policy))
        return deciding.decide(
            policy,
            checks,
            change=comparison.compare(self.actual, self.ours, self.theirs, self.clusters, self.weight),
            slices=self.slices(self.theirs),
            champion=score(self.actual, self.theirs, self.weight),
            champion_version=self.champion.number,
            unit=self.unit,
            weight=self.version.weight,
            notes=[*self.twins_in_words(), decisions_in_words(history)],
        )

    def slices(self, theirs: Floats) -> list[comparison.Slice]:
        """Compare the two on parts of the rows."""
        frame = self.rows.frame[list(self.version.schema.names)]
        masks = dict(comparison.slices(frame, self.moments))
        return comparison.compare_slices(
            self.actual,
            self.ours,
            theirs,
            masks,
            limit=deciding.SLICE_LIMIT,
            clusters=self.clusters,
            weight=self.weight,
        )

    def rmse(self, predicted: Floats | float, rows: NDArray[np.bool_] | slice = slice(None)) -> float:
        """Return the weighted error of predictions on some of the rows."""
        squared = np.square(predicted - self.actual)[rows]
        return float(np.sqrt(mean(squared, None if self.weight is None else self.weight[rows])))

    def proofs(self) -> list[deciding.Check]:
        """Hold the registered files to each other, and to what serving was promised."""
        frame = self.rows.frame[list(self.version.schema.names)].head(proof.MOST_ROWS).reset_index(drop=True)
        stock, spread = self.version.predict_with_stock_mlflow(frame), float(np.std(self.actual))
        served = proof.served_predictions(self.version.folder, frame, self.version.schema.readings)
        furthest = max(proof.distance(answer, stock, spread) for answer in served.values())
        folder = self.version.scorer_folder
        megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        scorer = Scorer.load(folder)
        apart = proof.distance(scorer.predict(pack_frame(frame, scorer.schema)), stock, spread)
        tolerance = scorer.document.parity.tolerance
        formats = f"the server in {len(served)} formats and stock MLflow, {len(stock):,} rows"
        return [
            deciding.agrees("scorer and stock MLflow", apart, tolerance),
            deciding.agrees(formats, furthest, tolerance),
            *deciding.fits_budgets(
                cost.row_microseconds(scorer.predict, scorer.golden.matrix[:1]), megabytes
            ),
        ]

    def twins_in_words(self) -> list[str]:
        """Say what the errors are on rows that training had no twin of."""
        alone = ~self.twins
        if alone.all() or not alone.any() or self.theirs is None:
            return [] if alone.all() else ["every row has a twin in training"]
        ours, theirs = self.rmse(self.ours, alone), self.rmse(self.theirs, alone)
        return [
            f"on the {int(alone.sum()):,} rows without a twin in training RMSE is {figure(ours, self.unit)}, "
            f"the champion's {figure(theirs, self.unit)}"
        ]


def check_same_weight(version: model_registry.Version, champion: model_registry.Version | None) -> None:
    """Raise WeightChanged where the champion counts rows otherwise; of an adopted model nobody knows."""
    if champion is None or champion.adopted or champion.weight == version.weight:
        return
    raise WeightChanged(
        name=version.name, version=champion.number, stored=champion.weight, asked=version.weight
    )


def decisions_in_words(history: ledger.History) -> str:
    """Say how often this holdout was used: the promise of the interval is for one decision."""
    earlier = sum(entry.kind in ("promotion", "refusal") for entry in history.entries)
    return f"decision {earlier + 1} on this holdout: each has its own 2.5 % chance to find a model better that is not"
