"""Which columns matter to a new version, and what they do: measured within a time, logged, drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from matplotlib.figure import Figure

from data.facts import FactError
from data.splits import Side
from serving.scorer import Floats, Scorer
from training.measuring import importance
from training.pages import report
from training.pages.drawings import column_plots
from training.records import Job
from training.rows import PreparedTable
from training.search import Winner

IMPORTANCE_SHARE, LEAST_IMPORTANCE_SECONDS = 0.05, 2.0
"""Of the time budget for measuring which columns the errors hang on, and at least."""

CONTRIBUTIONS_SHARE, LEAST_CONTRIBUTIONS_SECONDS = 0.05, 0.5
"""For what columns add to predictions: no more than is left for measuring, and at least so long."""

STRONGEST = 4


@dataclass(frozen=True)
class Columns:
    """What is known of the columns.

    Attributes
    ----------
    figures : mapping of str to Figure
        By file name.
    contributions : importance.Contributions or None
        None where the version has no reasons, or the time was too short.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    contributions: importance.Contributions | None = None


def measure(job: Job, rows: PreparedTable, winner: Winner, scorer: Scorer, holdout: Floats) -> Columns:
    """Log which columns matter as a table and plots; the holdout is packed, of shape (n_rows, n_columns)."""
    result = _importance(job, rows, winner)
    added = _contributions(job, holdout, scorer)
    table = result.as_table()
    if added:
        table["mean_contribution"] = table["column"].map(added.means)
    job.run.log_table("importance", table)
    target = report.target_with_unit(rows.schema)
    means = added.means if added else None
    drawn = {"permutation_importance": column_plots.importance(result.drops, means, target=target)}
    if added and (names := added.strongest(STRONGEST)):
        drawn["dependence"] = column_plots.dependence(
            [_against_values(added, rows.schema.names.index(name), rows) for name in names], target=target
        )
    job.run.log_figures(drawn)
    return Columns(drawn, added)


def _against_values(added: importance.Contributions, place: int, rows: PreparedTable) -> column_plots.Against:
    return rows.schema.columns[place], added.matrix[:, place], added.shares[:, place]


def _importance(job: Job, rows: PreparedTable, winner: Winner) -> importance.Importance:
    side: Side = "calibration" if rows.split.counts["calibration"] >= 2 else "train"
    result = importance.importance(
        winner.compiled.graph,
        rows.frame(side),
        rows.target(side),
        rows.schema,
        seed=job.config.seed,
        seconds=max(IMPORTANCE_SHARE * job.budget.seconds, LEAST_IMPORTANCE_SECONDS),
        weight=rows.weight(side),
    )
    if result.left_out:
        job.say("warning", f"importance: the time was too short for {result.left_out:,} of the columns")
    return result


def _contributions(job: Job, holdout: Floats, scorer: Scorer) -> importance.Contributions | None:
    """Return what columns add on rows of the holdout; says why where that is left out."""
    if not job.config.explain:
        return None
    most = max(CONTRIBUTIONS_SHARE * job.budget.seconds, LEAST_CONTRIBUTIONS_SECONDS)
    seconds = max(min(most, job.budget.left("measure")), LEAST_CONTRIBUTIONS_SECONDS)
    try:
        added = importance.contributions(scorer, holdout, seconds=seconds)
    except FactError as error:
        job.say("warning", f"contributions of the columns are left out: {error}")
        return None
    if added is None:
        job.say("warning", "contributions of the columns are left out: the time was too short for them")
    return added
