"""The model's page, `card.html`, and its short form on the registered version.

A plain list of sections: `SECTIONS` is their order, and each is a function from what was made to the section's parts;
one that returns no parts is left out. They show figures and measure nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from data.figures import figure, number, percent
from data.schema import Column, Schema, Value
from training.commands import configs
from training.compiling import raw_row
from training.gate import Decision
from training.measuring import Assessment, Evaluation, Part, comparison
from training.pages import html, report
from training.pages.markdown import code, plain
from training.records import model_registry, tag_names
from training.rows import PreparedTable, in_words
from training.search import Choice

MOST_COLUMNS = 60
FIGURES = ("rmse", "mae", "bias")


@dataclass(frozen=True)
class Made:
    """Everything that a training came to."""

    config: configs.TrainConfig
    rows: PreparedTable
    choice: Choice
    evaluation: Evaluation
    assessment: Assessment
    version: model_registry.Version
    decision: Decision
    figures: Mapping[str, Figure]

    @property
    def unit(self) -> str | None:
        """The target's."""
        return self.rows.schema.target_unit

    def pictures(self, *names: str) -> list[str]:
        """Return those of the named plots that were drawn."""
        return [html.picture(name, self.figures[name]) for name in names if name in self.figures]


def card(made: Made) -> str:
    """Return the page."""
    version = made.version
    sections = [(title, parts(made)) for title, parts in SECTIONS.items()]
    return html.page(
        f"{version.name} version {version.number}",
        *(html.section(title, *parts) for title, parts in sections if parts),
    )


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


def _what(made: Made) -> list[str]:
    summary = report.summary(
        made.rows.schema, made.choice, made.evaluation, made.assessment, made.rows.checked.weight
    )
    decision = made.decision
    return [
        html.paragraph(
            f"Predicts {made.rows.schema.target}{f' in {made.unit}' if made.unit else ''}: {summary}."
        ),
        html.paragraph(f"Decision: {decision.word}: {decision.reason}."),
        *([html.paragraph(f"What would help: {decision.advice}.")] if decision.advice else []),
        html.note(f"Digest {made.version.tags.get(tag_names.DIGEST, '')}"),
        html.note(f"Made with {report.versions_in_words()}; seed {made.config.seed}."),
    ]


def _data(made: Made) -> list[str]:
    rows, schema = made.rows, made.rows.schema
    table = html.plain_table(
        ["column", "kind", "seen in training", "missing"],
        [
            [_named(column), _kind(column), _seen(column), "yes" if column.missing else "no"]
            for column in schema.columns[:MOST_COLUMNS]
        ],
    )
    more = len(schema.columns) - MOST_COLUMNS
    return [
        html.paragraph(f"{rows.checked.table.where}: {len(rows.checked.table):,} rows with a target."),
        html.note(f"Fingerprint {rows.fingerprint}; it changes with any value, column or row."),
        table,
        *([html.note(f"and {more} more columns, in schema.json")] if more > 0 else []),
        *([html.paragraph(_weights(made))] if rows.checked.weight else []),
        *(html.note(f"{warning}.") for warning in rows.checked.warnings),
    ]


def _weights(made: Made) -> str:
    rows = made.rows
    return (
        f"Rows are weighted: {in_words.weights_in_words(rows.checked, rows.split)}. All errors, intervals and the "
        "decision are those of the weighted rows; plots show rows."
    )


def _split(made: Made) -> list[str]:
    split = made.rows.split
    fixed = "A row's side follows from its own values: what is held out here is held out of every retrain."
    moving = (
        "The newest rows are held out; with newer ones the boundary moves on, and these are learned from."
    )
    return [
        html.paragraph(f"{in_words.sides_in_words(split)}; {split.rule}."),
        html.note(fixed if split.moments is None else moving),
    ]


def _chosen(made: Made) -> list[str]:
    ranked = sorted(made.choice.candidates, key=lambda candidate: candidate.cv_rmse)
    rows = [
        [candidate.family, figure(candidate.cv_rmse, made.unit, candidate.cv_rmse_se)] for candidate in ranked
    ]
    return [
        html.paragraph(f"By cross-validated RMSE on the training rows: {made.choice.best.family}."),
        html.plain_table(["candidate", "RMSE ± standard error"], rows),
        html.note(
            "The winner's figure is too good by the choice itself; the holdout below had no part in it."
        ),
    ]


