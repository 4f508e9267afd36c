"""The model's page, `card.html`, and its short form on the registered version.

The template holds the sections in their order; here each is a function from what was made to the values that the
template asks for. They show figures and measure nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from data.figures import figure, number, percent
from data.schema import Column, Schema, Value
from training.commands import trainings
from training.compiling import raw_row
from training.gate import Decision
from training.measuring import Assessment, Evaluation, HoldoutErrors, comparison, importance
from training.measuring.whole_holdout import WholeHoldout
from training.pages import rendering, report
from training.pages.markdown import code, plain
from training.records import model_registry, tag_names
from training.rows import PreparedTable, in_words
from training.search import Winner

MOST_COLUMNS = 60
FIGURES = ("rmse", "mae", "bias")
"""Of each part, in the order of the template's columns."""

Values = Mapping[str, object]
"""What a template asks for, by name."""


@dataclass(frozen=True)
class CardFacts:
    """Everything that a training came to."""

    config: trainings.TrainConfig
    rows: PreparedTable
    winner: Winner
    evaluation: Evaluation
    assessment: Assessment
    version: model_registry.Version
    decision: Decision
    figures: Mapping[str, Figure]
    contributions: importance.Contributions | None = None
    whole: WholeHoldout | None = None

    @property
    def unit(self) -> str | None:
        """The target's."""
        return self.rows.schema.target_unit

    def pictures(self, *names: str) -> list[rendering.Picture]:
        """Return those of the named plots that were drawn."""
        return rendering.pictures(self.figures, names)


def card(made: CardFacts) -> str:
    """Return the page."""
    values = {name: values_of(made) for name, values_of in SECTIONS.items()}
    title = f"{made.version.name} version {made.version.number}"
    return rendering.page("card.html", title=title, unit=made.unit, decision=made.decision, **values)


def in_markdown(schema: Schema, assessment: Assessment, address: str) -> str:
    """Return the short form that the registry shows: figures with intervals, a weak slice, and where the rest is."""
    unit, figures = plain(schema.target_unit or ""), assessment.holdout.figures
    lines = [f"**{name.upper()}** {report.interval(figures[name], unit)}" for name in ("rmse", "mae")]
    lines += [
        f"**R²** {report.interval(figures['r2'])}",
        f"against the mean alone: {_beside_mean(assessment)}",
    ]
    weak = max(assessment.slices, key=lambda part: part.figures["rmse"].low, default=assessment.holdout)
    if weak.figures["rmse"].low > figures["rmse"].value:
        result = report.interval(weak.figures["rmse"], unit)
        lines.append(
            f"surest weak slice of {len(assessment.slices)}: {code(weak.name)}, RMSE {result} on {weak.rows:,} rows"
        )
    bullets = "\n".join(f"- {line}" for line in lines)
    return (
        f"Holdout, {assessment.holdout.rows:,} rows, 95 % intervals:\n\n{bullets}\n\n[model card]({address})"
    )


def _what(made: CardFacts) -> Values:
    summary = report.summary(
        made.rows.schema, made.winner, made.evaluation, made.assessment, made.rows.checked.weight
    )
    return {
        "target": made.rows.schema.target,
        "summary": summary,
        "digest": made.version.tags.get(tag_names.DIGEST, ""),
        "versions": report.versions_in_words(),
        "seed": made.config.seed,
    }


def _data(made: CardFacts) -> Values:
    rows, checked = made.rows, made.rows.checked
    columns = rows.schema.columns
    return {
        "where": checked.table.where,
        "rows": f"{rows.rows_in_all:,}",
        "fingerprint": rows.fingerprint,
        "columns": [_column(column) for column in columns[:MOST_COLUMNS]],
        "more": len(columns) - MOST_COLUMNS,
        "sample": in_words.sample_in_words(rows.split, rows.all_counts, rows.held_by),
        "weights": in_words.weights_in_words(checked, rows.split) if checked.weight else "",
        "warnings": checked.warnings,
    }


def _column(column: Column) -> Values:
    return {
        "name": _named(column),
        "kind": _kind(column),
        "seen": _seen(column),
        "missing": column.missing,
    }


def _split(made: CardFacts) -> Values:
    split = made.rows.split
    return {
        "sides": in_words.sides_in_words(split.counts),
        "rule": split.rule,
        "moves": split.moments is not None,
    }


