"""New intervals for a version, from fresh labelled rows, without a refit.

The graph stays byte for byte, and so does each prediction; the table of quantiles is made anew. The
result is a version of its own. It is not promoted here: predictions that are equal cannot be
better, so the gate lets it pass as `policy=not-worse`, and that is a decision of its own.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.checks import check_table
from data.errors import TableError
from data.figures import figure
from data.own_files import own_folder
from data.tables import Table, fingerprint, load_kept, row_digests
from data.tables.streams import form_of
from serving.scorer import Intervals, Scorer, scorer_files
from training.commands import registered
from training.compiling import pack_frame
from training.console import Say
from training.errors import CannotScore, NotFresh, TooFewToCalibrate
from training.measuring import conformal
from training.monitoring import Reference
from training.pages import plain
from training.records import ledger, model_registry, tag_names, tracking
from training.rows import open_table, parts
from training.rows.known import how_read, known_parts, learned, load_known
from training.versions import flavor
from training.weights import mean, relative

FEWEST_ROWS, MOST_SAMPLED = 20, 100_000
"""Rows that intervals are made from, and at most so many of a table that memory does not hold: they are plenty."""


def recalibrate(config: registered.RecalibrateConfig, say: Say) -> model_registry.Version:
    """Register a version with the same model and a new table.

    Raises
    ------
    NoSuchVersion
        There is no version to start from.
    NotFresh
        These are the rows that it was trained from, or some are, which cannot be told from the others.
    TooFewToCalibrate
        Fewer than `FEWEST_ROWS` rows have a target and can be scored.
    """
    tracking.check_tracking(must_exist=True)
    old = model_registry.chosen(config.name, config.version)
    ledger.read(old.name).check(old)
    with tracking.open_run(config.name, f"recalibrate {old.name} {old.number}") as run:
        table, weight = _fresh_rows(config, old, say)
        scorer = Scorer.load(
            old.folder / model_registry.SCORER_FOLDER
        )  # all files are compared before the work
        fresh = _new_table(old, table, weight, scorer)
        made = fresh.intervals
        reach = figure(made.quantile[-1] * fresh.scale, old.schema.target_unit)
        logged = _log(old, scorer, fresh)
        tags = {name: value for name, value in old.tags.items() if name in tag_names.INHERITED}
        tags[tag_names.TRAINED_IN] = old.trained_in
        summary = (
            f"version {old.number} with intervals from {made.rows:,} rows{weight and ' of equal weight'} of "
            f"{table.where}: "
            f"{made.coverage[-1]:.0%} intervals are ±{reach}{' on average' if made.adaptive else ''}"
        )
        new = model_registry.register(
            old.name,
            logged,
            run_id=run.run_id,
            tags=tags | {tag_names.DIGEST: logged.digest, tag_names.DECISION: "undecided"},
            description=plain(summary),
        )
        run.log(tags={tag_names.VERSION: new.number, tag_names.DIGEST: logged.digest})
        say("register", f"{new.name} version {new.number}: {summary}")
        judged = how_read.recorded_of(old).get("data", "TABLE")
        words = f"-P name={new.name} -P version={new.number} -P policy=not-worse -P data={judged}"
        say("next", f"mlflow run . --env-manager local -e promote {words}")
        return new


def _fresh_rows(
    config: registered.RecalibrateConfig, old: model_registry.Version, say: Say
) -> tuple[Table, str]:
    """Return the rows that count, and the column that says how much, where they have it."""
    recorded, kinds = how_read.recorded_of(old), old.split.kinds
    asked = how_read.again(old, recorded)
    source = open_table(config, say, recorded)
    room = parts.room_for(source, config.memory)
    if room is None:
        found = fingerprint(load_kept(source, kinds, asked))
    else:
        found = parts.fingerprint_of(form_of(source, kinds, asked, most_bytes=room))
    if found == old.tags.get(tag_names.DATA):
        trained = f"is the table that {old.name} version {old.number} was trained from"
        raise NotFresh(where=source.where, found=trained)
    form = None if room is None else known_parts.form_for(source, old.schema, kinds, asked, room)
    known = load_known(source, old.schema, kinds, asked) if form is None else form.head
    weight = old.weight if old.weight in known.frame else ""
    if old.weight and not weight:
        say("warning", f"{known.where} has no weight column {old.weight!r}: each of its rows counts the same")
    if form is not None:
        some = parts.sampled_alike(form, old.target, weight, most=MOST_SAMPLED)
        say("sample", some.in_words)
        known = some.table
    checked = check_table(known, target=old.target, weight=weight)
    table = checked.table.take(checked.counted)
    if {*old.schema.names} <= {*table.names}:
        table = learned.left_out(old, table, say, fewest=FEWEST_ROWS)
    return table, weight


@dataclass(frozen=True)
class Fresh:
    """The quantiles on rows that have a target and a prediction, with the mean scale and the scores of those.

    Attributes
    ----------
    scores : float64 array of shape (n_rows,), or None
        None with weights: ranks would not be exact.
    groups : uint64 array of shape (n_rows,), or None
        Which rows are alike, where the version's split had groups and the table has their columns.
    moments : float64 array of shape (n_rows,), or None
        When they were, where the version's training knew it and the table has its column.
    """

    intervals: Intervals
    scale: float
    scores: NDArray[np.float64] | None
    groups: NDArray[np.uint64] | None
    moments: NDArray[np.float64] | None


def _new_table(old: model_registry.Version, table: Table, weight: str, scorer: Scorer) -> Fresh:
    """Return the new table; raises CannotScore or TooFewToCalibrate."""
    absent = [name for name in scorer.schema.names if name not in table.frame]
    if absent:
        raise CannotScore(name=old.name, version=old.number, column=absent[0])
    result = scorer.predict_with_scale(pack_frame(table.frame, scorer.schema))
    absolute = np.abs(table.numbers(old.target) - result[:, 0])
    known = np.isfinite(absolute)
    if known.sum() < FEWEST_ROWS:
        raise TooFewToCalibrate(where=table.where, rows=int(known.sum()), needed=FEWEST_ROWS)
    blocks = row_digests(table, sorted(table.names))
    by = relative(table.numbers(weight)[known]) if weight else None
    residuals = conformal.Residuals(
        table.frame[known], absolute[known], blocks[known], None, "calibration", by
    )
    before = scorer.document.intervals
    made = conformal.table_of(residuals, result[known, 1], adaptive=bool(before and before.adaptive))
    assert made is not None  # 20 rows can promise a half
    scores = None if weight else absolute[known] / result[known, 1]
    grouping = () if old.adopted else old.split.grouping
    told = bool(grouping) and all(name in table.frame for name in grouping)
    groups = row_digests(table, grouping)[known] if told else None
    moments = None if old.adopted else _moments(old, table)
    return Fresh(
        made, mean(result[known, 1], by), scores, groups, None if moments is None else moments[known]
    )


def _moments(old: model_registry.Version, table: Table) -> NDArray[np.float64] | None:
    """Return when rows were, in seconds; None where the training did not know it or a row does not say it."""
    try:
        return table.moments(old.time_column)
    except TableError:
        return None


def _log(old: model_registry.Version, scorer: Scorer, fresh: Fresh) -> flavor.Logged:
    """Log the same files with the new table; the model itself is not loaded."""
    graph, _ = scorer_files.read(old.scorer_folder)
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        explain = scorer_files.explain_in(old.scorer_folder, scorer.document)
        document = replace(scorer.document, intervals=fresh.intervals)
        scorer_files.write(Path(folder), graph, document, explain)
        return flavor.log_copy(old.folder, Path(folder), reference=_reference(old, fresh))


def _reference(old: model_registry.Version, fresh: Fresh) -> dict[str, Any] | None:
    """Return what a monitor compares with, its scores made anew; nothing where the version has none."""
    path = old.folder / flavor.REFERENCE
    if not path.is_file():
        return None
    known = Reference.from_dict(json.loads(path.read_text(encoding="utf-8")))
    groups = fresh.groups if known.group else None
    made = known.with_scores(fresh.scores, fresh.intervals, groups, fresh.moments, seed=int(old.number))
    return made.as_dict()
