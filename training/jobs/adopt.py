"""A model that was fitted elsewhere becomes a version like any other.

Takes a joblib pickle or a Keras network, and rows with their outcomes: the model is held to the rows, compiled,
compared with its graph, registered and put to the gate. Loading a pickle runs whatever code it holds; that cannot be
prevented here, so it is said, and nothing else in this package does it.

Nobody knows which rows the model learned from. Its errors on the rows at hand may flatter it, so no interval is
promised from them, and no champion gives way to it unless a person says so.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.checks import Checked
from data.figures import figure
from data.own_files import own_folder
from training.challenger import Outcome, adopted, judge, registering
from training.commands import trainings
from training.compiling import compile_verified, cost, write_scorer
from training.console import Say
from training.measuring import comparison
from training.pages import plain
from training.records import Job, ledger, tag_names, tracking
from training.rows import PreparedTable, as_named, open_table, parts, suspicions
from training.rows.known import how_read, known_tables
from training.versions import flavor


def adopt(config: trainings.AdoptConfig, say: Say) -> Outcome:
    """Register a fitted model, and promote it where its name has no champion.

    Raises
    ------
    DataError, CannotAdopt, CompilingError
        The table, the file or a step of the model cannot be used; nothing is registered then.
    """
    known_tables.refuse_mistyped(config)
    with tracking.open_run(config.name, config.job) as run:
        job = Job(config, run, say)
        run.log_config(config.as_params())
        ledger.settle(config.name)
        config, digest_of_rows, checked = check(config, say)
        job = replace(job, config=config)
        digest = hashlib.sha256(config.path.read_bytes()).hexdigest()
        model = adopted.load(config.path, digest, say)
        model = adopted.with_codes_of(config, checked, model)
        rows = adopted.describe_rows(config, checked, model, digest_of_rows)
        model = adopted.with_gaps_as_nan(model, rows)
        errors = adopted.errors_on(rows, model, config)
        metrics = {f"adopted_{name}": result.value for name, result in errors.items()}
        metrics |= comparison.standard_errors("adopted", errors)
        logged = log(job, rows, model, config)
        record(job, rows, model, metrics, logged)
        words = summary(rows, model, metrics["adopted_rmse"], config)
        version = registering.register(job, rows, logged, summary=words, tags={tag_names.ADOPTED: digest})
        decide = lambda history: judge(version, checked.table, history, config.policy, run=run)  # noqa: E731
        outcome = registering.conclude(job, version, decide, summary=plain(words))
        return replace(outcome, figures=metrics)


def check(config: trainings.AdoptConfig, say: Say) -> tuple[trainings.AdoptConfig, str, Checked]:
    """Return what was asked, with the table's names, its fingerprint, and rows with an outcome; no model is run."""
    with parts.seen(open_table(config, say), config.asked, config.memory) as seen:
        config = as_named(config, seen.table.names)
        say("read", f"{len(seen.table):,} rows, {len(seen.table.names)} columns from {seen.table.where}")
        suspicions.say_readings(seen.table, say)
        mentioned = {"unit": [column for column, _ in config.units]}
        checked = seen.checked(target=config.target, exclude=config.exclude, mentioned=mentioned)
        if checked.rows_without_target:
            say("warning", f"{checked.rows_without_target:,} rows have no {config.target} and are left out")
        some = seen.some_of(checked, config.target)
        if some.in_words:
            say("sample", some.in_words)
        return config, seen.fingerprint, some.checked


def log(job: Job, rows: PreparedTable, model: Any, config: trainings.AdoptConfig) -> flavor.Logged:
    """Compile the model, and log it with its scorer; raises CompilingError."""
    table = rows.checked.table
    frame, target = table.frame[list(rows.schema.names)], table.numbers(config.target)
    with adopted.blamed_on(config.path, "cannot be compiled", adopted.SERVED_AS_IS):
        compiled = compile_verified(model, schema=rows.schema, frame=frame, target=target)
    parity, schema = compiled.parity, rows.schema
    with tempfile.TemporaryDirectory(dir=own_folder()) as name:
        folder = Path(name)
        made = write_scorer(
            folder,
            graph=compiled.graph,
            schema=schema,
            frame=frame,
            fingerprint=rows.fingerprint,
            parity=parity,
            packages=compiled.packages,
            explain=job.config.explain,
            trees=compiled.trees,
        )
        logged = flavor.log_version(
            model,
            schema=schema,
            scorer_folder=folder,
            input_example=frame.head(5),
            read=how_read.of_table(table).as_dict(),
        )
    job.run.log(metrics={"parity_max_abs": parity.max_abs, "parity_max_rel": parity.max_rel})
    row_us = cost.row_microseconds(made.predict, made.golden.matrix[:1])
    job.say(
        "model",
        f"{type(model).__name__} as one graph, {row_us:.0f} µs a row, "
        f"within {parity.max_rel:.0e} of the original on {parity.rows:,} rows",
    )
    return logged


def record(
    job: Job, rows: PreparedTable, model: Any, metrics: dict[str, float], logged: flavor.Logged
) -> None:
    """Log figures and lineage."""
    table, names = rows.checked.table, rows.schema.names
    job.run.log(
        metrics=metrics,
        params={"family": type(model).__name__, "features": ",".join(names)[:6000]},
        tags={tag_names.DIGEST: logged.digest, tag_names.DATA: rows.fingerprint},
    )
    job.run.log_json("schema.json", rows.schema.as_dict())
    job.run.log_dataset(
        table.frame,
        where=table.where,
        target=job.config.target,
        digest=rows.fingerprint,
        rows=len(table),
    )


def summary(rows: PreparedTable, model: Any, rmse: float, config: trainings.AdoptConfig) -> str:
    """Say what was adopted and how it does, in one line."""
    count = len(rows.schema.columns)
    return (
        f"{type(model).__name__} adopted from {config.path.name}, {count} column{'s' * (count != 1)}; "
        f"RMSE {figure(rmse, config.unit)} on {len(rows.checked.table):,} rows that it may have learned from"
    )