def _chosen(made: CardFacts) -> Values:
    ranked = sorted(made.winner.choice.candidates, key=lambda candidate: candidate.cv_rmse)
    return {
        "family": made.winner.family,
        "sample": report.sample_in_words(made.winner, made.rows),
        "ended": made.winner.choice.ended,
        "candidates": [
            {"family": each.family, "rmse": figure(each.cv_rmse, made.unit, each.cv_rmse_se)}
            for each in ranked
        ],
    }


def _holdout(made: CardFacts) -> Values:
    assessment, change = made.assessment, made.decision.change
    parts = [assessment.holdout, *([assessment.alone] if assessment.alone else [])]
    return {
        "parts": _errors(parts),
        "whole": made.whole and _whole(made.whole, made.unit),
        "beside_mean": _beside_mean(assessment),
        "r2": report.interval(assessment.holdout.figures["r2"]),
        "champion": {"change": _change(change), "rows": f"{change.rows:,}"} if change else None,
        "pictures": made.pictures("predicted_against_actual", "residuals_by_predicted", "residual_histogram"),
    }


def _whole(found: WholeHoldout, unit: str | None) -> Values:
    scores, inside = found.scores, found.coverage
    return {
        "rows": f"{scores.rows:,}",
        "rmse": report.interval(found.rmse, unit),
        "mae": figure(scores.mae, unit),
        "bias": figure(scores.bias, unit),
        "r2": number(scores.r2),
        "baseline": figure(found.baseline_rmse, unit),
        "inside": [f"{share:.1%} at {level:.0%}" for level, share in inside.items()],
    }


def _slices(made: CardFacts) -> Values:
    slices = made.assessment.slices
    return {
        "parts": _errors(slices[: report.MOST_SLICES]),
        "of": len(slices),
        "pictures": made.pictures("slices"),
    }


def _learning(made: CardFacts) -> Values:
    return {"curve": made.assessment.curve, "pictures": made.pictures("learning_curve")}


def _intervals(made: CardFacts) -> Values:
    return {"pictures": made.pictures("interval_coverage")}


def _importance(made: CardFacts) -> Values:
    added = made.contributions
    return {
        "pictures": made.pictures("permutation_importance"),
        "contributions": added and {"rows": f"{len(added.shares):,}", "exact": added.exact},
        "asked": made.config.explain,
        "dependence": made.pictures("dependence"),
    }


def _limits(made: CardFacts) -> Values:
    target = made.rows.target("train")
    return {
        "lowest": figure(float(target.min()), made.unit),
        "highest": figure(float(target.max()), made.unit),
        "fewest_rows": comparison.FEWEST_SLICE_ROWS,
    }


def _call(made: CardFacts) -> Values:
    row: Mapping[str, Value] = raw_row(made.rows.some("train", slice(1)).iloc[0], made.rows.schema)
    body = json.dumps({"dataframe_records": [row]}, ensure_ascii=False)
    return {"name": made.version.name, "body": body}


SECTIONS: Mapping[str, Callable[[CardFacts], Values]] = {
    "what": _what,
    "data": _data,
    "split": _split,
    "chosen": _chosen,
    "holdout": _holdout,
    "slices": _slices,
    "learning": _learning,
    "intervals": _intervals,
    "importance": _importance,
    "limits": _limits,
    "call": _call,
}


def _errors(parts: Iterable[HoldoutErrors]) -> list[Values]:
    return [
        {
            "name": part.name,
            "rows": f"{part.rows:,}",
            "errors": [report.interval(part.figures[name]) for name in FIGURES],
        }
        for part in parts
    ]


def _beside_mean(assessment: Assessment) -> str:
    return f"RMSE {_change(assessment.beside_mean)}"


def _change(change: comparison.Change) -> str:
    return f"{percent(change.change)} [{percent(change.low)}, {percent(change.high)}]"


def _named(column: Column) -> str:
    return f"{column.name} [{column.unit}]" if column.unit else column.name


def _kind(column: Column) -> str:
    return f"{column.kind}, read as {column.reading}" if column.reading else column.kind


def _seen(column: Column) -> str:
    if column.kind == "category":
        shown = ", ".join(column.categories[:8])
        more = len(column.categories) - 8
        return f"{shown} and {more} more" if more > 0 else shown
    if column.minimum is None or column.maximum is None:
        return "true, false" if column.kind == "boolean" else ""
    if column.kind == "datetime":
        return " to ".join(report.day(moment) for moment in (column.minimum, column.maximum))
    return f"{number(column.minimum, 6)} to {number(column.maximum, 6)}"