def _holdout(made: Made) -> list[str]:
    assessment = made.assessment
    parts = [assessment.holdout, *([assessment.alone] if assessment.alone else [])]
    r2 = report.interval(assessment.holdout.figures["r2"])
    change = made.decision.change
    against = [f"Against the mean alone: {_beside_mean(assessment)}. R² {r2}."]
    against += (
        [f"Against the champion, RMSE {_change(change)} on {change.rows:,} shared rows."] if change else []
    )
    return [
        _errors_table(parts, made.unit),
        *map(html.paragraph, against),
        html.note("95 % intervals; rows that err together (twins, a group, a stretch of time) count as one."),
        *made.pictures("predicted_against_actual", "residuals_by_predicted", "residual_histogram"),
    ]


def _slices(made: Made) -> list[str]:
    shown = made.assessment.slices[: report.MOST_SLICES]
    if not shown:
        return []
    return [
        html.note(
            f"The {len(shown)} of {len(made.assessment.slices)} slices with the largest RMSE; each interval is for its "
            "slice alone, so that one in twenty misses. All of them are in tables/slices.csv."
        ),
        _errors_table(shown, made.unit),
        *made.pictures("slices"),
    ]


def _learning(made: Made) -> list[str]:
    curve = made.assessment.curve
    if curve is None:
        return [html.paragraph("Not measured: there are too few training rows to leave out some of them.")]
    return [html.paragraph(f"{curve}."), *made.pictures("learning_curve")]


def _intervals(made: Made) -> list[str]:
    if "interval_coverage" not in made.figures:
        return [html.paragraph("There are too few rows for prediction intervals.")]
    return [
        html.note(
            "Ask for an interval with params: {coverage: 0.9}. The promise is for rows on average; "
            "tables/intervals.csv shows it by tenth of the prediction, tables/interval_slices.csv by slice."
        ),
        *made.pictures("interval_coverage"),
    ]


def _importance(made: Made) -> list[str]:
    return [
        html.note(
            "How much the error rises when a column is shuffled: what the model uses, not what causes the target."
        ),
        *made.pictures("permutation_importance"),
    ]


def _limits(made: Made) -> list[str]:
    target = made.rows.target("train")
    return [
        html.paragraph(
            "The figures hold for rows of the same kind as the holdout's. Values outside the ranges above, and "
            "categories that are not listed there, were not tested."
        ),
        html.paragraph(
            f"Training saw a target from {figure(float(target.min()), made.unit)} to "
            f"{figure(float(target.max()), made.unit)}."
        ),
        html.paragraph(f"Slices of fewer than {comparison.FEWEST_SLICE_ROWS} holdout rows were not judged."),
    ]


def _call(made: Made) -> list[str]:
    row: Mapping[str, Value] = raw_row(made.rows.frame("train").iloc[0], made.rows.schema)
    body = json.dumps({"dataframe_records": [row]}, ensure_ascii=False)
    name = made.version.name
    return [
        html.code(f"mlflow run . --env-manager local -e serve -P name={name}"),
        html.code(
            "curl http://127.0.0.1:5002/invocations -H 'Content-Type: application/json' -d @- <<'ROW'\n"
            f"{body}\nROW"
        ),
        html.note("The server follows @champion; the row is the first training row."),
    ]


SECTIONS: dict[str, Callable[[Made], list[str]]] = {
    "What it is": _what,
    "Data": _data,
    "Split": _split,
    "How it was chosen": _chosen,
    "Errors on the holdout": _holdout,
    "Slices": _slices,
    "More rows": _learning,
    "Intervals": _intervals,
    "Importance": _importance,
    "Limits": _limits,
    "How to call it": _call,
}


def _errors_table(parts: list[Part] | tuple[Part, ...], unit: str | None) -> str:
    named = {"rmse": "RMSE", "mae": "MAE", "bias": "bias"}
    return html.plain_table(
        ["part", "rows", *(f"{named[name]}{f' in {unit}' if unit else ''}" for name in FIGURES)],
        [
            [part.name, f"{part.rows:,}", *(report.interval(part.figures[name]) for name in FIGURES)]
            for part in parts
        ],
    )


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
